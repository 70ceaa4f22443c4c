//! SIGTERM and SIGINT as messages: the first asks for a drain, the second for the door.

use std::io;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Catches SIGTERM and SIGINT from now on; each arrives as its number.
///
/// # Errors
/// Where the handlers or their thread can't be installed.
pub(super) fn watch() -> io::Result<Receiver<i32>> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (sender, receiver) = bounded(4);
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            // A full channel holds four unanswered requests to stop: one more says nothing new.
            let _ = sender.try_send(signal);
        }
    })?;
    Ok(receiver)
}

/// The name of a signal that [`watch`] reports.
pub(super) fn name(signal: i32) -> &'static str {
    if signal == SIGINT { "SIGINT" } else { "SIGTERM" }
}
