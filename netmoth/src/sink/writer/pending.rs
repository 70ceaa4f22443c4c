//! Batches whose fate is open: those that wait for their turn, and those that are being written.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::sink::counters::Place;
use crate::sink::store::Unit;

/// What is to be written, and where its records are counted until it is.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Shared with the connection that writes it, so that its records are here whatever becomes of that.
    pub(super) unit: Arc<Unit>,
    pub(super) from: Place,
}

impl Pending {
    pub(super) fn new(unit: Unit, from: Place) -> Self {
        Self { unit: Arc::new(unit), from }
    }

    /// Batches as they were made, parts of one as their records follow each other, what the spool still has behind all of them.
    fn order(&self) -> (bool, i64, u32) {
        let node = self.unit.node;
        (self.from == Place::Spool, self.unit.seq, node << node.leading_zeros())
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.unit, &other.unit)
    }
}

/// All of them; each is in one of the two places.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// In their order.
    queue: VecDeque<Pending>,
    under_way: Vec<Pending>,
}

impl Open {
    /// It waits for its turn, again or for the first time.
    pub(super) fn put(&mut self, pending: Pending) {
        self.under_way.retain(|other| !other.is_same(&pending));
        let at = self.queue.partition_point(|other| other.order() < pending.order());
        self.queue.insert(at, pending);
    }

    /// It is being written from now on.
    pub(super) fn start(&mut self, pending: Pending) -> Pending {
        self.under_way.push(pending.clone());
        pending
    }

    /// It has its fate.
    pub(super) fn end(&mut self, pending: &Pending) {
        self.under_way.retain(|other| !other.is_same(pending));
    }

    /// Nobody writes any more: all wait.
    pub(super) fn put_all(&mut self) {
        for pending in std::mem::take(&mut self.under_way) {
            self.put(pending);
        }
    }

    pub(super) fn front(&self) -> Option<&Pending> {
        self.queue.front()
    }

    pub(super) fn pop(&mut self) -> Option<Pending> {
        self.queue.pop_front()
    }

    /// The first one that is nowhere but in memory.
    pub(super) fn pop_from_memory(&mut self) -> Option<Pending> {
        let at = self.queue.iter().position(|pending| pending.from == Place::Memory)?;
        self.queue.remove(at)
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.under_way.clear();
    }

    pub(super) fn is_writing(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Whether the batch at the spool's front, or a part of it, is here.
    pub(super) fn is_from_spool(&self) -> bool {
        self.queue.iter().chain(&self.under_way).any(|pending| pending.from == Place::Spool)
    }

    /// Records that wait here and nowhere else.
    pub(super) fn waiting(&self) -> usize {
        in_memory(&self.queue)
    }

    /// The same with those under way beyond the one batch that may be so at any time.
    pub(super) fn held(&self) -> usize {
        self.waiting() + in_memory(self.under_way.iter().skip(1))
    }
}

fn in_memory<'a>(pending: impl IntoIterator<Item = &'a Pending>) -> usize {
    pending.into_iter().filter(|pending| pending.from == Place::Memory).map(|p| p.unit.records.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::row::tests::record;
    use crate::sink::store::RunIdentity;

    fn unit(seq: i64, records: usize) -> Unit {
        let run = RunIdentity { sensor: "edge".into(), run: 7, community_id_seed: 0 };
        Unit { run, seq, node: 1, records: vec![record(); records] }
    }

    fn order(mut open: Open) -> Vec<(Place, i64, u32)> {
        std::iter::from_fn(|| open.pop()).map(|pending| (pending.from, pending.unit.seq, pending.unit.node)).collect()
    }

    #[test]
    fn whatever_comes_back_first_they_wait_in_their_order() {
        let [first, second] = unit(4, 8).halves().unwrap();
        let [third, fourth] = second.halves().unwrap();
        let mut all = [
            Pending::new(unit(3, 1), Place::Memory),
            Pending::new(first, Place::Memory),
            Pending::new(third, Place::Memory),
            Pending::new(fourth, Place::Memory),
            Pending::new(unit(5, 1), Place::Memory),
            Pending::new(unit(0, 1), Place::Spool),
        ];
        for _ in 0..all.len() {
            let mut open = Open::default();
            all.iter().for_each(|pending| drop(open.start(pending.clone())));
            all.iter().for_each(|pending| open.put(pending.clone()));
            assert!(!open.is_writing());
            let expected = [(3, 1), (4, 2), (4, 6), (4, 7), (5, 1)].map(|(seq, node)| (Place::Memory, seq, node));
            assert_eq!(order(open), [&expected[..], &[(Place::Spool, 0, 1)]].concat());
            all.rotate_left(1);
        }
    }

    #[test]
    fn one_batch_under_way_is_not_held_and_a_second_one_is() {
        let mut open = Open::default();
        let first = open.start(Pending::new(unit(0, 10), Place::Memory));
        assert_eq!((open.waiting(), open.held()), (0, 0));
        let second = open.start(Pending::new(unit(1, 7), Place::Memory));
        assert_eq!((open.waiting(), open.held()), (0, 7));
        open.end(&first);
        assert_eq!((open.is_writing(), open.held()), (true, 0));
        open.put(second);
        assert_eq!((open.is_writing(), open.waiting(), open.held()), (false, 7, 7));
        open.start(Pending::new(unit(0, 3), Place::Spool));
        assert!(open.is_from_spool());
        open.put_all();
        assert_eq!((open.is_writing(), open.is_from_spool(), open.held()), (false, true, 7));
    }
}
