//! Several workers for one capture: who reads deals the packets of each stretch of the file among them.
//!
//! A stretch is a buffer with the bytes of some hundred packets, read once and copied nowhere: all workers look at it at the
//! same time, each at the packets that are listed for it, and who is done last gives it back to be read into again. There are
//! few of them, so that they stay in the processor's cache, and so that who reads waits for the workers.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::deal::Dealer;
use super::output::{Output, Outputs};
use super::{ReplayConfig, ReplayError};
use crate::capture::BATCH;
use crate::capture::file::{CaptureFile, FileError};
use crate::sink::Writer;
use crate::time::{Instant, ReplayClock};
use crate::wire::LinkType;
use crate::worker::{Arrival, Engine};

/// Stretches for each worker, and one that is read into.
const STRETCHES: usize = 4;

/// Between two looks at whether the workers still live, while none gives a stretch back.
const LOOK: Duration = Duration::from_millis(100);

/// A packet of a stretch.
#[derive(Clone, Copy)]
struct Place {
    start: u32,
    end: u32,
    wire_len: u32,
    link: Option<LinkType>,
    at: Instant,
}

/// A stretch of the file with the packets of each worker.
struct Stretch {
    bytes: Vec<u8>,
    hands: Vec<Vec<Place>>,
}

impl Stretch {
    /// Lets go of a stretch. Gives it back, without packets, where nobody else looks at it.
    fn emptied(stretch: Arc<Self>) -> Option<Self> {
        let mut stretch = Arc::into_inner(stretch)?;
        stretch.hands.iter_mut().for_each(Vec::clear);
        Some(stretch)
    }
}

/// What a worker is told.
enum Order {
    /// Take your packets of this.
    Take(Arc<Stretch>),
    /// That was all, and this is the time of the last packet: end your connections.
    End(Instant),
}

type Thread = JoinHandle<Result<(), ReplayError>>;

/// The workers, and what goes back and forth between them and who reads.
pub(super) struct Crew {
    dealer: Dealer,
    workers: Vec<(Sender<Order>, Thread)>,
    /// Stretches that all workers are done with.
    returned: Receiver<Stretch>,
    /// Stretches that may still be made.
    unmade: usize,
    /// The one that is filled next.
    spare: Option<Stretch>,
    failed: Arc<AtomicBool>,
}

impl Crew {
    /// Starts the workers.
    pub(super) fn start<W: Write + Send + 'static>(
        config: &ReplayConfig,
        outputs: &mut Outputs<W>,
        writer: Option<&Writer>,
    ) -> Result<Self, ReplayError> {
        let count = usize::from(config.workers);
        let unmade = STRETCHES * count + 1;
        let (give_back, returned) = bounded(unmade);
        let failed = Arc::new(AtomicBool::new(false));
        let mut workers = Vec::with_capacity(count);
        for number in 0..config.workers {
            let (output, counters) = outputs.add(writer);
            let mut flow = config.flow;
            flow.worker = number;
            // As many as there are stretches: who reads never waits here.
            let (orders, taken) = bounded(unmade + 1);
            let worker = Worker {
                number: usize::from(number),
                engine: Engine::new(&flow, counters)?,
                output,
                orders: taken,
                give_back: give_back.clone(),
                failed: Arc::clone(&failed),
            };
            let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || worker.run());
            workers.push((orders, thread.map_err(ReplayError::Thread)?));
        }
        let dealer = Dealer::new(u32::from(config.workers));
        Ok(Self { dealer, workers, returned, unmade, spare: None, failed })
    }

    /// Deals the next packets of a file. The inner result is the file's, the outer one the workers': theirs comes first.
    pub(super) fn one_stretch(
        &mut self,
        file: &mut CaptureFile,
        clock: &mut ReplayClock,
    ) -> Result<Result<bool, FileError>, ReplayError> {
        let mut stretch = self.spare()?;
        let (dealer, hands) = (&mut self.dealer, &mut stretch.hands);
        let mut dealt = false;
        let more = file.next_stretch(|packet, range| {
            let at = clock.at(packet.wall_ns);
            let (start, end) = (range.start as u32, range.end as u32);
            let place = Place { start, end, wire_len: packet.wire_len, link: packet.link, at };
            hands[dealer.worker(packet, at)].push(place);
            dealt = true;
        });
        if dealt {
            stretch.bytes = file.take_bytes(std::mem::take(&mut stretch.bytes));
            self.hand_out(stretch)?;
        } else {
            self.spare = Some(stretch);
        }
        Ok(more)
    }

    /// A stretch that nobody looks at, without packets.
    fn spare(&mut self) -> Result<Stretch, ReplayError> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(self.failure());
        }
        if let Some(stretch) = self.spare.take().or_else(|| self.returned.try_recv().ok()) {
            return Ok(stretch);
        }
        if self.unmade > 0 {
            self.unmade -= 1;
            return Ok(Stretch { bytes: Vec::new(), hands: vec![Vec::new(); self.workers.len()] });
        }
        loop {
            match self.returned.recv_timeout(LOOK) {
                Ok(stretch) => return Ok(stretch),
                Err(RecvTimeoutError::Timeout) if self.workers.iter().all(|(_, thread)| !thread.is_finished()) => {}
                Err(_) => return Err(self.failure()),
            }
        }
    }

    fn hand_out(&mut self, stretch: Stretch) -> Result<(), ReplayError> {
        let stretch = Arc::new(stretch);
        for number in 0..self.workers.len() {
            if !stretch.hands[number].is_empty() {
                let order = Order::Take(Arc::clone(&stretch));
                self.workers[number].0.send(order).map_err(|_| self.failure())?;
            }
        }
        // The workers may be done before this lets go of it.
        self.spare = Stretch::emptied(stretch);
        Ok(())
    }

    /// What the first worker that has ended says.
    fn failure(&mut self) -> ReplayError {
        let ended = |(_, thread): &(_, Thread)| thread.is_finished();
        let number = loop {
            match self.workers.iter().position(ended) {
                Some(number) => break number,
                // It has said so, and is on its way out.
                None => thread::yield_now(),
            }
        };
        let (_, thread) = self.workers.swap_remove(number);
        match thread.join() {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => ReplayError::WorkerEnded(number),
        }
    }

    /// Has all workers end their connections, as of the time of the last packet of all, and waits for them.
    pub(super) fn finish(self, last: Instant) -> Result<(), ReplayError> {
        let threads: Vec<_> = self
            .workers
            .into_iter()
            .map(|(orders, thread)| {
                // One that is not there any more says why when it is waited for.
                orders.send(Order::End(last)).ok();
                thread
            })
            .collect();
        let mut ended = threads.into_iter().enumerate();
        ended.try_for_each(|(number, thread)| thread.join().unwrap_or(Err(ReplayError::WorkerEnded(number))))
    }
}

/// One worker, built by who reads and moved into its thread.
struct Worker<W: Write> {
    number: usize,
    engine: Engine,
    output: Output<W>,
    orders: Receiver<Order>,
    give_back: Sender<Stretch>,
    failed: Arc<AtomicBool>,
}

impl<W: Write> Worker<W> {
    /// Takes its packets until there are no more. Where who reads has given up, there is nothing to end.
    fn run(mut self) -> Result<(), ReplayError> {
        while let Ok(order) = self.orders.recv() {
            let done = match order {
                Order::Take(stretch) => self.take(stretch),
                Order::End(last) => return self.end(last),
            };
            if done.is_err() {
                self.failed.store(true, Ordering::Relaxed);
                return done;
            }
        }
        Ok(())
    }

    fn take(&mut self, stretch: Arc<Stretch>) -> Result<(), ReplayError> {
        let bytes = stretch.bytes.as_slice();
        for places in stretch.hands[self.number].chunks(BATCH) {
            let arrivals = places.iter().map(|place| Arrival {
                link: place.link,
                data: bytes.get(place.start as usize..place.end as usize).unwrap_or(&[]),
                wire_len: place.wire_len,
                at: place.at,
            });
            // They were read on another core.
            self.engine.touch(arrivals.clone().map(|frame| frame.data));
            self.engine.process(arrivals, &mut self.output);
        }
        if let Some(stretch) = Stretch::emptied(stretch) {
            // Who reads may have gone.
            self.give_back.send(stretch).ok();
        }
        self.output.check()
    }

    /// The last packet may have been another worker's: connections that were over by then have ended by themselves.
    fn end(mut self, last: Instant) -> Result<(), ReplayError> {
        self.engine.advance(last, &mut self.output);
        self.engine.finish(&mut self.output);
        self.output.finish()
    }
}
