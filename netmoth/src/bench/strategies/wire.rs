//! The wire: a veth pair in a network namespace that nobody else is in.

use std::io;

use crate::bench::BenchError;
use crate::capture::veth;

/// The sender's end.
pub(super) const OUT: &str = "bench-out";
/// The sensor's end. Its name is not a likely one for an interface of the host, whose sysfs is looked into, too.
pub(super) const TAP: &str = "bench-tap";
const MTU: u32 = 1_500;
/// The longest frame: a packet as long as the MTU, and its Ethernet header.
pub(super) const LONGEST: u16 = MTU as u16 + 14;

/// Moves the calling thread into a network namespace of its own, which goes when everything in it has gone. Threads and
/// processes that it starts are there, too.
///
/// # Errors
/// Without CAP_SYS_ADMIN, or where the kernel has no namespaces.
#[expect(unsafe_code, reason = "unshare is a kernel interface")]
pub(super) fn leave_the_host() -> Result<(), BenchError> {
    // SAFETY: takes a flag by value, and changes this thread's network alone.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 {
        return Ok(());
    }
    Err(failed("made")(io::Error::last_os_error()))
}

/// Both ends, up and silent; removed when dropped.
#[derive(Debug)]
pub(super) struct Wire {
    out: u32,
}

impl Wire {
    /// Lays it in the calling thread's namespace.
    ///
    /// # Errors
    /// Where the kernel refuses a step.
    pub(super) fn lay() -> Result<Self, BenchError> {
        veth::create_veth(OUT, TAP, MTU).map_err(failed("made"))?;
        let wire = Self { out: index(OUT)? };
        for end in [wire.out, index(TAP)?] {
            veth::keep_silent(end).map_err(failed("kept silent"))?;
            veth::set_up(end).map_err(failed("set up"))?;
        }
        Ok(wire)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // What is left goes with the namespace.
        let _ = veth::delete(self.out);
    }
}

fn index(name: &str) -> Result<u32, BenchError> {
    Ok(crate::capture::Interface::find(name)?.index)
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> BenchError {
    move |cause| match cause.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => BenchError::NoNetwork,
        _ => BenchError::Network { step, cause: cause.into() },
    }
}
