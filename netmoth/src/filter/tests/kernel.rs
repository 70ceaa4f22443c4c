//! A translation in the kernel, run on frames (BPF_PROG_TEST_RUN), with programs behind it that say which way it went.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use netmoth_shared::{STAGE_MATCHED, STAGE_UNMATCHED, STAGES};

use crate::filter::ebpf::{Insn, R};
use crate::filter::load::{load, put};
use crate::filter::{Filter, FilterError, ProgramKind};

/// What the two programs return.
const MATCHED: u32 = 71;
const UNMATCHED: u32 = 72;

/// BPF_MAP_CREATE and BPF_PROG_TEST_RUN of `enum bpf_cmd`; BPF_MAP_TYPE_PROG_ARRAY.
const MAP_CREATE: libc::c_long = 0;
const TEST_RUN: libc::c_long = 10;
const PROGRAM_ARRAY: u32 = 3;

/// Whether this process may load programs. Continuous integration may not skip what it can't run.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
pub(super) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    assert!(root || std::env::var_os("CI").is_none(), "this test needs root, and in CI it may not be skipped");
    if !root {
        eprintln!("skipped: this test needs root");
    }
    root
}

/// An array of stages whose last two are there.
pub(super) struct Kernel {
    kind: ProgramKind,
    stages: OwnedFd,
}

/// A filter in the kernel.
pub(super) struct Loaded(OwnedFd);

impl Kernel {
    pub(super) fn new(kind: ProgramKind) -> Self {
        let stages = program_array();
        for (stage, says) in [(STAGE_MATCHED, MATCHED), (STAGE_UNMATCHED, UNMATCHED)] {
            let program = load(&[Insn::set(R(0), says), Insn::exit()], kind, &mut []).unwrap();
            put(stages.as_fd(), stage, program.as_fd()).unwrap();
        }
        Self { kind, stages }
    }

    pub(super) fn load(&self, filter: &Filter) -> Result<Loaded, FilterError> {
        filter.load(self.kind, self.stages.as_fd()).map(Loaded)
    }
}

#[expect(unsafe_code, reason = "bpf is a kernel interface")]
fn program_array() -> OwnedFd {
    // Type, size of keys, size of values, entries (union bpf_attr).
    let attributes = [PROGRAM_ARRAY, 4, 4, STAGES];
    // SAFETY: the kernel reads 16 bytes of a live array.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, MAP_CREATE, attributes.as_ptr(), 16) };
    assert!(fd >= 0, "a program array: {}", io::Error::last_os_error());
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) }
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
    /// Whether a frame matches.
    pub(super) fn matches(&self, frame: &[u8]) -> bool {
        match self.run(frame, 1).0 {
            MATCHED => true,
            UNMATCHED => false,
            other => panic!("{other} was returned by neither of the two"),
        }
    }

    /// What was returned, and nanoseconds for one run of `repeat`.
    #[expect(unsafe_code, reason = "bpf is a kernel interface")]
    pub(super) fn run(&self, frame: &[u8], repeat: u32) -> (u32, u32) {
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
                (0, _) => return (run.returned, run.nanoseconds),
                (_, io::ErrorKind::Interrupted) => {}
                _ => panic!("a frame of {} bytes: {cause}", frame.len()),
            }
        }
    }
}
