//! A capture filter before a program: what does not match is counted, and goes on to the host untouched.

use std::os::fd::AsFd;

use aya::Ebpf;
use aya::maps::{Map, MapData};
use aya::programs::ProgramFd;
use netmoth_shared::{
    PROGRAM, PROGRAM_MATCHED, PROGRAM_MATCHED_COPIED, PROGRAM_MATCHED_PLAIN, PROGRAM_PLAIN, PROGRAM_UNMATCHED,
    SETTINGS_MAP, STAGE_MATCHED, STAGE_UNMATCHED, STAGES_MAP,
};

use super::{ProgramError, SettingsRow, XdpProgram, program};
use crate::filter::{Filter, ProgramKind, put};

impl XdpProgram {
    /// Has the program ask `filter` about every frame; to be called before it is attached.
    ///
    /// # Errors
    /// Where the kernel does not take the filter, or the programs behind it.
    pub fn set_filter(&mut self, filter: &Filter) -> Result<(), ProgramError> {
        let stages = Stages::take(&mut self.ebpf, STAGES_MAP)?;
        let matched = match self.name {
            PROGRAM => PROGRAM_MATCHED,
            PROGRAM_PLAIN => PROGRAM_MATCHED_PLAIN,
            _ => PROGRAM_MATCHED_COPIED,
        };
        for (stage, name) in [(STAGE_MATCHED, matched), (STAGE_UNMATCHED, PROGRAM_UNMATCHED)] {
            let program = program(&mut self.ebpf, name)?;
            program.load().map_err(ProgramError::from_program)?;
            stages.put(stage, program.fd().map_err(ProgramError::from_program)?)?;
        }
        stages.install(filter, ProgramKind::Xdp)?;
        let failed = |source| ProgramError::map(SETTINGS_MAP, source);
        let SettingsRow(mut row) = self.settings.get(&0, 0).map_err(failed)?;
        row.filtered = 1;
        self.settings.set(0, SettingsRow(row), 0).map_err(failed)?;
        self.stages = Some(stages);
        Ok(())
    }
}

/// The array that programs go on through; what was put into it stays there as long as this lives.
pub(in crate::capture) struct Stages {
    name: &'static str,
    // aya gives a program array no descriptor, and takes programs of its own alone.
    map: MapData,
}

impl Stages {
    /// Takes the array out of a loaded object.
    pub(in crate::capture) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Self, ProgramError> {
        match ebpf.take_map(name) {
            Some(Map::ProgramArray(map)) => Ok(Self { name, map }),
            _ => Err(ProgramError::WrongObject { missing: name }),
        }
    }

    /// Puts a program of ours into a slot.
    pub(in crate::capture) fn put(&self, stage: u32, program: &ProgramFd) -> Result<(), ProgramError> {
        put(self.map.fd().as_fd(), stage, program.as_fd())
            .map_err(|cause| ProgramError::Map { map: self.name, reason: cause.to_string() })
    }

    /// Puts a filter before them.
    pub(in crate::capture) fn install(&self, filter: &Filter, kind: ProgramKind) -> Result<(), ProgramError> {
        filter.install(kind, self.map.fd().as_fd()).map_err(|source| ProgramError::Filter { source })
    }
}
