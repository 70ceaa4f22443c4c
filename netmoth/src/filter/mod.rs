//! Capture filters in tcpdump's language.
//!
//! libpcap compiles an expression into classic BPF, for frames of one link type, with all offsets plain (`compile`). The same
//! program is run in user space for capture files (`run`), or translated into eBPF (`translate`, `ebpf`) and loaded into the
//! kernel (`load`), where it stands between two programs of ours: before anything of a frame is copied, it goes on by tail
//! call to the one that takes it or to the one that lets it pass. [`trial`] tries that without an interface.

mod compile;
mod ebpf;
mod error;
mod load;
mod run;
mod translate;
pub mod trial;

pub use error::FilterError;
pub use load::ProgramKind;
pub(crate) use load::put;

use crate::libpcap::Instruction;

/// DLT_EN10MB of pcap/dlt.h: Ethernet.
pub const ETHERNET: i32 = 1;

/// A compiled filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Checked: it can be run and translated without looking again.
    program: Vec<Instruction>,
}

impl Filter {
    /// The classic program.
    pub fn program(&self) -> &[Instruction] {
        &self.program
    }
}

#[cfg(test)]
mod tests;
