//! One of several workers: reads and parses pieces of the file for all, and books the packets that are its own.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::Order;
use super::desk::Shared;
use super::intake::{Taken, Wish};
use super::stretch::{Place, Run, Stretch};
use crate::capture::BATCH;
use crate::capture::file::Piece;
use crate::replay::ReplayError;
use crate::replay::output::Output;
use crate::time::Instant;
use crate::worker::{Engine, Parser};

/// Without an order for so long, it looks whether there is something to read: who read may have been told to do something else.
const LOOK: Duration = Duration::from_millis(1);

/// How long it looks for something to do before it sleeps.
const GLANCE: Duration = Duration::from_micros(300);

/// Built by the main thread and moved into its own.
pub(super) struct Worker<W: Write> {
    pub(super) number: usize,
    pub(super) engine: Engine,
    pub(super) parser: Parser,
    pub(super) output: Output<W>,
    pub(super) orders: Receiver<Order>,
    /// All workers' ways in.
    pub(super) ways: Vec<Sender<Order>>,
    pub(super) shared: Arc<Shared>,
}

/// What a worker has in hand.
#[derive(Default)]
struct InHand {
    /// There may be something to read.
    reading: bool,
    piece: Piece,
    places: Vec<Place>,
    /// The piece was read and not dealt yet; its packets go here.
    taken: Option<(Taken, Stretch)>,
    /// Stretches to be booked, in the order of their turns; those that are not there yet leave a gap.
    ahead: VecDeque<Option<Arc<Stretch>>>,
    /// The turn of the first of these.
    next: u64,
    /// All is over after so many turns, at this time.
    end: Option<(Instant, u64)>,
    /// Since when there is nothing to do.
    idle: Option<std::time::Instant>,
}

impl InHand {
    fn put(&mut self, stretch: Arc<Stretch>) {
        let place = (stretch.turn - self.next) as usize;
        if self.ahead.len() <= place {
            self.ahead.resize(place + 1, None);
        }
        self.ahead[place] = Some(stretch);
    }

    fn pop(&mut self) -> Option<Arc<Stretch>> {
        let stretch = self.ahead.front_mut()?.take()?;
        self.ahead.pop_front();
        self.next += 1;
        Some(stretch)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Take(stretch) => self.put(stretch),
            Order::Read => self.reading = true,
            Order::End(last, turns) => self.end = Some((last, turns)),
        }
    }
}

impl<W: Write> Worker<W> {
    /// Reads, parses and books until it is told to end. Where another has failed, there is nothing to end.
    pub(super) fn run(mut self) -> Result<(), ReplayError> {
        let mut hand = InHand::default();
        while !self.shared.failed.load(Ordering::Acquire) {
            self.orders.try_iter().for_each(|order| hand.obey(order));
            if self.deal(&mut hand) {
                hand.idle = None;
            } else if let Some(stretch) = hand.pop() {
                hand.idle = None;
                if let Err(error) = self.book(stretch) {
                    self.shared.failed.store(true, Ordering::Release);
                    return Err(error);
                }
            } else if self.read(&mut hand) {
                hand.idle = None;
            } else {
                match hand.end {
                    Some((last, turns)) if hand.next == turns => return self.end(last),
                    _ => self.wait(&mut hand),
                }
            }
        }
        Ok(())
    }

    /// Reads a piece if there is none in hand. False where that can't be.
    fn read(&mut self, hand: &mut InHand) -> bool {
        if !hand.reading || hand.taken.is_some() {
            return false;
        }
        let Some(stretch) = self.shared.spare() else { return false };
        let shared = Arc::clone(&self.shared);
        match shared.read(&mut hand.piece) {
            Wish::Granted(taken, guard) => {
                hand.taken = Some((taken, stretch));
                if guard.is_some() {
                    self.deal(hand);
                }
                true
            }
            Wish::Busy => {
                self.shared.give_back(stretch);
                false
            }
            Wish::Nothing => {
                self.shared.give_back(stretch);
                hand.reading = false;
                true
            }
        }
    }

    /// Deals and parses the piece in hand, if it is its turn.
    fn deal(&mut self, hand: &mut InHand) -> bool {
        match &hand.taken {
            Some((taken, _)) if self.shared.is_turn(taken.turn) => {}
            _ => return false,
        }
        let Some((taken, mut stretch)) = hand.taken.take() else { return false };
        stretch.turn = taken.turn;
        self.shared.deal(taken, &mut hand.piece, &mut hand.places);
        stretch.fill(&mut self.parser, hand.piece.bytes(), &hand.places);
        let stretch = Arc::new(stretch);
        for (number, orders) in self.ways.iter().enumerate() {
            if number != self.number {
                // A worker that is gone has said why.
                orders.send(Order::Take(Arc::clone(&stretch))).ok();
            }
        }
        hand.put(stretch);
        true
    }

    /// Waits for the next order, or until there may be something to do. It looks for a moment before it sleeps: one piece is
    /// read in less time than the kernel takes to wake a thread, and to find a core for it beside the one that reads. Between two
    /// looks it offers its core: where there are more workers than cores, the one whose turn it is may wait for that.
    fn wait(&self, hand: &mut InHand) {
        let busy = hand.reading || hand.taken.is_some();
        let begun = *hand.idle.get_or_insert_with(std::time::Instant::now);
        if busy && begun.elapsed() < GLANCE {
            return thread::yield_now();
        }
        if let Ok(order) = self.orders.recv_timeout(if busy { LOOK } else { 100 * LOOK }) {
            hand.obey(order);
        }
    }

    /// Books its packets of a stretch.
    fn book(&mut self, stretch: Arc<Stretch>) -> Result<(), ReplayError> {
        for run in stretch.shares[self.number].runs() {
            match run {
                Run::Parsed(packets) => self.engine.book(packets, &mut self.output),
                Run::Frames(frames) => {
                    let mut frames = frames.peekable();
                    while frames.peek().is_some() {
                        self.engine.process(frames.by_ref().take(BATCH), &mut self.output);
                    }
                }
            }
        }
        self.shared.done_with(stretch);
        self.output.check()
    }

    /// The last packet may have been another worker's: connections that were over by then have ended by themselves.
    fn end(mut self, last: Instant) -> Result<(), ReplayError> {
        self.engine.advance(last, &mut self.output);
        self.engine.finish(&mut self.output);
        self.output.finish()
    }
}
