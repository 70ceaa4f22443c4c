//! The translation into the kernel: bpf(2), BPF_PROG_LOAD. aya loads objects alone.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use netmoth_shared::STAGE_FILTER;

use super::ebpf::Insn;
use super::translate::{Reach, translate};
use super::{Filter, FilterError};

/// Where a filter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// XDP.
    Xdp,
    /// Traffic control.
    SchedCls,
}

/// BPF_MAP_UPDATE_ELEM and BPF_PROG_LOAD of `enum bpf_cmd`.
const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
/// BPF_XDP of `enum bpf_attach_type`: what aya loads XDP programs for, and so what those that they call must be loaded for.
const ATTACH_XDP: u32 = 37;
/// Bytes of the verifier's log; it says what is wrong at its end, and is only asked for where something is.
const LOG: usize = 1 << 20;
/// Characters of it that are shown.
const SHOWN: usize = 300;

impl ProgramKind {
    /// What a program returns that lets a frame go on: XDP_PASS, TCX_NEXT (which is TC_ACT_UNSPEC).
    pub(super) fn pass(self) -> i32 {
        match self {
            Self::Xdp => 2,
            Self::SchedCls => -1,
        }
    }

    /// BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_SCHED_CLS of `enum bpf_prog_type`.
    fn number(self) -> u32 {
        match self {
            Self::Xdp => 6,
            Self::SchedCls => 3,
        }
    }
}

/// The part of `union bpf_attr` that BPF_PROG_LOAD reads (linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct Attributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

/// The part of `union bpf_attr` that BPF_MAP_UPDATE_ELEM reads.
#[repr(C)]
struct Update {
    map: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl Filter {
    /// Loads the translation into the slot of `stages` where programs look for it. It stays there as long as `stages` does.
    ///
    /// # Errors
    /// As [`Filter::load`].
    pub fn install(&self, kind: ProgramKind, stages: BorrowedFd<'_>) -> Result<(), FilterError> {
        let program = self.load(kind, stages)?;
        put(stages, STAGE_FILTER, program.as_fd())
            .map_err(|cause| FilterError::Refused { cause: cause.to_string(), log: String::new() })
    }

    /// Loads the translation: a program that ends in a tail call into `stages`, at `STAGE_MATCHED` or at `STAGE_UNMATCHED`.
    ///
    /// # Errors
    /// Where the kernel refuses it, with the end of the verifier's log.
    pub fn load(&self, kind: ProgramKind, stages: BorrowedFd<'_>) -> Result<OwnedFd, FilterError> {
        let first = self.load_as(kind, Reach::Helpers, stages);
        match (kind, &first) {
            // A kernel before 5.18 does not know the helpers.
            (ProgramKind::Xdp, Err(FilterError::Refused { .. })) => {
                self.load_as(kind, Reach::InPlace, stages).or(first)
            }
            _ => first,
        }
    }

    fn load_as(&self, kind: ProgramKind, reach: Reach, stages: BorrowedFd<'_>) -> Result<OwnedFd, FilterError> {
        let code = translate(self, kind, reach, stages.as_raw_fd())?;
        load(&code, kind, &mut []).or_else(|cause| {
            let mut log = vec![0; LOG];
            // Once more, for the reason.
            load(&code, kind, &mut log)
                .map_err(|_| FilterError::Refused { cause: cause.to_string(), log: end_of(&log) })
        })
    }
}

#[expect(unsafe_code, reason = "bpf is a kernel interface")]
pub(super) fn load(code: &[Insn], kind: ProgramKind, log: &mut [u8]) -> io::Result<OwnedFd> {
    let license: &CStr = c"Apache-2.0";
    let mut name = [0; 16];
    name[..14].copy_from_slice(b"netmoth_filter");
    let attributes = Attributes {
        program_type: kind.number(),
        instruction_count: code.len() as u32,
        instructions: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        name,
        expected_attach_type: if kind == ProgramKind::Xdp { ATTACH_XDP } else { 0 },
        ..Attributes::default()
    };
    let size = size_of::<Attributes>();
    // SAFETY: the kernel reads `size` bytes of live attributes and what they point to, of the lengths that they give, and
    // writes to the log alone.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attributes, size) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// Puts a program into a slot of a program array.
///
/// # Errors
/// What the kernel answers.
#[expect(unsafe_code, reason = "bpf is a kernel interface")]
pub(crate) fn put(stages: BorrowedFd<'_>, slot: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    let descriptor = program.as_raw_fd();
    let update = Update {
        map: stages.as_raw_fd() as u32,
        reserved: 0,
        key: (&raw const slot) as u64,
        value: (&raw const descriptor) as u64,
        flags: 0,
    };
    // SAFETY: the kernel reads live attributes, and a key and a value of four bytes each, which is what a program array has.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, MAP_UPDATE_ELEM, &raw const update, size_of::<Update>()) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the log says last.
fn end_of(log: &[u8]) -> String {
    let text =
        CStr::from_bytes_until_nul(log).map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned());
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("processed ")).collect();
    let from = lines.len().saturating_sub(3);
    let end = lines[from..].join("; ");
    end.chars().skip(end.chars().count().saturating_sub(SHOWN)).collect()
}
