//! One open capture of libpcap, safe to use.

use std::ffi::{CStr, CString, c_char, c_int, c_uchar};
use std::os::fd::RawFd;
use std::ptr::NonNull;

use log::warn;

use super::library::{Functions, PacketHeader, Program, RawPcap, Statistics};

/// PCAP_ERRBUF_SIZE.
const WORDS: usize = 256;
/// PCAP_NETMASK_UNKNOWN: `ip broadcast` is refused.
const NO_NETMASK: u32 = 0xffff_ffff;
/// PCAP_ERROR_PERM_DENIED and PCAP_ERROR_PROMISC_PERM_DENIED.
const NOT_PERMITTED: [c_int; 2] = [-8, -11];

/// Why libpcap doesn't do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// There is none.
    #[error(
        "libpcap is not on this host ({0}); install it (Debian: apt install libpcap0.8), or set strategy: afpacket"
    )]
    Missing(String),
    /// It has not the rights.
    #[error("libpcap may not open {0}: run as root, or give the process CAP_NET_RAW (scripts/netmoth.service does)")]
    NotPermitted(String),
    /// It says why.
    #[error("libpcap can't capture on {name}: {words}; strategy: afpacket does without it")]
    Refused {
        /// The interface.
        name: String,
        /// libpcap's words.
        words: String,
    },
    /// An expression that is none.
    #[error("bpf: {expression:?} is no filter: {words}; pcap-filter(7) has the language")]
    Filter {
        /// What was to be compiled.
        expression: String,
        /// libpcap's words.
        words: String,
    },
}

/// What libpcap has counted, in the width that it has for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// Frames that passed the kernel's filter.
    pub(super) received: u32,
    /// Those of them for which there was no room.
    pub(super) dropped: u32,
}

/// A capture that is open.
pub(super) struct Handle {
    raw: NonNull<RawPcap>,
    functions: &'static Functions,
    name: String,
}

// SAFETY: libpcap binds a handle to no thread; `&mut` and the lock around it keep two from using it at a time.
#[expect(unsafe_code, reason = "libpcap is a library of C")]
unsafe impl Send for Handle {}

impl Handle {
    /// Opens an interface. The kernel hands frames over after `timeout_ms` at the latest, and has `buffer` bytes for them.
    #[expect(unsafe_code, reason = "libpcap is a library of C")]
    pub(super) fn open(
        name: &str,
        snapshot: u32,
        promiscuous: bool,
        timeout_ms: i32,
        buffer: usize,
    ) -> Result<Self, PcapError> {
        let functions = Functions::get()?;
        let refused = |words: String| PcapError::Refused { name: name.into(), words };
        let device = CString::new(name).map_err(|_| refused("the name has a zero in it".into()))?;
        let mut words = [0; WORDS];
        // SAFETY: the name ends in zero, and the buffer has the size that libpcap writes to at most.
        let raw = unsafe { (functions.create)(device.as_ptr(), words.as_mut_ptr()) };
        let raw = NonNull::new(raw).ok_or_else(|| refused(text(words.as_ptr())))?;
        let this = Self { raw, functions, name: name.into() };
        let buffer = c_int::try_from(buffer).unwrap_or(c_int::MAX);
        for (set, value) in [
            (functions.set_snaplen, snapshot as c_int),
            (functions.set_promisc, promiscuous.into()),
            (functions.set_timeout, timeout_ms),
            (functions.set_buffer_size, buffer),
        ] {
            // SAFETY: the handle is open and not activated; these take an integer.
            this.status(unsafe { set(raw.as_ptr(), value) })?;
        }
        // SAFETY: the handle is open and not activated.
        this.status(unsafe { (functions.activate)(raw.as_ptr()) })?;
        // SAFETY: the handle is activated; the buffer is as above.
        this.status(unsafe { (functions.setnonblock)(raw.as_ptr(), 1, words.as_mut_ptr()) })?;
        Ok(this)
    }

    /// What an answer means: less than 0 is an error, more a warning.
    #[expect(unsafe_code, reason = "libpcap is a library of C")]
    fn status(&self, answer: c_int) -> Result<(), PcapError> {
        if answer == 0 {
            return Ok(());
        }
        if NOT_PERMITTED.contains(&answer) {
            return Err(PcapError::NotPermitted(self.name.clone()));
        }
        // SAFETY: takes an integer, and gives a string of its own.
        let what = text(unsafe { (self.functions.statustostr)(answer) });
        let more = self.words();
        let words = if more.is_empty() || more == what { what } else { format!("{what} ({more})") };
        if answer < 0 {
            return Err(PcapError::Refused { name: self.name.clone(), words });
        }
        warn!("libpcap on {}: {words}", self.name);
        Ok(())
    }

    /// libpcap's words on the last error.
    #[expect(unsafe_code, reason = "libpcap is a library of C")]
    fn words(&self) -> String {
        // SAFETY: the handle is open; the string is inside of it.
        text(unsafe { (self.functions.geterr)(self.raw.as_ptr()) })
    }

    /// The kind of link (DLT_…).
    #[expect(unsafe_code, reason = "libpcap is a library of C")]
    pub(super) fn datalink(&self) -> c_int {
        // SAFETY: the handle is activated.
        unsafe { (self.functions.datalink)(self.raw.as_ptr()) }
    }

    /// The socket behind it, to sleep on and to filter; open as long as the handle.
    #[expect(unsafe_code, reason = "libpcap is a library of C")]
    pub(super) fn socket(&self) -> RawFd {
        // SAFETY: the handle is activated.
        unsafe { (self.functions.get_selectable_fd)(self.raw.as_ptr()) }
    }

    /// `libpcap 1.10.3`.
    pub(super) fn version(&self) -> String {
        self.functions.version()
    }

    /// What was counted so far.
    #[expect(unsafe_code, reason = "libpcap is a library of C")]
    pub(super) fn counted(&self) -> Result<Counted, PcapError> {
        let mut counts = Statistics::default();
        // SAFETY: the handle is activated, and the counts are a live, writable struct pcap_stat.
        self.status(unsafe { (self.functions.stats)(self.raw.as_ptr(), &raw mut counts) })?;
        Ok(Counted { received: counts.received, dropped: counts.dropped })
    }

    /// Shows up to `most` frames that wait to `show`: bytes, length on the wire, nanoseconds of the wall clock. An interface that
    /// went down has none; the link watch says so.
    #[expect(unsafe_code, reason = "libpcap is a library of C")]
    pub(super) fn dispatch<F: FnMut(&[u8], u32, i64)>(&mut self, most: usize, mut show: F) {
        let most = c_int::try_from(most).unwrap_or(c_int::MAX);
        let user: *mut c_uchar = (&raw mut show).cast();
        // SAFETY: the handle is activated; libpcap hands `user`, which lives for the call, to `shown::<F>` alone.
        unsafe { (self.functions.dispatch)(self.raw.as_ptr(), most, shown::<F>, user) };
    }

    /// Compiles an expression to a program for the socket: it looks for VLAN tags where this kernel keeps them.
    #[expect(unsafe_code, reason = "libpcap is a library of C")]
    pub(super) fn compile(&self, expression: &str) -> Result<Vec<libc::sock_filter>, PcapError> {
        let wrong = |words: String| PcapError::Filter { expression: expression.into(), words };
        let source = CString::new(expression).map_err(|_| wrong("it has a zero in it".into()))?;
        let mut program = Program { length: 0, instructions: std::ptr::null_mut() };
        // SAFETY: the handle is activated; program and expression live for the call.
        let answer =
            unsafe { (self.functions.compile)(self.raw.as_ptr(), &raw mut program, source.as_ptr(), 1, NO_NETMASK) };
        if answer != 0 {
            return Err(wrong(self.words()));
        }
        // SAFETY: libpcap has filled the program with as many instructions as it says.
        let steps = unsafe { std::slice::from_raw_parts(program.instructions, program.length as usize) }.to_vec();
        // SAFETY: filled by pcap_compile, and freed once.
        unsafe { (self.functions.freecode)(&raw mut program) };
        Ok(steps)
    }
}

impl Drop for Handle {
    #[expect(unsafe_code, reason = "libpcap is a library of C")]
    fn drop(&mut self) {
        // SAFETY: opened by `open`, and closed once.
        unsafe { (self.functions.close)(self.raw.as_ptr()) };
    }
}

/// Called by libpcap for each frame. A panic in `show` would end the process: it can't go through C.
#[expect(unsafe_code, reason = "libpcap is a library of C")]
unsafe extern "C" fn shown<F: FnMut(&[u8], u32, i64)>(
    user: *mut c_uchar,
    header: *const PacketHeader,
    bytes: *const c_uchar,
) {
    // SAFETY: `dispatch` has passed an F, which it does not use meanwhile.
    let show = unsafe { &mut *user.cast::<F>() };
    // SAFETY: libpcap passes the header of this frame.
    let header = unsafe { &*header };
    // SAFETY: and as many bytes of it as the header says, for the time of this call.
    let data = unsafe { std::slice::from_raw_parts(bytes, header.captured as usize) };
    show(data, header.length, header.seconds * 1_000_000_000 + header.microseconds * 1_000);
}

#[expect(unsafe_code, reason = "libpcap is a library of C")]
pub(super) fn text(words: *const c_char) -> String {
    if words.is_null() {
        return String::new();
    }
    // SAFETY: every caller has a string of libpcap's, which ends in zero.
    unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_refused_in_the_librarys_words() {
        match Handle::open("nothing0", 96, false, 10, 1 << 20) {
            Err(PcapError::Missing(_)) => assert!(Functions::get().is_err()),
            // Without rights it says that first.
            Err(PcapError::NotPermitted(name)) => assert_eq!(name, "nothing0"),
            Err(error) => assert!(error.to_string().contains("nothing0"), "{error}"),
            Ok(_) => panic!("there is no such interface"),
        }
    }
}
