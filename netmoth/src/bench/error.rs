//! Why a measurement did not come about.

use netmoth_traffic::{ProfileError, Sizes};

use crate::capture::CaptureError;
use crate::cause::Cause;
use crate::filter::FilterError;
use crate::flow::FlowError;

/// Why a measurement did not come about.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BenchError {
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Flow(#[from] FlowError),
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(
        "the kernel runs no program for this: {0}; CAP_BPF and CAP_NET_ADMIN are needed: run it as root (sudo netmoth bench …)"
    )]
    Kernel(Cause),
    #[error("{file} exists; choose another name, or write over it with --force")]
    Exists { file: String },
    #[error("{file} can't be written: {cause}")]
    File { file: String, cause: Cause },
    #[error("this process may not run on CPU {core}; those that it may run on are {allowed} (see taskset)")]
    Core { core: usize, allowed: String },
    #[error("{what} must be at least {least}; it is {given}")]
    TooFew { what: &'static str, least: u64, given: u64 },
    #[error("frames of {sizes} bytes do not fit: {limit} is the most here ({why})")]
    TooLong { sizes: Sizes, limit: usize, why: &'static str },
    #[error(
        "{name} is no veth (its driver is {driver}), and benchmark traffic is sent onto veths alone: this is no traffic \
         generator for networks of others. Make a pair with: ip link add out0 type veth peer name tap0"
    )]
    NoVeth { name: String, driver: String },
    #[error(
        "{name} carries this host's default route: what is sent there may reach networks of others. Make a pair that leads \
         nowhere else with: ip link add out0 type veth peer name tap0"
    )]
    LeadsOut { name: String },
    #[error("{name} has {queues} queues (0 to {last}); queue {queue} does not exist")]
    NoQueue { name: String, queues: u32, last: u32, queue: u32 },
    #[error("the kernel does not complete what was sent on {name}: {waiting} frames wait since {seconds} s")]
    Stuck { name: String, waiting: u32, seconds: u64 },
    #[error(
        "the sender and the sensor need a core each, and this process may run on {allowed} alone: give it another (see \
         taskset), or run this on a machine that has more"
    )]
    OneCore { allowed: String },
    #[error(
        "the network that is measured on takes root to be made (CAP_SYS_ADMIN and CAP_NET_ADMIN); run it with sudo"
    )]
    NoNetwork,
    #[error("the network that is measured on can't be {step}: {cause}")]
    Network { step: &'static str, cause: Cause },
    #[error("no folder for the sensors in {place}: {cause}; TMPDIR chooses another place")]
    Folder { place: String, cause: Cause },
    #[error("{0}")]
    Sensor(String),
    #[error("stopped before all was measured: nothing is reported")]
    Stopped,
    #[error("Ctrl-C can't be caught: {0}")]
    Signal(Cause),
    #[error("the measurement is worth nothing: {0}. This is a defect, please report it")]
    Worthless(String),
}

impl BenchError {
    /// Whether it was asked for wrongly; otherwise it did not work out.
    pub fn is_about_the_question(&self) -> bool {
        use BenchError::{Core, Exists, NoQueue, Profile, TooFew, TooLong};
        matches!(
            self,
            Profile(_)
                | Exists { .. }
                | Core { .. }
                | TooFew { .. }
                | TooLong { .. }
                | NoQueue { .. }
                | Self::Flow(FlowError::MaxFlows(_))
                | Self::Filter(FilterError::Libpcap(_))
        )
    }
}
