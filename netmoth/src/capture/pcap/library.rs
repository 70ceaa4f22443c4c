//! The functions of libpcap that live capture needs, out of the shared library where the host has it.
//!
//! Sources: pcap/pcap.h; the man pages of the functions (pcap_create(3PCAP) and others). Every one of them is there since
//! libpcap 1.9.

use std::ffi::{c_char, c_int, c_uchar, c_uint};
use std::sync::OnceLock;

use libloading::Library;

use super::PcapError;
use super::handle::text;

/// Names under which distributions have the library.
const NAMES: [&str; 3] = ["libpcap.so.0.8", "libpcap.so.1", "libpcap.so"];

/// struct pcap, of which only pointers are passed around.
#[repr(C)]
pub(super) struct RawPcap {
    _opaque: [u8; 0],
}

/// struct pcap_pkthdr.
#[repr(C)]
pub(super) struct PacketHeader {
    pub(super) seconds: libc::time_t,
    pub(super) microseconds: libc::suseconds_t,
    pub(super) captured: c_uint,
    pub(super) length: c_uint,
}

/// struct pcap_stat.
#[repr(C)]
#[derive(Default)]
pub(super) struct Statistics {
    pub(super) received: c_uint,
    pub(super) dropped: c_uint,
    pub(super) dropped_by_interface: c_uint,
}

/// struct bpf_program; its instructions have the layout of struct sock_filter.
#[repr(C)]
pub(super) struct Program {
    pub(super) length: c_uint,
    pub(super) instructions: *mut libc::sock_filter,
}

/// pcap_handler: what is called for each frame.
pub(super) type Handler = unsafe extern "C" fn(*mut c_uchar, *const PacketHeader, *const c_uchar);

/// Declares a table of functions, and a way to fill it by their names.
macro_rules! table {
    ($($field:ident = $name:literal: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions, by what they are called behind `pcap_`.
        pub(super) struct Functions {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            #[expect(unsafe_code, reason = "a shared library has no types")]
            fn of(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: the functions have these types since libpcap 1.0, which its soname stands for; the library is
                    // never closed.
                    $($field: *unsafe { library.get(concat!($name, "\0").as_bytes()) }?,)*
                })
            }
        }
    };
}

table! {
    create = "pcap_create": fn(*const c_char, *mut c_char) -> *mut RawPcap;
    set_snaplen = "pcap_set_snaplen": fn(*mut RawPcap, c_int) -> c_int;
    set_promisc = "pcap_set_promisc": fn(*mut RawPcap, c_int) -> c_int;
    set_timeout = "pcap_set_timeout": fn(*mut RawPcap, c_int) -> c_int;
    set_buffer_size = "pcap_set_buffer_size": fn(*mut RawPcap, c_int) -> c_int;
    activate = "pcap_activate": fn(*mut RawPcap) -> c_int;
    close = "pcap_close": fn(*mut RawPcap);
    geterr = "pcap_geterr": fn(*mut RawPcap) -> *const c_char;
    statustostr = "pcap_statustostr": fn(c_int) -> *const c_char;
    lib_version = "pcap_lib_version": fn() -> *const c_char;
    datalink = "pcap_datalink": fn(*mut RawPcap) -> c_int;
    get_selectable_fd = "pcap_get_selectable_fd": fn(*mut RawPcap) -> c_int;
    setnonblock = "pcap_setnonblock": fn(*mut RawPcap, c_int, *mut c_char) -> c_int;
    dispatch = "pcap_dispatch": fn(*mut RawPcap, c_int, Handler, *mut c_uchar) -> c_int;
    stats = "pcap_stats": fn(*mut RawPcap, *mut Statistics) -> c_int;
    compile = "pcap_compile": fn(*mut RawPcap, *mut Program, *const c_char, c_int, c_uint) -> c_int;
    freecode = "pcap_freecode": fn(*mut Program);
}

impl Functions {
    /// The functions of this host's libpcap.
    pub(super) fn get() -> Result<&'static Self, PcapError> {
        static LOADED: OnceLock<Result<Functions, String>> = OnceLock::new();
        LOADED.get_or_init(load).as_ref().map_err(|why| PcapError::Missing(why.clone()))
    }

    /// `libpcap 1.10.3`.
    #[expect(unsafe_code, reason = "libpcap is a library of C")]
    pub(super) fn version(&self) -> String {
        // SAFETY: takes nothing, and gives a string of its own: "libpcap version 1.10.3 (with TPACKET_V3)".
        let words = text(unsafe { (self.lib_version)() });
        words.split(" (").next().unwrap_or(&words).replace(" version", "")
    }
}

#[expect(unsafe_code, reason = "a shared library runs code of its own when it is opened")]
fn load() -> Result<Functions, String> {
    let mut why = String::new();
    for name in NAMES {
        // SAFETY: libpcap does nothing when it is loaded.
        match unsafe { Library::new(name) } {
            // It stays open for good: the functions outlive every user.
            Ok(library) => return Functions::of(Box::leak(Box::new(library))).map_err(|error| error.to_string()),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}
