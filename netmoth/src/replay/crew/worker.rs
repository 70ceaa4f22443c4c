//! One of several workers: reads when it is its turn, and takes the packets that are dealt to it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::Order;
use super::desk::{Hand, Hands, Shared, Stretch};
use crate::capture::BATCH;
use crate::replay::ReplayError;
use crate::replay::output::Output;
use crate::time::Instant;
use crate::worker::{Arrival, Engine};

/// Without an order for so long, it looks whether the desk is free: who had it may have been told to do something else.
const LOOK: Duration = Duration::from_millis(1);

/// How long it looks for an order before it sleeps, and how often it pauses between two looks.
const GLANCE: Duration = Duration::from_micros(300);
const PAUSES: u32 = 16;

/// Built by the main thread and moved into its own.
pub(super) struct Worker<W: Write> {
    pub(super) number: usize,
    pub(super) engine: Engine,
    pub(super) output: Output<W>,
    pub(super) orders: Receiver<Order>,
    pub(super) hands: Hands,
    pub(super) shared: Arc<Shared>,
}

impl<W: Write> Worker<W> {
    /// Reads and takes its packets until it is told to end. Where another has failed, there is nothing to end.
    pub(super) fn run(mut self) -> Result<(), ReplayError> {
        let mut reading = false;
        while !self.shared.failed.load(Ordering::Acquire) {
            reading = reading && self.shared.read_ahead(self.number, &self.hands);
            let done = match self.next(reading) {
                Some(Order::Take(stretch)) => self.take(stretch),
                Some(Order::Read) => {
                    reading = true;
                    Ok(())
                }
                Some(Order::End(last)) => return self.end(last),
                None => Ok(()),
            };
            if done.is_err() {
                self.shared.failed.store(true, Ordering::Release);
                return done;
            }
        }
        Ok(())
    }

    /// The next order; `None` where none came while there may be something to read. It looks for a moment before it sleeps: one
    /// stretch is read in less time than the kernel takes to wake a thread, and to find a core for it beside the one that reads.
    fn next(&self, reading: bool) -> Option<Order> {
        let begun = std::time::Instant::now();
        while reading && begun.elapsed() < GLANCE {
            if let Ok(order) = self.orders.try_recv() {
                return Some(order);
            }
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
        }
        self.orders.recv_timeout(if reading { LOOK } else { 100 * LOOK }).ok()
    }

    fn take(&mut self, stretch: Arc<Stretch>) -> Result<(), ReplayError> {
        let Hand { cards, bytes } = &stretch.hands[self.number];
        let mut start = 0;
        for cards in cards.chunks(BATCH) {
            let arrivals = cards.iter().map(|card| {
                let data = bytes.get(start..card.end as usize).unwrap_or(&[]);
                start = card.end as usize;
                Arrival { link: card.link, data, wire_len: card.wire_len, at: card.at }
            });
            self.engine.process(arrivals, &mut self.output);
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
