//! The functions of libpcap that are used, by name, and the structures that they take (pcap/pcap.h, pcap/bpf.h).

use std::ffi::{c_char, c_int, c_uchar, c_uint};

use libloading::Library;

/// `pcap_t`, which only the library looks into.
#[repr(C)]
pub(super) struct Pcap {
    _private: [u8; 0],
}

/// One instruction of classic BPF, `struct bpf_insn` (and `struct sock_filter` of linux/filter.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// Instructions to skip where a comparison holds.
    pub jt: u8,
    /// Instructions to skip where it doesn't.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// `struct bpf_program`.
#[repr(C)]
pub(super) struct Program {
    pub(super) length: c_uint,
    pub(super) instructions: *mut Instruction,
}

/// `struct pcap_pkthdr`.
#[repr(C)]
pub(super) struct PacketHeader {
    pub(super) seconds: libc::time_t,
    pub(super) microseconds: libc::suseconds_t,
    pub(super) captured: u32,
    pub(super) length: u32,
}

/// `struct pcap_stat`.
#[repr(C)]
#[derive(Default)]
pub(super) struct Counts {
    pub(super) received: c_uint,
    pub(super) dropped: c_uint,
    pub(super) interface_dropped: c_uint,
}

/// `pcap_handler`.
pub(super) type Handler = unsafe extern "C" fn(*mut c_uchar, *const PacketHeader, *const c_uchar);

macro_rules! table {
    ($($name:ident($($argument:ty),*) -> $result:ty;)+) => {
        /// Every function that is used; the library stays open as long as this lives.
        #[derive(Debug)]
        pub(super) struct Table {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) -> $result,)+
            _library: Library,
        }

        impl Table {
            /// Opens the library and finds every function.
            #[expect(unsafe_code, reason = "libpcap is a C library")]
            pub(super) fn load(name: &str) -> Result<Self, libloading::Error> {
                // SAFETY: libpcap's initialisers do nothing but set up its own data.
                let library = unsafe { Library::new(name) }?;
                Ok(Self {
                    $(
                        // SAFETY: the type is that of the function of this name in pcap/pcap.h.
                        $name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }?,
                    )+
                    _library: library,
                })
            }
        }
    };
}

table! {
    pcap_lib_version() -> *const c_char;
    pcap_statustostr(c_int) -> *const c_char;
    pcap_geterr(*mut Pcap) -> *const c_char;
    pcap_close(*mut Pcap) -> ();
    pcap_open_dead(c_int, c_int) -> *mut Pcap;
    pcap_fopen_offline(*mut libc::FILE, *mut c_char) -> *mut Pcap;
    pcap_compile(*mut Pcap, *mut Program, *const c_char, c_int, u32) -> c_int;
    pcap_freecode(*mut Program) -> ();
    pcap_create(*const c_char, *mut c_char) -> *mut Pcap;
    pcap_set_snaplen(*mut Pcap, c_int) -> c_int;
    pcap_set_promisc(*mut Pcap, c_int) -> c_int;
    pcap_set_timeout(*mut Pcap, c_int) -> c_int;
    pcap_set_buffer_size(*mut Pcap, c_int) -> c_int;
    pcap_set_immediate_mode(*mut Pcap, c_int) -> c_int;
    pcap_activate(*mut Pcap) -> c_int;
    pcap_setnonblock(*mut Pcap, c_int, *mut c_char) -> c_int;
    pcap_setfilter(*mut Pcap, *mut Program) -> c_int;
    pcap_datalink(*mut Pcap) -> c_int;
    pcap_get_selectable_fd(*mut Pcap) -> c_int;
    pcap_dispatch(*mut Pcap, c_int, Handler, *mut c_uchar) -> c_int;
    pcap_stats(*mut Pcap, *mut Counts) -> c_int;
}
