//! What the workers have in common, and where they deal: one at a time, the packets of the next piece of the file.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Sender;

use super::Read;
use super::intake::{Intake, Taken, Wish};
use super::stretch::{Place, Stretch};
use crate::capture::file::{CaptureFile, Piece};
use crate::replay::deal::Dealer;
use crate::time::{Instant, ReplayClock};

/// Stretches that there are for each worker: one that it books, and one that it parses meanwhile or that waits to be booked. With
/// more of them, fewer would still be in a cache when they are booked.
const STRETCHES: usize = 2;

/// What all workers share.
pub(super) struct Shared {
    intake: Intake,
    desk: Mutex<Desk>,
    /// Whose piece is dealt next.
    turn: AtomicU64,
    spares: Mutex<Vec<Stretch>>,
    /// Packets read so far, of this file.
    pub(super) packets: AtomicU64,
    /// A worker has ended early, and the others need not go on.
    pub(super) failed: AtomicBool,
}

impl Shared {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            intake: Intake::default(),
            desk: Mutex::new(Desk::new(workers)),
            turn: AtomicU64::new(0),
            spares: Mutex::new((0..STRETCHES * workers).map(|_| Stretch::new(workers)).collect()),
            packets: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        }
    }

    /// Puts a file on the desk; `done` is told how its reading ended. False where a worker has panicked.
    pub(super) fn put(&self, mut file: CaptureFile, done: Sender<Read>) -> bool {
        let Ok(mut desk) = self.desk.lock() else { return false };
        let number = self.intake.put(file.detach());
        desk.file = Some(OnDesk { file, number, done });
        true
    }

    /// The time of the last packet that was read, and how many pieces there were.
    pub(super) fn latest(&self) -> (Instant, u64) {
        (self.desk.lock().unwrap_or_else(PoisonError::into_inner).clock.latest(), self.intake.turns())
    }

    /// See [`Intake::take`].
    pub(super) fn read(&self, piece: &mut Piece) -> Wish<'_> {
        self.intake.take(piece)
    }

    pub(super) fn is_turn(&self, turn: u64) -> bool {
        self.turn.load(Ordering::Acquire) == turn
    }

    /// Finds the packets of a piece whose turn it is, and says whose they are.
    pub(super) fn deal(&self, taken: Taken, piece: &mut Piece, places: &mut Vec<Place>) {
        places.clear();
        let (turn, number) = (taken.turn, taken.file);
        let Ok(mut desk) = self.desk.lock() else {
            self.failed.store(true, Ordering::Release);
            return;
        };
        let ended = desk.deal(taken, piece, places);
        self.packets.store(desk.packets, Ordering::Relaxed);
        drop(desk);
        self.turn.store(turn + 1, Ordering::Release);
        if let Some((done, read)) = ended {
            self.intake.close(number);
            // Who put it there waits for this, unless all is over.
            done.send(read).ok();
        }
    }

    pub(super) fn spare(&self) -> Option<Stretch> {
        self.spares.lock().ok()?.pop()
    }

    pub(super) fn give_back(&self, stretch: Stretch) {
        if let Ok(mut spares) = self.spares.lock() {
            spares.push(stretch);
        }
    }

    /// A worker is done with its packets of this.
    pub(super) fn done_with(&self, stretch: Arc<Stretch>) {
        if let Some(stretch) = Stretch::emptied(stretch) {
            self.give_back(stretch);
        }
    }
}

/// A file whose packets are dealt.
struct OnDesk {
    file: CaptureFile,
    number: u64,
    done: Sender<Read>,
}

/// What only one may have at a time: the file, and the order of its packets.
struct Desk {
    dealer: Dealer,
    clock: ReplayClock,
    file: Option<OnDesk>,
    packets: u64,
}

impl Desk {
    fn new(workers: usize) -> Self {
        Self { dealer: Dealer::new(workers as u32), clock: ReplayClock::default(), file: None, packets: 0 }
    }

    /// Says whose the packets of a piece are. Where the file ends with it, gives it with how its reading ended.
    fn deal(&mut self, taken: Taken, piece: &mut Piece, places: &mut Vec<Place>) -> Option<(Sender<Read>, Read)> {
        let Self { dealer, clock, file, packets } = self;
        // What was read behind the end of a file is of no use.
        let OnDesk { file: reading, .. } = file.as_mut().filter(|file| file.number == taken.file)?;
        let dealt = reading.deal(piece, |packet, at| {
            let now = clock.at(packet.wall_ns);
            let worker = dealer.worker(packet, now) as u8;
            let (start, end) = (at.start as u32, at.end as u32);
            places.push(Place { start, end, wire_len: packet.wire_len, link: packet.link, worker, at: now });
        });
        *packets = reading.packets();
        let ended = match (dealt, taken.read) {
            (Ok(()), Ok(true)) => return None,
            (Ok(()), read) => reading.ended(read.map(|_| ())),
            (Err(error), _) => Err(error),
        };
        file.take().map(|OnDesk { file, done, .. }| (done, (file, ended)))
    }
}
