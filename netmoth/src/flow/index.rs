//! The index from a key's hash to its entry: open addressing with linear probing, no tombstones.
//!
//! A slot holds the 32-bit hash and the entry's number, so a probe reads entries only where all 32 bits agree, and
//! a deletion can close the hole by moving later slots back without reading any entry. The table is therefore as
//! fast after a billion deletions as on its first day. At most four fifths of the slots are taken.

use super::config::FlowError;
use super::memory::reserve;

const EMPTY: u64 = 0;

pub(super) struct Index {
    /// `hash << 32 | entry + 1`, or [`EMPTY`].
    slots: Vec<u64>,
}

impl Index {
    /// Slots for `max_flows` entries.
    pub(super) fn slots_for(max_flows: u32) -> usize {
        max_flows as usize + max_flows as usize / 4 + 2
    }

    pub(super) fn new(max_flows: u32) -> Result<Self, FlowError> {
        let mut slots = reserve(Self::slots_for(max_flows), max_flows)?;
        slots.resize(Self::slots_for(max_flows), EMPTY);
        Ok(Self { slots })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.slots.as_slice())
    }

    /// Where the probe for `hash` begins: the hash scaled to the number of slots, which need no power of two.
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    fn next(&self, position: usize) -> usize {
        if position + 1 == self.slots.len() { 0 } else { position + 1 }
    }

    /// The first entry with `hash` for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut position = self.home(hash);
        loop {
            let slot = self.slots[position];
            if slot == EMPTY {
                return None;
            }
            if (slot >> 32) as u32 == hash && is_it(slot as u32 - 1) {
                return Some(slot as u32 - 1);
            }
            position = self.next(position);
        }
    }

    /// What stands at the home of `hash`: reading it early brings its cache line in. The entry, where it is likely
    /// the right one.
    #[inline]
    pub(super) fn peek(&self, hash: u32) -> Option<u32> {
        let home = self.home(hash);
        self.slots[home..]
            .iter()
            .take(4)
            .find(|&&slot| (slot >> 32) as u32 == hash && slot != EMPTY)
            .map(|&slot| slot as u32 - 1)
    }

    /// Adds `entry`, which must not be there yet. Never more than `max_flows` at once.
    pub(super) fn insert(&mut self, hash: u32, entry: u32) {
        let mut position = self.home(hash);
        while self.slots[position] != EMPTY {
            position = self.next(position);
        }
        self.slots[position] = u64::from(hash) << 32 | u64::from(entry + 1);
    }

    /// Removes `entry` and closes the hole.
    pub(super) fn remove(&mut self, hash: u32, entry: u32) {
        let wanted = u64::from(hash) << 32 | u64::from(entry + 1);
        let mut hole = self.home(hash);
        while self.slots[hole] != wanted {
            if self.slots[hole] == EMPTY {
                debug_assert!(false, "entry {entry} is not in the index");
                return;
            }
            hole = self.next(hole);
        }
        let mut position = self.next(hole);
        while self.slots[position] != EMPTY {
            let home = self.home((self.slots[position] >> 32) as u32);
            // A slot may move back unless its home lies behind the hole (cyclically, between hole and slot).
            if self.distance(home, position) >= self.distance(hole, position) {
                self.slots[hole] = self.slots[position];
                hole = position;
            }
            position = self.next(position);
        }
        self.slots[hole] = EMPTY;
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }

    /// All entries with their hashes, for checks.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.slots.iter().filter(|&&slot| slot != EMPTY).map(|&slot| ((slot >> 32) as u32, slot as u32 - 1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_index_agrees_with_a_map_through_any_inserts_and_removals(
            steps in prop::collection::vec((any::<bool>(), 0u32..64, any::<u8>()), 1..400)
        ) {
            let mut index = Index::new(64).unwrap();
            let mut model: HashMap<u32, u32> = HashMap::new();
            for (add, entry, spread) in steps {
                if add {
                    // Few different hashes, some at the very end, so that chains collide and wrap around.
                    model.entry(entry).or_insert_with(|| {
                        let hash = if spread < 128 { u32::MAX - u32::from(spread % 4) } else { u32::from(spread) << 24 };
                        index.insert(hash, entry);
                        hash
                    });
                } else if let Some(hash) = model.remove(&entry) {
                    index.remove(hash, entry);
                }
                prop_assert_eq!(index.iter().count(), model.len());
                for (&entry, &hash) in &model {
                    prop_assert_eq!(index.find(hash, |found| found == entry), Some(entry));
                }
            }
        }
    }
}
