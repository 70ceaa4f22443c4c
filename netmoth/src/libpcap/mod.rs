//! libpcap, opened when it is first asked for: what compiles filters ([`Handle::compile`]), and what captures where nothing else
//! can ([`Handle::live`]).
//!
//! It is opened at run time, so that building Netmoth needs nothing of it, and that a host without it runs all that does not.
//! The functions are those of pcap(3pcap), with their names.

mod handle;
mod live;
mod table;

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

pub use handle::Handle;
pub use live::{LiveOptions, Statistics};
pub use table::Instruction;
use table::Table;

/// Names under which the library is looked for: Debian's, everybody else's, and that of the development package.
const NAMES: [&str; 3] = ["libpcap.so.0.8", "libpcap.so.1", "libpcap.so"];

/// What libpcap said, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibpcapError {
    /// The library is not installed, or too old.
    #[error("libpcap is needed for this and can't be opened ({0}); install it: apt-get install libpcap0.8")]
    Absent(String),
    /// An answer in libpcap's own words.
    #[error("{0}")]
    Said(String),
    /// A text with a zero byte, which the library can't be given.
    #[error("a text with a zero byte can't be given to libpcap")]
    ZeroByte,
}

/// The library.
#[derive(Debug)]
pub struct Libpcap {
    table: Table,
}

impl Libpcap {
    /// Opens the library, once per process.
    ///
    /// # Errors
    /// Where there is none, or one that lacks a function that is needed.
    pub fn get() -> Result<&'static Self, LibpcapError> {
        static OPENED: OnceLock<Result<Libpcap, LibpcapError>> = OnceLock::new();
        OPENED.get_or_init(Self::open).as_ref().map_err(Clone::clone)
    }

    fn open() -> Result<Self, LibpcapError> {
        let mut why = String::new();
        for name in NAMES {
            match Table::load(name) {
                Ok(table) => return Ok(Self { table }),
                // The first name's reason is the one that tells: the others are not expected here.
                Err(error) if why.is_empty() => why = error.to_string(),
                Err(_) => {}
            }
        }
        Err(LibpcapError::Absent(why))
    }

    /// Its version in its own words: `libpcap version 1.10.3 (with TPACKET_V3)`.
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    pub fn version(&self) -> String {
        // SAFETY: the function takes nothing.
        let text = unsafe { (self.table.pcap_lib_version)() };
        // SAFETY: it returns a text that ends in a zero and lives as long as the library.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

/// PCAP_ERRBUF_SIZE.
const ERROR_TEXT: usize = 256;

/// What the library has written there.
fn words(text: &[c_char]) -> LibpcapError {
    let bytes: Vec<u8> = text.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect();
    LibpcapError::Said(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
