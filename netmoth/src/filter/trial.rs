//! A filter in the kernel, tried on frames without an interface (BPF_PROG_TEST_RUN): what it says, and what it costs.
//!
//! Behind the translation stand two programs that return which way it went, as in capture the two stand that take a frame and
//! let it pass.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use netmoth_shared::{STAGE_MATCHED, STAGE_UNMATCHED, STAGES};

use super::ebpf::{Insn, R};
use super::load::{load, put};
use super::{Filter, FilterError, ProgramKind};

/// What the two programs return.
const MATCHED: u32 = 71;
const UNMATCHED: u32 = 72;

/// BPF_MAP_CREATE and BPF_PROG_TEST_RUN of `enum bpf_cmd`; BPF_MAP_TYPE_PROG_ARRAY.
const MAP_CREATE: libc::c_long = 0;
const TEST_RUN: libc::c_long = 10;
const PROGRAM_ARRAY: u32 = 3;

/// Shortest frame that the kernel tries a program on: an Ethernet header. Newer ones want the whole header of IP at traffic
/// control, where the frame says that it has one (net/bpf/test_run.c).
pub const SHORTEST: usize = 14;

/// A place to try filters in: an array of stages whose last two are there.
#[derive(Debug)]
pub struct Trial {
    kind: ProgramKind,
    stages: OwnedFd,
}

/// A filter in the kernel. It is gone when this is dropped.
#[derive(Debug)]
pub struct Loaded(OwnedFd);

impl Trial {
    /// Makes the array and the two programs.
    ///
    /// # Errors
    /// What the kernel answers, most often that this process may not (CAP_BPF, CAP_NET_ADMIN).
    pub fn new(kind: ProgramKind) -> io::Result<Self> {
        let stages = program_array()?;
        for (stage, says) in [(STAGE_MATCHED, MATCHED), (STAGE_UNMATCHED, UNMATCHED)] {
            let program = load(&[Insn::set(R(0), says), Insn::exit()], kind, &mut [])?;
            put(stages.as_fd(), stage, program.as_fd())?;
        }
        Ok(Self { kind, stages })
    }

    /// Loads the translation of a filter.
    ///
    /// # Errors
    /// As [`Filter::load`].
    pub fn load(&self, filter: &Filter) -> Result<Loaded, FilterError> {
        filter.load(self.kind, self.stages.as_fd()).map(Loaded)
    }
}

#[expect(unsafe_code, reason = "bpf is a kernel interface")]
fn program_array() -> io::Result<OwnedFd> {
    // Type, size of keys, size of values, entries (union bpf_attr).
    let attributes = [PROGRAM_ARRAY, 4, 4, STAGES];
    // SAFETY: the kernel reads 16 bytes of a live array.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, MAP_CREATE, attributes.as_ptr(), 16) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// The part of `union bpf_attr` that BPF_PROG_TEST_RUN reads and writes.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    returned: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    nanoseconds: u32,
    context: [u64; 3],
    more: [u32; 4],
}

impl Loaded {
    /// Whether a frame matches; it has [`SHORTEST`] bytes at least, and fits a page with its headroom.
    ///
    /// # Errors
    /// What the kernel has against the frame.
    pub fn matches(&self, frame: &[u8]) -> io::Result<bool> {
        match self.run(frame, 1)?.0 {
            MATCHED => Ok(true),
            UNMATCHED => Ok(false),
            other => Err(io::Error::other(format!("{other} was returned by neither of the two"))),
        }
    }

    /// What one run takes, as the kernel measures it over `repeat` of them on one frame, in whole nanoseconds.
    ///
    /// # Errors
    /// As [`Loaded::matches`].
    pub fn cost(&self, frame: &[u8], repeat: u32) -> io::Result<Duration> {
        Ok(Duration::from_nanos(self.run(frame, repeat)?.1.into()))
    }

    /// What was returned, and nanoseconds for one run of `repeat`.
    #[expect(unsafe_code, reason = "bpf is a kernel interface")]
    fn run(&self, frame: &[u8], repeat: u32) -> io::Result<(u32, u32)> {
        let mut run = TestRun {
            program: self.0.as_raw_fd() as u32,
            size_in: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat,
            ..TestRun::default()
        };
        loop {
            // SAFETY: the kernel reads as many bytes of the frame as it is told, and writes to the attributes alone.
            let answer = unsafe { libc::syscall(libc::SYS_bpf, TEST_RUN, &raw mut run, size_of::<TestRun>()) };
            let cause = io::Error::last_os_error();
            match (answer, cause.kind()) {
                (0, _) => return Ok((run.returned, run.nanoseconds)),
                (_, io::ErrorKind::Interrupted) => {}
                _ => return Err(cause),
            }
        }
    }
}
