//! The programs at traffic control from user space: loads them, tells them the pair, attaches them, reads their counters.

use std::io;

use aya::maps::{Array, MapData, PerCpuArray};
use aya::programs::tc::{NlOptions, SchedClassifierLinkId, TcAttachOptions, qdisc_add_clsact};
use aya::programs::{LinkOrder, ProgramError as AyaProgramError, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader, Pod};
use netmoth_shared::mirror::{
    Count, DROP, EGRESS, INGRESS, MATCHED, MIRROR_COUNTS_MAP, MIRROR_SETTINGS_MAP, MIRROR_STAGES_MAP, MirrorSettings,
    UNMATCHED,
};
use netmoth_shared::{STAGE_MATCHED, STAGE_UNMATCHED};

use super::clsact::{self, Clsact};
use crate::capture::ebpf::program::{Stages, object, take};
use crate::capture::{CaptureError, Interface, ProgramError};
use crate::filter::{Filter, ProgramKind};

// The layout as aya wants it marked; the marker can be put on our own types alone.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct SettingsRow(MirrorSettings);

#[expect(unsafe_code, reason = "aya's marker for plain data is an unsafe trait")]
// SAFETY: a repr(C) struct of four u32: any bytes are valid, and its size is asserted to leave no padding.
unsafe impl Pod for SettingsRow {}

/// By what the kernel holds a program at traffic control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A tcx link (Linux 6.6): the kernel takes the program off when the process ends, however it ends.
    Tcx,
    /// A filter of the clsact qdisc: stays when the process is killed, until the next start.
    Clsact,
}

/// The loaded programs with their maps; detached when dropped.
pub(super) struct MirrorProgram {
    ebpf: Ebpf,
    counts: PerCpuArray<MapData, u64>,
    /// Where there is a filter: what stands in it stays as long as it is open.
    _stages: Option<Stages>,
    links: Vec<(&'static str, SchedClassifierLinkId)>,
    clsact: Option<Clsact>,
}

impl MirrorProgram {
    /// Loads the programs; they will send clones out of the interface with index `into`, which has a queue of its own or not.
    /// With a filter, only of frames that match.
    pub(super) fn load(into: u32, queued: bool, filter: Option<&Filter>) -> Result<Self, ProgramError> {
        let mut ebpf = EbpfLoader::new().load(&object()?).map_err(ProgramError::from_load)?;
        let mut settings: Array<MapData, SettingsRow> = take(&mut ebpf, MIRROR_SETTINGS_MAP)?;
        let filtered = filter.is_some().into();
        let row = MirrorSettings { ifindex: into, filtered, queued: queued.into(), reserved: 0 };
        settings.set(0, SettingsRow(row), 0).map_err(|source| ProgramError::map(MIRROR_SETTINGS_MAP, source))?;
        let counts = take(&mut ebpf, MIRROR_COUNTS_MAP)?;
        for name in [INGRESS, EGRESS] {
            program(&mut ebpf, name)?.load().map_err(ProgramError::from_program)?;
        }
        let stages = filter.map(|filter| stages(&mut ebpf, filter)).transpose()?;
        Ok(Self { ebpf, counts, _stages: stages, links: Vec::new(), clsact: None })
    }

    /// Closes the far end of the pair to the host's stack: what no socket takes ends there. A filter of clsact, not a link: it
    /// outlives this process, as the pair does, because a killed process closes its sockets before its programs.
    pub(super) fn close(&mut self, far: &str) {
        if let Err(cause) = self.try_close(far) {
            log::warn!(
                "{far} can't be closed to the host's stack ({cause}): should Netmoth be killed, broadcasts may reach it twice \
                 for a moment. It takes CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS"
            );
        }
    }

    fn try_close(&mut self, far: &str) -> Result<(), AyaProgramError> {
        qdisc_add_clsact(far)?;
        let Some(program) = self.ebpf.program_mut(DROP) else { return Ok(()) };
        let program: &mut SchedClassifier = program.try_into()?;
        program.load()?;
        let options = TcAttachOptions::Netlink(NlOptions::default());
        let id = program.attach_with_options(far, TcAttachType::Ingress, options)?;
        // Goes with the pair.
        std::mem::forget(program.take_link(id)?);
        Ok(())
    }

    /// Attaches them: as tcx links, and on kernels that have none as filters of clsact. `hook` insists on one of the two.
    pub(super) fn attach(&mut self, to: &Interface, hook: Option<Hook>) -> Result<Hook, CaptureError> {
        // What a killed run left on a kernel without tcx.
        let left = clsact::sweep(&to.name);
        let hook = match hook {
            Some(Hook::Clsact) => Hook::Clsact,
            wanted => match self.attach_all(to, Hook::Tcx) {
                Ok(()) => return Ok(Hook::Tcx),
                Err(AyaProgramError::SyscallError(failed)) if wanted.is_none() && unknown(&failed.io_error) => {
                    Hook::Clsact
                }
                Err(error) => return Err(refused(to, error)),
            },
        };
        self.clsact = Some(Clsact::add(to, left).map_err(|cause| CaptureError::mirror(&to.name, cause))?);
        self.attach_all(to, hook).map_err(|error| refused(to, error))?;
        Ok(hook)
    }

    fn attach_all(&mut self, to: &Interface, hook: Hook) -> Result<(), AyaProgramError> {
        for (name, way) in [(INGRESS, TcAttachType::Ingress), (EGRESS, TcAttachType::Egress)] {
            // What the loopback sends it receives: one look is enough.
            if way == TcAttachType::Egress && super::is_loopback(to) {
                continue;
            }
            let Ok(program) = program(&mut self.ebpf, name) else { continue };
            let options = match hook {
                // Before whatever else is there: it might end the frame's way.
                Hook::Tcx => TcAttachOptions::TcxOrder(LinkOrder::first()),
                Hook::Clsact => TcAttachOptions::Netlink(NlOptions::default()),
            };
            self.links.push((name, program.attach_with_options(&to.name, way, options)?));
        }
        Ok(())
    }

    /// Frames by [`Count`], summed over the CPUs.
    pub(super) fn counts(&self) -> Result<[u64; Count::COUNT], ProgramError> {
        let mut counts = [0; Count::COUNT];
        for (count, what) in counts.iter_mut().zip(Count::ALL) {
            let values = self.counts.get(&(what as u32), 0);
            let values = values.map_err(|source| ProgramError::map(MIRROR_COUNTS_MAP, source))?;
            *count = values.iter().fold(0, |sum: u64, value| sum.wrapping_add(*value));
        }
        Ok(counts)
    }

    /// Takes the programs off the interface; maps and counters stay.
    pub(super) fn detach(&mut self) {
        for (name, link) in self.links.drain(..) {
            if let Ok(program) = program(&mut self.ebpf, name)
                && let Err(error) = program.detach(link)
            {
                log::warn!("the program {name} didn't come off the interface: {error}");
            }
        }
        drop(self.clsact.take());
    }
}

impl Drop for MirrorProgram {
    fn drop(&mut self) {
        self.detach();
    }
}

/// The filter, and the programs behind it.
fn stages(ebpf: &mut Ebpf, filter: &Filter) -> Result<Stages, ProgramError> {
    let stages = Stages::take(ebpf, MIRROR_STAGES_MAP)?;
    for (stage, name) in [(STAGE_MATCHED, MATCHED), (STAGE_UNMATCHED, UNMATCHED)] {
        let program = program(ebpf, name)?;
        program.load().map_err(ProgramError::from_program)?;
        stages.put(stage, program.fd().map_err(ProgramError::from_program)?)?;
    }
    stages.install(filter, ProgramKind::SchedCls)?;
    Ok(stages)
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, ProgramError> {
    let program = ebpf.program_mut(name).ok_or(ProgramError::WrongObject { missing: name })?;
    program.try_into().map_err(|_: AyaProgramError| ProgramError::WrongObject { missing: name })
}

/// What kernels before 6.6 say of a tcx link.
fn unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
}

fn refused(to: &Interface, error: AyaProgramError) -> CaptureError {
    let cause = match error {
        AyaProgramError::SyscallError(failed) => failed.io_error,
        other => io::Error::other(other.to_string()),
    };
    CaptureError::mirror(&to.name, cause)
}

#[cfg(test)]
mod tests {
    use aya::programs::{TestRun as _, TestRunOptions};

    use super::*;
    use crate::filter::ETHERNET;
    use crate::testing::is_root;

    /// No interface has it: each attempt to clone fails, and is counted as such.
    const NOWHERE: u32 = i32::MAX as u32;
    const NEXT: i32 = -1;

    /// Has the kernel run both programs for a frame; returns what was counted.
    fn run(mirror: &mut MirrorProgram) -> Vec<(Count, u64)> {
        for name in [INGRESS, EGRESS] {
            let options = TestRunOptions { data_in: Some(&[0; 60]), repeat: 1, ..TestRunOptions::default() };
            let program = program(&mut mirror.ebpf, name).expect("the program is there");
            let result = program.test_run(options).expect("the kernel runs it");
            assert_eq!(result.return_value as i32, NEXT, "the host keeps its frame");
        }
        let counts = mirror.counts().expect("the map is there");
        Count::ALL.into_iter().zip(counts).filter(|(_, n)| *n > 0).collect()
    }

    #[test]
    fn what_has_no_clone_is_counted_and_goes_on() {
        if !is_root() {
            return;
        }
        let mut mirror = MirrorProgram::load(NOWHERE, true, None).expect("root may load it");
        assert_eq!(run(&mut mirror), [(Count::Ingress, 1), (Count::Egress, 1), (Count::NotCloned, 2)]);
    }

    #[test]
    fn what_the_filter_does_not_want_is_counted_and_goes_on() {
        if !is_root() {
            return;
        }
        for (expression, fate) in [("len = 60", Count::NotCloned), ("ip", Count::NotMatched)] {
            let filter = Filter::compile(expression, ETHERNET).expect("a filter");
            let mut mirror = MirrorProgram::load(NOWHERE, true, Some(&filter)).expect("root may load it");
            let mut expected = vec![(Count::Ingress, 1), (Count::Egress, 1), (fate, 2)];
            expected.sort_by_key(|(count, _)| *count as u32);
            assert_eq!(run(&mut mirror), expected, "{expression}");
        }
    }
}
