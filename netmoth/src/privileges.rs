//! What this process may do, thread by thread: asked for before anything is begun, given up when capture has started.
//!
//! Linux keeps capabilities by thread, and a new thread has those of the thread that starts it (capabilities(7)). So every
//! thread that reads frames or talks to the network is started out of one that has given its own up first ([`with_only`]):
//! there is no moment at which it has any. What is left:
//!
//! | thread | keeps, of what the process was given |
//! |---|---|
//! | workers, metrics, link watch, signals | nothing |
//! | writer, upkeep | [`FILES`], so that a root-run sensor goes on writing to files of another user; the unit grants none of them |
//! | main thread | what taking capture down needs ([`until_the_end`]) |
//!
//! Netmoth starts no program; what would be started by force gets no more rights than its parent ([`no_new_privileges`]).

use std::io;
use std::thread;

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use log::{debug, warn};
use tuning::limits::{self, KernelVersion};

use crate::capture::{Live, Strategy};

/// Nothing at all.
pub(crate) const NONE: &[Capability] = &[];

/// What writing to a file of another user takes; CAP_CHOWN because SQLite, run by root, gives the files beside a database the
/// database's owner.
pub(crate) const FILES: &[Capability] =
    &[Capability::CAP_CHOWN, Capability::CAP_DAC_OVERRIDE, Capability::CAP_DAC_READ_SEARCH, Capability::CAP_FOWNER];

/// From here on any process may read a map that it has open; before, kernel.unprivileged_bpf_disabled forbids that, too
/// (kernel/bpf/syscall.c).
const MAPS_ARE_READABLE: KernelVersion = KernelVersion(5, 19);

/// The capabilities that `strategy: ebpf` needs and this process lacks. The other strategies need CAP_NET_RAW alone and say so
/// themselves; `auto` falls back to them. Where procfs does not say what there is, the kernel has the word later.
pub(crate) fn lacking(strategy: Strategy) -> Vec<&'static str> {
    match limits::read() {
        Ok(limits) if strategy == Strategy::Ebpf => {
            limits.lacking_for_ebpf().into_iter().map(limits::Capability::name).collect()
        }
        _ => Vec::new(),
    }
}

/// What the main thread needs until the end: to read the counters, and to leave the interface as it was.
pub(crate) fn until_the_end(live: &Live) -> Vec<Capability> {
    // Of an unknown kernel the worst is assumed.
    let kernel = limits::read().map_or(KernelVersion(0, 0), |limits| limits.kernel);
    // Root has both, and CAP_BPF is the smaller one.
    let has_bpf = caps::has_cap(None, CapSet::Permitted, Capability::CAP_BPF).unwrap_or(false);
    let reads = if has_bpf { Capability::CAP_BPF } else { Capability::CAP_SYS_ADMIN };
    kept_for(matches!(live, Live::Mirror(_)), matches!(live, Live::Tap(_)), kernel, reads)
}

fn kept_for(mirror: bool, tap: bool, kernel: KernelVersion, reads: Capability) -> Vec<Capability> {
    let mut kept = Vec::new();
    // The private pair is removed at the end, and filters of clsact. A tap's program goes with its link, which takes no right to close.
    if mirror {
        kept.push(Capability::CAP_NET_ADMIN);
    }
    if (mirror || tap) && kernel < MAPS_ARE_READABLE {
        kept.push(reads);
    }
    kept
}

/// From now on no program that this process might start has more rights than the process (PR_SET_NO_NEW_PRIVS). Threads that
/// run already are not concerned.
#[expect(unsafe_code, reason = "prctl is a kernel interface")]
pub(crate) fn no_new_privileges() {
    // SAFETY: no pointers.
    let answer = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if answer != 0 {
        warn!("new privileges can't be ruled out: {}", io::Error::last_os_error());
    }
}

/// Runs `start` in a thread that has `keep` of this thread's capabilities and no others, as have all threads that it starts.
///
/// # Errors
/// Where the system has no thread for it.
pub(crate) fn with_only<T: Send>(keep: &[Capability], start: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let inside = thread::Builder::new().name("start".into()).spawn_scoped(scope, || {
            keep_only(keep);
            start()
        })?;
        Ok(inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Gives up all of this thread's capabilities but `keep`, for good. Where the kernel refuses (a seccomp filter may), it says
/// so and goes on.
pub(crate) fn keep_only(keep: &[Capability]) {
    match reduce(keep) {
        Ok((_, 0)) => {}
        Ok((kept, given_up)) => {
            let me = thread::current();
            let name = me.name().unwrap_or("a thread");
            debug!("{name}: {given_up} capabilities given up, {} left", names(&kept));
        }
        Err(error) => warn!("capabilities can't be given up, and stay: {error}"),
    }
}

/// Returns what is left of `keep`, and how many others are gone.
fn reduce(keep: &[Capability]) -> Result<(CapsHashSet, usize), CapsError> {
    let had = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = keep.iter().copied().filter(|one| had.contains(one)).collect();
    // What a program that this thread might start could ever get: nothing. Takes CAP_SETPCAP, so it comes first; without,
    // there is no way to use the set, because new privileges are ruled out.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for one in caps::runtime::thread_all_supported() {
            caps::drop(None, CapSet::Bounding, one)?;
        }
    }
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient)?;
    }
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    let given_up = had.len() - kept.len();
    Ok((kept, given_up))
}

fn names(set: &CapsHashSet) -> String {
    let mut names: Vec<String> = set.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Capability::{CAP_BPF, CAP_NET_ADMIN, CAP_SYS_ADMIN};

    #[test]
    fn the_main_thread_keeps_what_the_kernel_makes_it_need() {
        let (mirror, tap, copies) = ((true, false), (false, true), (false, false));
        let kept = |(mirror, tap), major, minor, reads| kept_for(mirror, tap, KernelVersion(major, minor), reads);
        assert_eq!(kept(mirror, 6, 18, CAP_BPF), [CAP_NET_ADMIN]);
        assert_eq!(kept(mirror, 5, 10, CAP_BPF), [CAP_NET_ADMIN, CAP_BPF]);
        assert_eq!(kept(mirror, 5, 4, CAP_SYS_ADMIN), [CAP_NET_ADMIN, CAP_SYS_ADMIN]);
        assert_eq!(kept(tap, 6, 1, CAP_BPF), []);
        assert_eq!(kept(tap, 5, 10, CAP_BPF), [CAP_BPF]);
        assert_eq!(kept(tap, 5, 14, CAP_SYS_ADMIN), [CAP_SYS_ADMIN]);
        assert_eq!(kept(copies, 5, 4, CAP_SYS_ADMIN), []);
    }

    #[test]
    fn a_thread_that_has_given_up_its_capabilities_starts_threads_without_any_and_nobody_else_loses_some() {
        let permitted = || caps::read(None, CapSet::Permitted).unwrap();
        let before = permitted();
        let inside = with_only(NONE, || thread::spawn(permitted).join().unwrap()).unwrap();
        assert!(inside.is_empty(), "{inside:?}");
        let files = with_only(FILES, || thread::spawn(permitted).join().unwrap()).unwrap();
        assert!(files.iter().all(|one| FILES.contains(one) && before.contains(one)), "{files:?}");
        assert_eq!(permitted(), before);
    }
}
