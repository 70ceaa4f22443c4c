//! Does a plan, remembers what was, and puts it back.
//!
//! The file of remembered values is on the disk before each change, so whatever ends this process, an undo is possible.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::TuningError;
use crate::plan::Plan;
use crate::setting::{Backend, Setting, Value};

/// What was before, in the order in which it was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The device ([`State::identity`](crate::state::State::identity)).
    pub identity: String,
    /// Settings with their first values.
    pub before: Vec<(Setting, Value)>,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Which setting.
    pub setting: Setting,
    /// What it stands at now.
    pub now: Option<Value>,
    /// Whether it was changed; `false` where it stood so already.
    pub changed: bool,
    /// Why it does not stand as wanted; `None` where it does.
    pub failed: Option<String>,
}

impl Memory {
    /// Reads the file; `None` where there is none.
    ///
    /// # Errors
    /// A file that can't be read, or that remembers another device.
    pub fn load(path: &Path, identity: &str) -> Result<Option<Self>, TuningError> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| because(path, format!("can't be read: {error}")))?,
        };
        let memory: Self = serde_json::from_str(&text)
            .map_err(|error| because(path, format!("is no memory of settings ({error}); move it away")))?;
        if memory.identity != identity {
            let why = format!("remembers another device ({}; this is {identity}); move it away", memory.identity);
            return Err(because(path, why));
        }
        Ok(Some(memory))
    }

    /// Puts it on the disk: whole or not at all.
    fn save(&self, path: &Path) -> Result<(), TuningError> {
        self.write(path)
            .map_err(|error| because(path, format!("can't be written: {error}; nothing was changed after that")))
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    }
}

fn because(path: &Path, why: String) -> TuningError {
    TuningError::Memory { path: path.display().to_string(), why }
}

/// Does what is due of a plan. What an earlier apply remembered is kept.
///
/// # Errors
/// The memory can't be read or written; then nothing more is changed.
pub fn apply(
    backend: &mut impl Backend,
    plan: &Plan,
    identity: &str,
    path: &Path,
) -> Result<Vec<Outcome>, TuningError> {
    let mut memory = Memory::load(path, identity)?.unwrap_or_default();
    memory.identity = identity.to_owned();
    let mut outcomes = Vec::new();
    for step in plan.steps.iter().filter(|step| step.is_due()) {
        let (Some(current), Some(wanted)) = (&step.current, &step.wanted) else { continue };
        if !memory.before.iter().any(|(setting, _)| *setting == step.setting) {
            memory.before.push((step.setting.clone(), current.clone()));
            memory.save(path)?;
        }
        let outcome = set(backend, &step.setting, wanted);
        let second = step.otherwise.as_ref().filter(|_| outcome.failed.is_some());
        outcomes.push(second.map_or(outcome, |value| set(backend, &step.setting, value)));
    }
    Ok(outcomes)
}

/// Puts back what was, last change first, and forgets it where all of it took.
///
/// # Errors
/// The memory can't be read or removed.
pub fn undo(backend: &mut impl Backend, identity: &str, path: &Path) -> Result<Option<Vec<Outcome>>, TuningError> {
    let Some(memory) = Memory::load(path, identity)? else { return Ok(None) };
    let mut outcomes: Vec<Outcome> =
        memory.before.iter().rev().map(|(setting, value)| set(backend, setting, value)).collect();
    // Putting one back may have moved another (fewer channels reset a table), or have made possible what was refused: look again.
    for _ in 0..memory.before.len() {
        let mut moved = false;
        for (outcome, (setting, value)) in outcomes.iter_mut().zip(memory.before.iter().rev()) {
            let again = set(backend, setting, value);
            moved |= again.changed;
            let changed = outcome.changed || again.changed;
            *outcome = Outcome { changed, ..again };
        }
        if !moved {
            break;
        }
    }
    if outcomes.iter().all(|outcome| outcome.failed.is_none()) {
        fs::remove_file(path).map_err(|error| because(path, format!("can't be removed: {error}")))?;
    }
    Ok(Some(outcomes))
}

/// Sets one, and looks whether it took.
fn set(backend: &mut impl Backend, setting: &Setting, wanted: &Value) -> Outcome {
    let before = backend.get(setting).ok().flatten();
    if before.as_ref() == Some(wanted) {
        return Outcome { setting: setting.clone(), now: before, changed: false, failed: None };
    }
    let refused = backend.set(setting, wanted).err().map(|error| error.to_string());
    let now = backend.get(setting).ok().flatten();
    let failed =
        (now.as_ref() != Some(wanted)).then(|| refused.unwrap_or_else(|| "the driver kept another value".into()));
    Outcome { setting: setting.clone(), changed: now != before, now, failed }
}
