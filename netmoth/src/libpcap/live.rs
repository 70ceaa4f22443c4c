//! Capture by libpcap.

use std::ffi::{CStr, CString, c_int, c_uchar};
use std::os::fd::RawFd;
use std::ptr::NonNull;

use super::table::{Counts, PacketHeader, Pcap, Program};
use super::{ERROR_TEXT, Handle, Instruction, Libpcap, LibpcapError, words};

/// How an interface is opened; see pcap(3pcap) for each.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// Interface.
    pub interface: String,
    /// Bytes of a frame that are kept.
    pub snapshot_length: u32,
    /// Frames that are not addressed to the interface, too.
    pub promiscuous: bool,
    /// Milliseconds for which libpcap may let frames gather.
    pub timeout_ms: u32,
    /// Bytes of the kernel's buffer; the library's default where `None`.
    pub buffer_bytes: Option<u32>,
    /// Frames are handed over at once.
    pub immediate: bool,
}

/// `struct pcap_stat`. On Linux `received` counts the frames that passed the filter, those dropped among them
/// (pcap_stats(3pcap), pcap-linux.c). 32 bits, which wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames that passed the filter.
    pub received: u32,
    /// Of these, those for which there was no room.
    pub dropped: u32,
    /// Frames that the interface or its driver dropped.
    pub interface_dropped: u32,
}

impl Handle {
    /// Opens an interface: it captures from now on, and never blocks.
    ///
    /// # Errors
    /// In libpcap's words: no such interface, no rights, no memory.
    pub fn live(options: &LiveOptions) -> Result<Self, LibpcapError> {
        let handle = Self::create(&options.interface)?;
        handle.set_up(options)?;
        handle.activate()?;
        handle.never_block()?;
        Ok(handle)
    }

    #[expect(unsafe_code, reason = "libpcap is a C library")]
    fn create(interface: &str) -> Result<Self, LibpcapError> {
        let library = Libpcap::get()?;
        let name = CString::new(interface).map_err(|_| LibpcapError::ZeroByte)?;
        let mut text = [0; ERROR_TEXT];
        // SAFETY: the name ends in a zero, and the text has the room that the library wants for its answer.
        let pcap = unsafe { (library.table.pcap_create)(name.as_ptr(), text.as_mut_ptr()) };
        NonNull::new(pcap).map(|pcap| Self::of(library, pcap)).ok_or_else(|| words(&text))
    }

    #[expect(unsafe_code, reason = "libpcap is a C library")]
    fn set_up(&self, options: &LiveOptions) -> Result<(), LibpcapError> {
        let table = &self.library.table;
        let number = |value: u32| c_int::try_from(value).unwrap_or(c_int::MAX);
        let set = |function: unsafe extern "C" fn(*mut Pcap, c_int) -> c_int, value: c_int| {
            // SAFETY: the handle is open and not active, which is when these functions may be called.
            let status = unsafe { function(self.pcap.as_ptr(), value) };
            if status == 0 { Ok(()) } else { Err(self.status(status)) }
        };
        set(table.pcap_set_snaplen, number(options.snapshot_length))?;
        set(table.pcap_set_promisc, c_int::from(options.promiscuous))?;
        set(table.pcap_set_timeout, number(options.timeout_ms))?;
        set(table.pcap_set_immediate_mode, c_int::from(options.immediate))?;
        options.buffer_bytes.map_or(Ok(()), |bytes| set(table.pcap_set_buffer_size, number(bytes)))
    }

    #[expect(unsafe_code, reason = "libpcap is a C library")]
    fn activate(&self) -> Result<(), LibpcapError> {
        // SAFETY: the handle is open and was not activated before.
        match unsafe { (self.library.table.pcap_activate)(self.pcap.as_ptr()) } {
            0 => Ok(()),
            warning @ 1.. => {
                log::warn!("libpcap: {}", self.status(warning));
                Ok(())
            }
            error => Err(self.status(error)),
        }
    }

    #[expect(unsafe_code, reason = "libpcap is a C library")]
    fn never_block(&self) -> Result<(), LibpcapError> {
        let mut text = [0; ERROR_TEXT];
        // SAFETY: the handle is active, and the text has the room that the library wants for its answer.
        let status = unsafe { (self.library.table.pcap_setnonblock)(self.pcap.as_ptr(), 1, text.as_mut_ptr()) };
        if status == 0 { Ok(()) } else { Err(words(&text)) }
    }

    /// Has the kernel drop what does not match.
    ///
    /// # Errors
    /// In libpcap's words.
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    pub fn set_filter(&self, instructions: &[Instruction]) -> Result<(), LibpcapError> {
        let mut copy = instructions.to_vec();
        let mut program = Program { length: copy.len() as u32, instructions: copy.as_mut_ptr() };
        // SAFETY: the handle is active; the program is ours, and the library copies it.
        let status = unsafe { (self.library.table.pcap_setfilter)(self.pcap.as_ptr(), &raw mut program) };
        if status == 0 { Ok(()) } else { Err(self.said()) }
    }

    /// The link type of its frames, a DLT of pcap/dlt.h.
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    pub fn link_type(&self) -> i32 {
        // SAFETY: the handle is active.
        unsafe { (self.library.table.pcap_datalink)(self.pcap.as_ptr()) }
    }

    /// What to poll(2) for frames; `None` where the kernel gives no such thing.
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    pub fn descriptor(&self) -> Option<RawFd> {
        // SAFETY: the handle is active.
        let fd = unsafe { (self.library.table.pcap_get_selectable_fd)(self.pcap.as_ptr()) };
        (fd >= 0).then_some(fd)
    }

    /// Shows up to `most` frames that wait to `each`: their bytes, their length on the wire, and when the kernel saw them, in
    /// nanoseconds of the wall clock. Returns how many; 0 where none waits.
    ///
    /// # Errors
    /// In libpcap's words: the interface went away.
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    pub fn dispatch<F: FnMut(&[u8], u32, i64)>(&mut self, most: u32, mut each: F) -> Result<usize, LibpcapError> {
        let most = c_int::try_from(most).unwrap_or(c_int::MAX);
        let user: *mut c_uchar = (&raw mut each).cast();
        // SAFETY: the handle is active; `show` is given `user` back before this returns, and `each` lives until then.
        let count = unsafe { (self.library.table.pcap_dispatch)(self.pcap.as_ptr(), most, show::<F>, user) };
        usize::try_from(count).map_err(|_| self.said())
    }

    /// What was counted since the start.
    ///
    /// # Errors
    /// In libpcap's words.
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    pub fn statistics(&self) -> Result<Statistics, LibpcapError> {
        let mut counts = Counts::default();
        // SAFETY: the handle is active, and the library fills in the structure, which is ours.
        let status = unsafe { (self.library.table.pcap_stats)(self.pcap.as_ptr(), &raw mut counts) };
        if status != 0 {
            return Err(self.said());
        }
        let Counts { received, dropped, interface_dropped } = counts;
        Ok(Statistics { received, dropped, interface_dropped })
    }

    /// What a status says, with the handle's own words where it has any.
    #[expect(unsafe_code, reason = "libpcap is a C library")]
    fn status(&self, status: c_int) -> LibpcapError {
        // SAFETY: a number goes in, a text comes out that ends in a zero and lives as long as the library.
        let text = unsafe { (self.library.table.pcap_statustostr)(status) };
        // SAFETY: as above.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
        match self.said() {
            LibpcapError::Said(more) if !more.is_empty() && more != text => {
                LibpcapError::Said(format!("{text}: {more}"))
            }
            _ => LibpcapError::Said(text),
        }
    }
}

/// Called by the library for each frame, within [`Handle::dispatch`].
#[expect(unsafe_code, reason = "libpcap is a C library")]
unsafe extern "C" fn show<F: FnMut(&[u8], u32, i64)>(
    user: *mut c_uchar,
    header: *const PacketHeader,
    data: *const c_uchar,
) {
    // SAFETY: dispatch gives the library a pointer to its F, which nobody else uses meanwhile.
    let each = unsafe { &mut *user.cast::<F>() };
    // SAFETY: the library shows a header that lives as long as this call.
    let header = unsafe { &*header };
    // SAFETY: so many bytes stand there as long as this call.
    let bytes = unsafe { std::slice::from_raw_parts(data, header.captured as usize) };
    each(bytes, header.length, header.seconds * 1_000_000_000 + header.microseconds * 1_000);
}
