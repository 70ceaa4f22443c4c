//! Whatever fails, and wherever it is cut off: undo brings back what was.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use tuning::TuningError;
use tuning::apply::{Memory, apply, undo};
use tuning::plan::{Plan, Wishes, plan};
use tuning::setting::{Backend, Setting, Value};
use tuning::state::State;

/// A card in memory that refuses some settings, and panics at a chosen one as a kill would end the process.
#[derive(Clone)]
struct Card {
    values: BTreeMap<Setting, Value>,
    refuses: Vec<Setting>,
    left: usize,
}

impl Backend for Card {
    fn get(&self, setting: &Setting) -> Result<Option<Value>, TuningError> {
        Ok(self.values.get(setting).cloned())
    }

    fn set(&mut self, setting: &Setting, value: &Value) -> Result<(), TuningError> {
        assert!(self.left > 0, "killed");
        self.left -= 1;
        if self.refuses.contains(setting) {
            return Err(TuningError::Set { what: setting.to_string(), cause: io::Error::from_raw_os_error(95) });
        }
        self.values.insert(setting.clone(), value.clone());
        Ok(())
    }
}

fn mlx5() -> (Card, Plan) {
    let state: State = serde_json::from_str(include_str!("states/mlx5_core.json")).unwrap();
    let plan = plan(&state, Wishes { workers: 4, busy_poll: true });
    (Card { values: state.values.into_iter().collect(), refuses: vec![], left: usize::MAX }, plan)
}

fn file(name: &str) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("undo-{name}-{}.json", std::process::id()));
    std::fs::remove_file(&path).ok();
    path
}

#[test]
fn any_subset_of_refused_settings_is_undone() {
    let (card, plan) = mlx5();
    let due: Vec<Setting> = plan.steps.iter().filter(|step| step.is_due()).map(|step| step.setting.clone()).collect();
    let path = file("subsets");
    for subset in 0_u32..1 << due.len() {
        let refuses = due.iter().enumerate().filter(|(n, _)| subset >> n & 1 == 1).map(|(_, s)| s.clone()).collect();
        let mut changed = Card { refuses, ..card.clone() };
        // The disk is synced for each step; a few dozen subsets of all sizes are enough.
        if subset % 67 != 0 && subset.count_ones() > 1 {
            continue;
        }
        let outcomes = apply(&mut changed, &plan, "a", &path).unwrap();
        let failed = outcomes.iter().filter(|outcome| outcome.failed.is_some()).count();
        assert_eq!((outcomes.len(), failed), (due.len(), subset.count_ones() as usize));
        undo(&mut changed, "a", &path).unwrap().unwrap();
        assert_eq!(changed.values, card.values, "{subset:b}");
        assert!(!path.exists());
    }
}

#[test]
fn a_kill_at_any_step_is_undone() {
    let (card, plan) = mlx5();
    let path = file("kill");
    for left in 0..plan.steps.iter().filter(|step| step.is_due()).count() {
        let mut cut = Card { left, ..card.clone() };
        let run = std::panic::AssertUnwindSafe(|| apply(&mut cut, &plan, "a", &path));
        assert!(std::panic::catch_unwind(run).is_err());
        let mut after = Card { left: usize::MAX, ..cut };
        assert!(undo(&mut after, "a", &path).unwrap().is_some());
        assert_eq!(after.values, card.values, "killed after {left} changes");
    }
}

#[test]
fn the_first_values_are_kept_and_a_reboot_or_another_device_is_noticed() {
    let (card, plan) = mlx5();
    let path = file("twice");
    let mut changed = card.clone();
    apply(&mut changed, &plan, "a", &path).unwrap();
    let first = Memory::load(&path, "a").unwrap();
    apply(&mut changed, &plan, "a", &path).unwrap();
    assert_eq!(Memory::load(&path, "a").unwrap(), first);
    assert!(undo(&mut changed, "b", &path).unwrap_err().to_string().contains("another device"));
    // After a reboot all of it stands as before already.
    let outcomes = undo(&mut card.clone(), "a", &path).unwrap().unwrap();
    assert!(outcomes.iter().all(|outcome| !outcome.changed && outcome.failed.is_none()));
    assert!(undo(&mut changed, "a", &path).unwrap().is_none());
}

/// A card whose driver knows symmetric XOR and which does not have it itself.
struct WithoutTransform(Card);

impl Backend for WithoutTransform {
    fn get(&self, setting: &Setting) -> Result<Option<Value>, TuningError> {
        self.0.get(setting)
    }

    fn set(&mut self, setting: &Setting, value: &Value) -> Result<(), TuningError> {
        if matches!(value, Value::Rss(rss) if rss.transform == 1) {
            let cause = io::Error::from_raw_os_error(95);
            return Err(TuningError::Set { what: setting.to_string(), cause });
        }
        self.0.set(setting, value)
    }
}

#[test]
fn a_card_without_the_transform_gets_a_symmetric_key() {
    let state: State = serde_json::from_str(include_str!("states/ice.json")).unwrap();
    let wishes = Wishes { workers: 4, busy_poll: false };
    let planned = plan(&state, wishes);
    let values: BTreeMap<Setting, Value> = state.values.iter().cloned().collect();
    let mut card = WithoutTransform(Card { values: values.clone(), refuses: vec![], left: usize::MAX });
    let path = file("transform");
    let outcomes = apply(&mut card, &planned, "a", &path).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.failed.is_none()), "{outcomes:?}");
    let Some(Value::Rss(now)) = card.get(&Setting::Rss).unwrap() else { panic!("no RSS") };
    assert!(now.key.chunks(2).all(|pair| *pair == [0x6d, 0x5a][..pair.len()]) && now.transform != 1, "{now:?}");
    // What stands so needs nothing more.
    let after = State { values: card.0.values.clone().into_iter().collect(), ..state };
    assert!(!plan(&after, wishes).steps.iter().any(|step| step.setting == Setting::Rss && step.is_due()));
    undo(&mut card, "a", &path).unwrap().unwrap();
    assert_eq!(card.0.values, values);
}
