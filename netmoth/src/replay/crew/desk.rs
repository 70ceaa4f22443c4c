//! Where the workers read: one at a time, the next stretch of the file, dealt to all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use crossbeam_channel::Sender;

use super::{Order, Read};
use crate::capture::file::{CaptureFile, CapturedPacket};
use crate::replay::deal::Dealer;
use crate::time::{Instant, ReplayClock};
use crate::wire::LinkType;

/// Stretches that each worker should have before it: while it works on one, the next is there.
const AHEAD: usize = 6;

/// Stretches that there are for so many workers: what all have before them, in hand, and one that is read into.
fn stretches(workers: usize) -> usize {
    (AHEAD + 2) * workers + 1
}

/// Bytes that are kept of a frame that surely carries one packet: its headers, and more than anything looks at behind them.
const HEADERS: usize = 128;

/// A packet that was dealt.
#[derive(Clone, Copy)]
pub(super) struct Card {
    /// Its bytes are those from the end of the one before it to here.
    pub(super) end: u32,
    pub(super) wire_len: u32,
    pub(super) link: Option<LinkType>,
    pub(super) at: Instant,
}

/// The packets of one worker, their bytes side by side: they come from another core's cache as fast as that can be.
#[derive(Default)]
pub(super) struct Hand {
    pub(super) cards: Vec<Card>,
    pub(super) bytes: Vec<u8>,
}

impl Hand {
    fn take(&mut self, packet: &CapturedPacket<'_>, bytes: &[u8], at: Instant) {
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.len() as u32;
        self.cards.push(Card { end, wire_len: packet.wire_len, link: packet.link, at });
    }
}

/// A stretch of the file with the packets of each worker.
pub(super) struct Stretch {
    pub(super) hands: Vec<Hand>,
}

impl Stretch {
    /// Lets go of a stretch. Gives it back, without packets, where nobody else looks at it.
    fn emptied(stretch: Arc<Self>) -> Option<Self> {
        let mut stretch = Arc::into_inner(stretch)?;
        for hand in &mut stretch.hands {
            hand.cards.clear();
            hand.bytes.clear();
        }
        Some(stretch)
    }
}

/// All workers' ways in.
pub(super) struct Hands(pub(super) Vec<Sender<Order>>);

impl Hands {
    /// Stretches that a worker has before it.
    fn before(&self, worker: usize) -> usize {
        self.0[worker].len()
    }
}

/// What all workers have in common.
pub(super) struct Shared {
    desk: Mutex<Desk>,
    spares: Mutex<Vec<Stretch>>,
    /// Packets read so far, of this file.
    pub(super) packets: AtomicU64,
    /// A worker has ended early, and the others need not go on.
    pub(super) failed: AtomicBool,
}

impl Shared {
    pub(super) fn new(desk: Desk) -> Self {
        let count = desk.workers;
        let empty = || Stretch { hands: (0..count).map(|_| Hand::default()).collect() };
        let spares = (0..stretches(count)).map(|_| empty()).collect();
        Self {
            desk: Mutex::new(desk),
            spares: Mutex::new(spares),
            packets: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        }
    }

    /// Puts a file on the desk as soon as nobody reads; `done` is told how its reading ended. False where a reader has panicked.
    pub(super) fn put(&self, file: CaptureFile, done: Sender<Read>) -> bool {
        self.desk.lock().map(|mut desk| desk.file = Some((file, done))).is_ok()
    }

    /// The time of the last packet that was read.
    pub(super) fn latest(&self) -> Instant {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).clock.latest()
    }

    /// Reads ahead, where there is something to read, nobody reads, and somebody will want it. False where there is nothing to
    /// read.
    pub(super) fn read_ahead(&self, worker: usize, hands: &Hands) -> bool {
        if hands.before(worker) > 0 {
            return true;
        }
        while hands.before(worker) < AHEAD {
            let mut desk = match self.desk.try_lock() {
                Ok(desk) => desk,
                Err(TryLockError::WouldBlock) => return true,
                Err(TryLockError::Poisoned(_)) => {
                    self.failed.store(true, Ordering::Release);
                    return false;
                }
            };
            if desk.file.is_none() {
                return false;
            }
            let Some(stretch) = self.spare() else { return true };
            if let Some(rest) = desk.one_stretch(stretch, hands) {
                self.give_back(rest);
            }
            self.packets.store(desk.packets, Ordering::Relaxed);
        }
        true
    }

    fn spare(&self) -> Option<Stretch> {
        self.spares.lock().ok()?.pop()
    }

    fn give_back(&self, stretch: Stretch) {
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

/// What only one may have at a time: the file, and the order of its packets.
pub(super) struct Desk {
    workers: usize,
    /// Payloads are wanted, too.
    whole: bool,
    dealer: Dealer,
    clock: ReplayClock,
    file: Option<(CaptureFile, Sender<Read>)>,
    packets: u64,
}

impl Desk {
    pub(super) fn new(workers: usize, whole: bool) -> Self {
        let dealer = Dealer::new(workers as u32);
        Self { workers, whole, dealer, clock: ReplayClock::default(), file: None, packets: 0 }
    }

    /// Deals the next packets of the file. Gives the stretch back where there were none.
    fn one_stretch(&mut self, mut stretch: Stretch, hands: &Hands) -> Option<Stretch> {
        let Self { whole, dealer, clock, file, packets, .. } = self;
        let Some((reading, _)) = file else { return Some(stretch) };
        let mut dealt = false;
        let more = reading.next_stretch(|packet| {
            let at = clock.at(packet.wall_ns);
            let (worker, plain) = dealer.worker(packet, at);
            let kept = if plain && !*whole { packet.data.len().min(HEADERS) } else { packet.data.len() };
            stretch.hands[worker].take(packet, &packet.data[..kept], at);
            dealt = true;
        });
        *packets = reading.packets();
        let rest = if dealt { hand_out(stretch, hands) } else { Some(stretch) };
        let ended = match more {
            Ok(true) => return rest,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Some((file, done)) = file.take() {
            // Who put it there waits for this, unless all is over.
            done.send((file, ended)).ok();
        }
        rest
    }
}

/// To each worker that has packets in it, under the desk's lock: so all get the stretches in the order of the file.
fn hand_out(stretch: Stretch, hands: &Hands) -> Option<Stretch> {
    let stretch = Arc::new(stretch);
    for (number, orders) in hands.0.iter().enumerate() {
        if !stretch.hands[number].cards.is_empty() {
            // A worker that is gone has said why.
            orders.send(Order::Take(Arc::clone(&stretch))).ok();
        }
    }
    // The workers may be done before this lets go of it.
    Stretch::emptied(stretch)
}
