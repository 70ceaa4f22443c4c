//! What holds between any two packets, for tests and fuzzers: the table's own bookkeeping looked through from the outside.

use std::collections::HashSet;

use super::super::odd::NOTHING_ODD;
use super::super::wheel::Filed;
use super::{FlowTable, elapsed};

impl FlowTable {
    /// Looks through the whole table: every entry is either free or in the index and in one timer list, never both; counters
    /// are such as packets make them. Slow, meant for tests and fuzzers.
    ///
    /// # Errors
    /// The first contradiction that was found.
    pub fn check_invariants(&self) -> Result<(), String> {
        let filed = self.wheels.filed()?;
        self.check_places(&filed)?;
        self.check_index()?;
        self.check_odds(&filed)?;
        let mut identifiers = HashSet::new();
        for Filed { entry, .. } in &filed {
            self.check_counters(*entry)?;
            if !identifiers.insert(self.cold[*entry as usize].flow_id) {
                return Err(format!("entry {entry} has the flow_id of another"));
            }
        }
        Ok(())
    }

    /// Looks through the timers: none fires later than its connection is due, and no packet lies in the future. Holds as
    /// long as the monotonic clock that the table is told never goes back. Slow, meant for tests and fuzzers.
    ///
    /// # Errors
    /// The first contradiction that was found.
    pub fn check_timers(&self) -> Result<(), String> {
        for filed in self.wheels.filed()? {
            let hot = &self.entries[filed.entry as usize];
            let due = hot.last_tick.wrapping_add(self.idle_limit(hot));
            if elapsed(hot.last_tick, self.tick) > 0 || elapsed(hot.part_tick, self.tick) > 0 {
                return Err(format!(
                    "entry {} had its last packet in the future: {hot:?} at {}",
                    filed.entry, self.tick
                ));
            }
            if !self.wheels.is_in_time(&filed, due, self.tick) {
                return Err(format!("entry {} is filed later than it is due: {hot:?} at {}", filed.entry, self.tick));
            }
        }
        Ok(())
    }

    /// Every entry is in exactly one place: free, or in the timer list of its class.
    fn check_places(&self, filed: &[Filed]) -> Result<(), String> {
        let mut places = vec![0; self.wheels.capacity()];
        for entry in self.wheels.free_entries() {
            places[entry as usize] += 1;
        }
        for Filed { entry, class, .. } in filed {
            places[*entry as usize] += 1;
            let hot = self.entries.get(*entry as usize).ok_or(format!("entry {entry} was never started"))?;
            if hot.class() != *class {
                return Err(format!("entry {entry} is {:?}, and filed as {class:?}", hot.class()));
            }
        }
        match places.iter().position(|&places| places != 1) {
            Some(entry) => Err(format!("entry {entry} is in {} places", places[entry])),
            None if filed.len() != self.len() => Err(format!("{} entries are filed of {}", filed.len(), self.len())),
            None => Ok(()),
        }
    }

    /// The index finds every entry by its key, and holds nothing else. (That all entries which are
    /// filed are here follows: these are as many, all different, and none is free.)
    fn check_index(&self) -> Result<(), String> {
        let free: HashSet<u32> = self.wheels.free_entries().into_iter().collect();
        let hash_of = |entry: u32| self.hasher.hash(&self.entries[entry as usize].key);
        let mut indexed = HashSet::new();
        for entry in self.index.iter() {
            let key = &self.entries[entry as usize].key;
            let found = self.index.find(hash_of(entry), |other| self.entries[other as usize].key == *key);
            if found != Some(entry) {
                return Err(format!("looking for entry {entry} finds {found:?}"));
            }
            if free.contains(&entry) || !indexed.insert(entry) {
                return Err(format!("entry {entry} is in the index and free, or there twice"));
            }
        }
        self.index.check_passed(hash_of)?;
        if indexed.len() == self.len() {
            Ok(())
        } else {
            Err(format!("{} entries of {} indexed", indexed.len(), self.len()))
        }
    }

    /// No two connections share a place in the pool, and none is held by nobody.
    fn check_odds(&self, filed: &[Filed]) -> Result<(), String> {
        let odd = filed.iter().map(|filed| self.cold[filed.entry as usize].odd).filter(|&odd| odd != NOTHING_ODD);
        let mut places = HashSet::new();
        for place in odd {
            if self.odds.get(place).is_none() || !places.insert(place) {
                return Err(format!("place {place} of the pool is not there, or of two connections"));
            }
        }
        match self.odds.held() {
            held if held == places.len() => Ok(()),
            held => Err(format!("{held} places of the pool are held, by {} connections", places.len())),
        }
    }

    /// Counters are such as packets make them, and records such as stores take them.
    fn check_counters(&self, entry: u32) -> Result<(), String> {
        let (hot, cold) = (&self.entries[entry as usize], &self.cold[entry as usize]);
        let odd = self.odds.get(cold.odd);
        // Between two packets, every part has one: a part begins with the packet that is booked on it.
        let holds = !hot.is_empty()
            && hot.start_ns <= hot.last_ns
            && cold.flow_id > 0
            && cold.flow_id as u8 == self.worker
            && cold.flow_id <= self.last_id | 0xff
            && (0..2).all(|side| hot.bytes(side) >= hot.payload(side))
            && (0..2).all(|side| hot.packets[side] > 0 || hot.bytes(side) == 0)
            && odd.is_none_or(|odd| (0..2).all(|side| odd.repeated[side] <= hot.packets[side]));
        if holds { Ok(()) } else { Err(format!("entry {entry} has impossible counters: {hot:?}, {cold:?}")) }
    }
}
