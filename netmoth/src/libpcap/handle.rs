//! A handle of the library: one that compiles, or one that captures.

use std::ffi::{CStr, CString, c_int};
use std::ptr::NonNull;

use super::table::{Pcap, Program};
use super::{ERROR_TEXT, Instruction, Libpcap, LibpcapError, words};

/// PCAP_NETMASK_UNKNOWN: only `ip broadcast` would need it.
const NO_NETMASK: u32 = 0xffff_ffff;

/// A `pcap_t`.
#[derive(Debug)]
pub struct Handle {
    pub(super) library: &'static Libpcap,
    pub(super) pcap: NonNull<Pcap>,
    /// What the stream of a [`saved`](Self::saved) handle reads from, as long as it is open.
    _header: Vec<u8>,
}

// SAFETY: a pcap_t belongs to no thread; the library wants it to be used by one at a time, and Handle has no method that
// takes it shared between threads (it isn't Sync).
#[expect(unsafe_code, reason = "libpcap is a C library")]
unsafe impl Send for Handle {}

impl Handle {
    pub(super) fn of(library: &'static Libpcap, pcap: NonNull<Pcap>) -> Self {
        Self { library, pcap, _header: Vec::new() }
    }

    /// A handle that only compiles, for frames of a link type (a DLT of pcap/dlt.h) with as many bytes at most.
    ///
    /// # Errors
    /// Where there is no libpcap, or no memory.
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    pub fn dead(dlt: i32, snapshot_length: u32) -> Result<Self, LibpcapError> {
        let library = Libpcap::get()?;
        let snapshot_length = c_int::try_from(snapshot_length).unwrap_or(c_int::MAX);
        // SAFETY: two numbers go in; a handle of ours alone comes out, or null.
        let pcap = unsafe { (library.table.pcap_open_dead)(dlt, snapshot_length) };
        let pcap = NonNull::new(pcap).ok_or_else(|| LibpcapError::Said("there is no memory for a handle".into()))?;
        Ok(Self::of(library, pcap))
    }

    /// A handle that only compiles, as for a capture file of a link type (a LINKTYPE of the file's header), written by a host of
    /// either byte order. libpcap knows from it which numbers other systems have for an address family.
    ///
    /// # Errors
    /// Where there is no libpcap, or no memory.
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    pub fn saved(link_type: u16, big_endian: bool, snapshot_length: u32) -> Result<Self, LibpcapError> {
        let library = Libpcap::get()?;
        let mut header = Vec::new();
        for word in [0xa1b2_c3d4, 2 << 16 | 4, 0, 0, snapshot_length, u32::from(link_type)] {
            // The version is two halves.
            let word = if word == 2 << 16 | 4 && !big_endian { 4 << 16 | 2 } else { word };
            header.extend(if big_endian { word.to_be_bytes() } else { word.to_le_bytes() });
        }
        // SAFETY: the stream reads this memory, which the handle keeps as long as it has the stream.
        let stream = unsafe { libc::fmemopen(header.as_mut_ptr().cast(), header.len(), c"r".as_ptr()) };
        if stream.is_null() {
            return Err(LibpcapError::Said("there is no memory for a handle".into()));
        }
        let mut text = [0; ERROR_TEXT];
        // SAFETY: the stream is open; the text has the room that the library wants for its answer.
        let pcap = unsafe { (library.table.pcap_fopen_offline)(stream, text.as_mut_ptr()) };
        match NonNull::new(pcap) {
            Some(pcap) => Ok(Self { library, pcap, _header: header }),
            None => {
                // SAFETY: the library has not taken the stream, which is open, and nobody else has it.
                unsafe { libc::fclose(stream) };
                Err(words(&text))
            }
        }
    }

    /// Compiles a filter in tcpdump's language, optimised.
    ///
    /// # Errors
    /// What libpcap has against it.
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    pub fn compile(&self, expression: &str) -> Result<Vec<Instruction>, LibpcapError> {
        let text = CString::new(expression).map_err(|_| LibpcapError::ZeroByte)?;
        let mut program = Program { length: 0, instructions: std::ptr::null_mut() };
        let table = &self.library.table;
        // SAFETY: the handle is open, the text ends in a zero, and the library fills in the program, which is ours.
        let status =
            unsafe { (table.pcap_compile)(self.pcap.as_ptr(), &raw mut program, text.as_ptr(), 1, NO_NETMASK) };
        if status != 0 {
            return Err(self.said());
        }
        let instructions = if program.instructions.is_null() {
            Vec::new()
        } else {
            // SAFETY: so many instructions stand there until pcap_freecode.
            unsafe { std::slice::from_raw_parts(program.instructions, program.length as usize) }.to_vec()
        };
        // SAFETY: the library made the program, and nothing of it is used afterwards.
        unsafe { (table.pcap_freecode)(&raw mut program) };
        Ok(instructions)
    }

    /// What the handle says of its last failure.
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    pub(super) fn said(&self) -> LibpcapError {
        // SAFETY: the handle is open.
        let text = unsafe { (self.library.table.pcap_geterr)(self.pcap.as_ptr()) };
        // SAFETY: the text ends in a zero and stays what it is until the handle is used again.
        LibpcapError::Said(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }
}

impl Drop for Handle {
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    fn drop(&mut self) {
        // SAFETY: the handle is ours alone and isn't used any more.
        unsafe { (self.library.table.pcap_close)(self.pcap.as_ptr()) };
    }
}
