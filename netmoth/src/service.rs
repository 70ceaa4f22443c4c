//! The conversation with systemd (sd_notify(3)): ready, status, watchdog, stopping. Without systemd, silence.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The service as its manager sees it.
#[derive(Debug)]
pub struct Service {
    /// How often the watchdog wants to hear of us: half of what it tolerates.
    every: Option<Duration>,
    last: Instant,
}

impl Service {
    /// Reads `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub fn from_environment() -> Self {
        Self { every: sd_notify::watchdog_enabled().map(|tolerated| tolerated / 2), last: Instant::now() }
    }

    /// Start-up is done.
    pub fn ready(&self, status: &str) {
        send(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// A line for `systemctl status`.
    pub fn status(&self, status: &str) {
        send(&[NotifyState::Status(status)]);
    }

    /// All is well: called as often as one likes, passed on as often as the watchdog wants.
    pub fn watchdog(&mut self) {
        if self.every.is_some_and(|every| self.last.elapsed() >= every) {
            self.last = Instant::now();
            send(&[NotifyState::Watchdog]);
        }
    }

    /// The way down has begun.
    pub fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("the service manager can't be told: {error}");
    }
}
