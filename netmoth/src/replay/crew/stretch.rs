//! A stretch of the file, parsed: the packets of each worker side by side.

use std::iter;
use std::sync::Arc;

use crate::time::Instant;
use crate::wire::LinkType;
use crate::worker::{Arrival, Parsed, Parser};

/// Where a packet stands in a piece of the file, and whose it is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) wire_len: u32,
    pub(super) link: Option<LinkType>,
    pub(super) worker: u8,
    pub(super) at: Instant,
}

/// A frame that only the worker whose it is can parse: its packet is in pieces or in a tunnel, or there is none.
struct Frame {
    /// Parsed packets that come before it.
    behind: usize,
    start: usize,
    end: usize,
    link: Option<LinkType>,
    wire_len: u32,
    at: Instant,
}

/// The packets of one worker.
#[derive(Default)]
pub(super) struct Share {
    /// Parsed ones; what stands from `count` on is left of other stretches.
    parsed: Vec<Parsed>,
    count: usize,
    frames: Vec<Frame>,
    /// Of the frames.
    bytes: Vec<u8>,
}

/// Packets of a share that stand in a row.
pub(super) enum Run<'a, F> {
    Parsed(&'a [Parsed]),
    Frames(F),
}

impl Share {
    #[inline]
    fn take(&mut self, parser: &mut Parser, frame: &Arrival<'_>) {
        if self.count == self.parsed.len() {
            self.parsed.resize(2 * self.count + 64, Parsed::BLANK);
        }
        if parser.parse(frame, &mut self.parsed[self.count]) {
            self.count += 1;
        } else {
            self.take_whole(frame);
        }
    }

    #[cold]
    fn take_whole(&mut self, frame: &Arrival<'_>) {
        let Arrival { link, data, wire_len, at } = *frame;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(data);
        self.frames.push(Frame { behind: self.count, start, end: self.bytes.len(), link, wire_len, at });
    }

    fn clear(&mut self) {
        self.count = 0;
        self.frames.clear();
        self.bytes.clear();
    }

    /// All packets in the order of the file.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run<'_, impl Iterator<Item = Arrival<'_>>>> {
        let mut booked = 0;
        let rows = self.frames.chunk_by(|frame, next| frame.behind == next.behind).flat_map(move |frames| {
            let before = booked;
            booked = frames[0].behind;
            let row = frames.iter().map(|frame| {
                let Frame { start, end, link, wire_len, at, .. } = *frame;
                Arrival { link, data: &self.bytes[start..end], wire_len, at }
            });
            [Run::Parsed(&self.parsed[before..booked]), Run::Frames(row)]
        });
        let last = self.frames.last().map_or(0, |frame| frame.behind);
        rows.chain(iter::once(Run::Parsed(&self.parsed[last..self.count])))
    }
}

/// A stretch of the file with the packets of each worker.
pub(super) struct Stretch {
    /// Its place among all.
    pub(super) turn: u64,
    pub(super) shares: Vec<Share>,
}

impl Stretch {
    /// Without packets, for so many workers.
    pub(super) fn new(workers: usize) -> Self {
        Self { turn: 0, shares: (0..workers).map(|_| Share::default()).collect() }
    }

    /// Parses the packets at `places` of `bytes`.
    pub(super) fn fill(&mut self, parser: &mut Parser, bytes: &[u8], places: &[Place]) {
        for place in places {
            let data = bytes.get(place.start as usize..place.end as usize).unwrap_or(&[]);
            let Place { link, wire_len, at, .. } = *place;
            self.shares[usize::from(place.worker)].take(parser, &Arrival { link, data, wire_len, at });
        }
        parser.publish();
    }

    /// Lets go of a stretch. Gives it back, without packets, where nobody else looks at it.
    pub(super) fn emptied(stretch: Arc<Self>) -> Option<Self> {
        let mut stretch = Arc::into_inner(stretch)?;
        stretch.shares.iter_mut().for_each(Share::clear);
        Some(stretch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with an IPv4 datagram of UDP, or with a later piece of one.
    fn frame(is_piece: bool) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
        frame[21] = u8::from(is_piece);
        frame.extend([10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, 53, 0, 8, 0, 0]);
        frame
    }

    #[test]
    fn what_is_parsed_and_what_is_not_come_in_the_order_of_the_file() {
        let pieces = [false, false, true, true, false, true];
        let mut bytes = Vec::new();
        let places: Vec<_> = (60..)
            .zip(pieces)
            .map(|(wire_len, is_piece)| {
                let start = bytes.len() as u32;
                bytes.extend(frame(is_piece));
                let (link, at) = (Some(LinkType::Ethernet), Instant::default());
                Place { start, end: bytes.len() as u32, wire_len, link, worker: 1, at }
            })
            .collect();
        let counters = Arc::default();
        let mut parser = Parser::new(Arc::clone(&counters), false);
        let mut stretch = Stretch::new(2);
        stretch.fill(&mut parser, &bytes, &places);
        let runs: Vec<_> = stretch.shares[1]
            .runs()
            .map(|run| match run {
                Run::Parsed(parsed) => (parsed.len(), Vec::new()),
                Run::Frames(frames) => (0, frames.map(|frame| (frame.wire_len, frame.data.to_vec())).collect()),
            })
            .collect();
        let of = |wire_len| (wire_len, frame(true));
        let wanted = [(2, vec![]), (0, vec![of(62), of(63)]), (1, vec![]), (0, vec![of(65)]), (0, vec![])];
        assert_eq!(runs, wanted);
        assert_eq!((counters.frames.get(), counters.tracked.get(), counters.bytes.get()), (3, 3, 60 + 61 + 64));
    }
}
