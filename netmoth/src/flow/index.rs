//! From a hash to entries: buckets of one cache line each, so that finding a connection reads one line, and seldom two.
//!
//! A bucket holds ten entries, each with sixteen bits of its hash. Where a bucket is full, an entry goes to the next one with
//! room, and every bucket that it has passed counts it: a search ends at the first bucket that nobody has passed. Nothing is
//! moved by a removal, and nothing is left behind: the index is as fast after a billion removals as on its first day. (Counting
//! the passed instead of marking the dead is also what Folly's F14 does.)

use super::config::{FlowError, reserve};
use crate::prefetch;

/// Entries of a bucket.
const WIDTH: usize = 10;

/// Entries per bucket in the mean, when the table is full: one of twenty then stands in another bucket than its own.
const MEAN: u32 = 8;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    /// Low half of the hash of each entry.
    tags: [u16; WIDTH],
    /// Entries that found no room in here, and went on.
    passed: u32,
    /// Entry + 1; 0 where there is none.
    entries: [u32; WIDTH],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    const EMPTY: Self = Self { tags: [0; WIDTH], passed: 0, entries: [0; WIDTH] };

    /// A bit for each entry with that tag. Without a branch: which of them it is, nobody can foretell.
    #[inline(always)]
    fn matching(&self, tag: u16) -> u32 {
        let mut bits = 0;
        for (place, &other) in self.tags.iter().enumerate() {
            bits |= u32::from(other == tag) << place;
        }
        bits
    }

    /// Where `entry` stands, without a branch likewise.
    #[inline(always)]
    fn place_of(&self, entry: u32) -> Option<usize> {
        let mut bits = 0;
        for (place, &other) in self.entries.iter().enumerate() {
            bits |= u32::from(other == entry) << place;
        }
        (bits != 0).then(|| bits.trailing_zeros() as usize)
    }
}

pub(super) struct Index {
    buckets: Vec<Bucket>,
}

impl Index {
    pub(super) fn new(max_flows: u32) -> Result<Self, FlowError> {
        let count = max_flows as usize / MEAN as usize + 1;
        let mut buckets = reserve(count, max_flows)?;
        buckets.resize(count, Bucket::EMPTY);
        Ok(Self { buckets })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.buckets.as_slice())
    }

    /// The bucket of `hash`: the hash scaled to their number, which needs no power of two.
    #[inline(always)]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets.len() as u64) >> 32) as usize
    }

    #[inline(always)]
    fn next(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 }
    }

    /// The entry with `hash` for which `is_it` holds.
    #[inline(always)]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let bucket = &self.buckets[at];
            let mut matching = bucket.matching(hash as u16);
            while matching != 0 {
                let entry = bucket.entries[matching.trailing_zeros() as usize];
                if entry != 0 && is_it(entry - 1) {
                    return Some(entry - 1);
                }
                matching &= matching - 1;
            }
            at = self.next(at);
            // A small index may have been passed in every bucket.
            if bucket.passed == 0 || at == self.home(hash) {
                return None;
            }
        }
    }

    /// Asks for the bucket of `hash`, so that it stands in the cache when it is searched.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u32) {
        prefetch::line(&self.buckets[self.home(hash)]);
    }

    /// The entry that [`Index::find`] would look at first, or 0 where there is none.
    #[inline(always)]
    pub(super) fn guess(&self, hash: u32) -> u32 {
        let bucket = &self.buckets[self.home(hash)];
        // A bit behind the last stands for none, so that no branch is needed.
        let first = (bucket.matching(hash as u16) | 1 << WIDTH).trailing_zeros() as usize;
        bucket.entries.get(first).map_or(0, |entry| entry.saturating_sub(1))
    }

    /// Adds `entry`, which must not be there yet. Never more than `max_flows` at once.
    pub(super) fn insert(&mut self, hash: u32, entry: u32) {
        let mut at = self.home(hash);
        loop {
            let bucket = &mut self.buckets[at];
            if let Some(place) = bucket.place_of(0) {
                bucket.tags[place] = hash as u16;
                bucket.entries[place] = entry + 1;
                return;
            }
            bucket.passed += 1;
            at = self.next(at);
        }
    }

    /// Removes `entry`, and takes back what it left in the buckets that it had passed.
    pub(super) fn remove(&mut self, hash: u32, entry: u32) {
        let mut at = self.home(hash);
        loop {
            let bucket = &mut self.buckets[at];
            if let Some(place) = bucket.place_of(entry + 1) {
                bucket.entries[place] = 0;
                return;
            }
            if bucket.passed == 0 {
                debug_assert!(false, "entry {entry} is not in the index");
                return;
            }
            bucket.passed -= 1;
            at = self.next(at);
        }
    }

    /// All entries, for checks.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.buckets.iter().flat_map(|bucket| bucket.entries).filter(|&entry| entry != 0).map(|entry| entry - 1)
    }

    /// How often entries stand in another bucket than their own, for checks: what the buckets should have counted.
    pub(super) fn check_passed(&self, hash_of: impl Fn(u32) -> u32) -> Result<(), String> {
        let mut passed = vec![0u32; self.buckets.len()];
        for (bucket, own) in self.buckets.iter().enumerate() {
            for entry in own.entries.iter().filter(|&&entry| entry != 0) {
                let mut at = self.home(hash_of(entry - 1));
                while at != bucket {
                    passed[at] += 1;
                    at = self.next(at);
                }
            }
        }
        match (0..passed.len()).find(|&at| passed[at] != self.buckets[at].passed) {
            None => Ok(()),
            Some(at) => {
                Err(format!("{} entries have passed bucket {at}, which counts {}", passed[at], self.buckets[at].passed))
            }
        }
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
                    // Few different hashes, many at the very end, so that buckets overflow and wrap around.
                    model.entry(entry).or_insert_with(|| {
                        let hash = if spread < 192 { u32::MAX - u32::from(spread % 4) } else { u32::from(spread) << 24 };
                        index.insert(hash, entry);
                        hash
                    });
                } else if let Some(hash) = model.remove(&entry) {
                    index.remove(hash, entry);
                }
                prop_assert_eq!(index.iter().count(), model.len());
                prop_assert_eq!(index.check_passed(|entry| model[&entry]), Ok(()));
                for (&entry, &hash) in &model {
                    prop_assert_eq!(index.find(hash, |found| found == entry), Some(entry));
                }
                for hash in [0, u32::MAX, u32::from(spread) << 24] {
                    prop_assert_eq!(index.find(hash, |_| false), None);
                }
            }
        }
    }

    #[test]
    fn a_search_ends_where_every_bucket_was_passed() {
        let mut index = Index::new(16).unwrap();
        assert_eq!(index.buckets.len(), 3);
        // In the last bucket, then the others: eleven begin there each time, and the first ten leave.
        for last in [u32::MAX, 0, u32::MAX / 2] {
            let home = index.home(last);
            let first = index.iter().count() as u32;
            let entries: Vec<u32> = (100 * (home as u32 + 1)..).take(11).collect();
            assert!(first < 5, "room for eleven more");
            entries.iter().for_each(|&entry| index.insert(last, entry));
            entries[..10].iter().for_each(|&entry| index.remove(last, entry));
        }
        assert!(index.buckets.iter().all(|bucket| bucket.passed > 0));
        assert_eq!(index.find(0, |_| false), None);
    }

    #[test]
    fn a_guess_is_the_entry_wherever_nothing_collides() {
        let mut index = Index::new(1024).unwrap();
        for entry in 0..1024u32 {
            index.insert(entry.wrapping_mul(0x9e37_79b9), entry);
        }
        let right = (0..1024u32).filter(|&entry| index.guess(entry.wrapping_mul(0x9e37_79b9)) == entry).count();
        assert!(right > 900, "{right} of 1024 guesses are right");
    }
}
