//! The spool as the writer sees it: there or not, and willing or not.

use std::time::{Duration, Instant};

use crate::sink::spool::{Damage, Spool, SpoolConfig, SpoolError};

/// Between two attempts at a disk that refuses.
const PAUSE: Duration = Duration::from_secs(1);

/// The spool and how it does.
pub(super) struct Disk {
    pub(super) config: Option<SpoolConfig>,
    pub(super) spool: Option<Spool>,
    /// What it refused last, and when it is tried again.
    trouble: Option<(String, Instant)>,
    /// Damage that is counted already.
    pub(super) damage: Damage,
}

impl Disk {
    /// Not opened yet.
    pub(super) fn new(config: Option<SpoolConfig>) -> Self {
        Self { config, spool: None, trouble: None, damage: Damage::default() }
    }

    pub(super) fn is_pausing(&self) -> bool {
        self.trouble.as_ref().is_some_and(|(_, again)| Instant::now() < *again)
    }

    /// The spool, unless it has just refused.
    pub(super) fn ready(&mut self) -> Option<&mut Spool> {
        if self.is_pausing() { None } else { self.spool.as_mut() }
    }

    /// No time is left to wait for the disk.
    pub(super) fn try_now(&mut self) {
        if let Some((_, again)) = &mut self.trouble {
            *again = Instant::now();
        }
    }

    /// Says what is wrong once, and again when it changes.
    pub(super) fn refuses(&mut self, error: &SpoolError) {
        let told = self.trouble.as_ref().map(|(told, _)| told.as_str());
        let now = error.to_string();
        if told != Some(&now) {
            log::error!("{now}. Capture goes on, and it is tried again");
        }
        self.trouble = Some((now, Instant::now() + PAUSE));
    }

    pub(super) fn works_again(&mut self) {
        if self.trouble.take().is_some() {
            log::warn!("the spool takes records again");
        }
    }
}
