//! Any frames at any times through an engine with a small table.

use netmoth::capture::BATCH;
use netmoth::time::{Instant, ReplayClock};
use netmoth::wire::LinkType;
use netmoth::worker::Arrival;

use super::engine::Bench;
use super::story::{self, Settings, Step, What};

/// The time of a story's beginning.
const BEGIN_NS: i64 = 1_700_000_000_000_000_000;

/// A frame that waits for its batch.
struct Waiting {
    link: Option<LinkType>,
    data: Vec<u8>,
    at: Instant,
}

/// The clock of a story.
struct Clock {
    now_ns: i64,
    replay: ReplayClock,
    wild: bool,
}

impl Clock {
    fn pass(&mut self, step: Step) -> Instant {
        self.now_ns = self.now_ns.wrapping_add(step.pause_ns());
        if self.wild {
            return Instant { wall_ns: self.now_ns, mono_ns: self.now_ns as u64 };
        }
        self.replay.at(self.now_ns)
    }
}

/// Plays a story (see `story`) and looks through the table every few batches and at the end.
pub fn flows(input: &[u8]) {
    let Some((settings, mut rest)) = input.split_first() else { return };
    let settings = Settings::new(*settings);
    let mut bench = Bench::new(&settings.flow);
    let mut clock = Clock { now_ns: BEGIN_NS, replay: ReplayClock::default(), wild: settings.wild };
    let (mut waiting, mut batches) = (Vec::new(), 0);
    while let Some(step) = story::next(&mut rest) {
        let at = clock.pass(step);
        if step.what() == What::Timers {
            hand_over(&mut bench, &mut waiting);
            bench.advance(at);
            bench.check(!settings.wild);
            continue;
        }
        let (link, data) = step.frame(&mut rest);
        waiting.push(Waiting { link, data, at });
        // Batches of different lengths, by what the step leaves free.
        if waiting.len() == BATCH || step.what >> 4 < 4 {
            hand_over(&mut bench, &mut waiting);
            batches += 1;
            // To look through the table takes as long as some batches do.
            if batches % 4 == 0 {
                bench.check(!settings.wild);
            }
        }
    }
    hand_over(&mut bench, &mut waiting);
    bench.check(!settings.wild);
    bench.finish();
}

fn hand_over(bench: &mut Bench, waiting: &mut Vec<Waiting>) {
    let arrival = |frame| {
        let Waiting { link, data, at }: &Waiting = frame;
        Arrival { link: *link, data: data.as_slice(), wire_len: data.len() as u32, at: *at }
    };
    let frames: Vec<Arrival<'_>> = waiting.iter().map(arrival).collect();
    bench.process(&frames);
    waiting.clear();
}
