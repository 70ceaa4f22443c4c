//! Timers: a wheel of slots, each a list of the entries that may be due then.
//!
//! It re-files lazily: a packet only writes its entry's time, and an entry that turns out not to be due when its slot
//! comes is filed again. There is one wheel per [`Class`], so that a full table finds whom to evict without a search.
//!
//! Every entry stands in exactly one list: that of a timer, or that of the free entries.

use super::config::{FlowError, reserve};

/// Who goes first when the table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// Over, and lingering for late packets.
    Closed,
    /// Nobody has answered yet.
    HalfOpen,
    /// Both sides have spoken, or it was met in the middle.
    Open,
}

impl Class {
    /// In the order of eviction.
    pub(super) const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    pub(super) fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Closed,
            1 => Self::HalfOpen,
            _ => Self::Open,
        }
    }
}

/// No entry.
const NONE: u32 = u32::MAX;

/// Slots of a wheel, a power of two.
const SLOTS: u32 = 2048;

/// Milliseconds of one slot, as a shift: 128 ms, so that a wheel reaches 262 seconds.
const SHIFT: u32 = 7;

/// Stands in [`Link::previous`] of the first entry of a list, together with the list's place: `class × SLOTS + slot`.
const FIRST: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    previous: u32,
}

/// Where an entry is filed, for checks.
pub(super) struct Filed {
    pub(super) entry: u32,
    pub(super) class: Class,
    /// Slots until it is visited.
    ahead: u32,
}

/// The wheels with the links of all entries.
pub(super) struct Wheels {
    links: Vec<Link>,
    /// First entry of each list, by place.
    heads: Vec<u32>,
    /// A bit per slot that is not empty.
    filled: Vec<u64>,
    /// The slot that was visited last, as an absolute number that wraps.
    visited: u32,
    /// The visited slot may hold entries that were not looked at yet.
    pending: bool,
    begun: bool,
    /// First of the free entries that were in use before; they are linked by [`Link::next`].
    free: u32,
    /// Entries from here on were never in use: the lowest are taken first, so that a quiet table stays in few pages.
    untouched: u32,
    /// Entries that are taken.
    taken: u32,
}

const WORDS: usize = SLOTS as usize / 64;

impl Wheels {
    pub(super) fn new(max_flows: u32) -> Result<Self, FlowError> {
        let mut links = reserve(max_flows as usize, max_flows)?;
        links.resize(max_flows as usize, Link { next: NONE, previous: NONE });
        let all = SLOTS as usize * Class::ALL.len();
        Ok(Self {
            links,
            heads: vec![NONE; all],
            filled: vec![0; all / 64],
            visited: 0,
            pending: false,
            begun: false,
            free: NONE,
            untouched: 0,
            taken: 0,
        })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.links.as_slice())
    }

    /// Entries that are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken as usize
    }

    /// Whether there is no free entry.
    pub(super) fn is_full(&self) -> bool {
        self.taken as usize == self.links.len()
    }

    /// Takes a free entry. There must be one.
    pub(super) fn take(&mut self) -> u32 {
        self.taken += 1;
        if self.free == NONE {
            self.untouched += 1;
            return self.untouched - 1;
        }
        let entry = self.free;
        self.free = self.links[entry as usize].next;
        entry
    }

    /// Gives an entry back that stands in no timer's list.
    pub(super) fn give_back(&mut self, entry: u32) {
        self.taken -= 1;
        self.links[entry as usize].next = self.free;
        self.free = entry;
    }

    /// All free entries, for checks; at most as many as there are entries, should they run in circles.
    pub(super) fn free_entries(&self) -> Vec<u32> {
        let mut found: Vec<u32> = (self.untouched..self.links.len() as u32).collect();
        let mut entry = self.free;
        while entry != NONE && found.len() <= self.links.len() {
            found.push(entry);
            entry = self.links[entry as usize].next;
        }
        found
    }

    /// Files an entry that is due at `due` (milliseconds): in the slot after its time, so that it is due when visited.
    pub(super) fn file(&mut self, entry: u32, class: Class, due: u32) {
        let slot = due >> SHIFT;
        // Due within the slot that is being visited, or overdue: the next one. Beyond the wheel's reach: its end.
        let ahead = slot.wrapping_sub(self.visited) & (u32::MAX >> SHIFT);
        let ahead = if ahead > (u32::MAX >> SHIFT) / 2 { 1 } else { ahead.saturating_add(1).clamp(1, SLOTS - 1) };
        let place = class as usize * SLOTS as usize + (self.visited.wrapping_add(ahead) & (SLOTS - 1)) as usize;
        let head = self.heads[place];
        self.links[entry as usize] = Link { next: head, previous: FIRST | place as u32 };
        if head != NONE {
            self.links[head as usize].previous = entry;
        }
        self.heads[place] = entry;
        self.filled[place / 64] |= 1 << (place % 64);
    }

    /// Entries that can be filed at a time.
    pub(super) fn capacity(&self) -> usize {
        self.links.len()
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, entry: u32) {
        let Link { next, previous } = self.links[entry as usize];
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
        if previous & FIRST == 0 {
            self.links[previous as usize].next = next;
        } else {
            let place = (previous & !FIRST) as usize;
            self.heads[place] = next;
            if next == NONE {
                self.filled[place / 64] &= !(1 << (place % 64));
            }
        }
    }

    /// Whether `now` (milliseconds) has passed into a slot that was not visited yet.
    #[inline]
    pub(super) fn is_due(&self, now: u32) -> bool {
        !self.begun || self.pending || self.visited != now >> SHIFT
    }

    /// Moves on by one slot towards `now`; false where the wheel stands at `now`. A long silence skips to the wheel's
    /// last turn: every slot is still visited once.
    fn turn(&mut self, now: u32) -> bool {
        let target = now >> SHIFT;
        if !self.begun {
            self.begun = true;
            self.visited = target;
            return false;
        }
        let behind = target.wrapping_sub(self.visited) & (u32::MAX >> SHIFT);
        if behind == 0 || behind > (u32::MAX >> SHIFT) / 2 {
            return false;
        }
        let step = if behind > SLOTS { behind - SLOTS + 1 } else { 1 };
        self.visited = self.visited.wrapping_add(step) & (u32::MAX >> SHIFT);
        true
    }

    /// Entries of one list whose slot has come by `now`, as many as there are and `due` has room for: to be taken out, each of
    /// them, and filed again or ended. Returns how many.
    pub(super) fn next_due(&mut self, now: u32, due: &mut [u32]) -> usize {
        loop {
            for class in Class::ALL {
                let place = class as usize * SLOTS as usize + (self.visited & (SLOTS - 1)) as usize;
                if self.heads[place] != NONE {
                    self.pending = true;
                    return self.first_of(place, due);
                }
            }
            self.pending = false;
            if !self.turn(now) {
                return 0;
            }
        }
    }

    /// The first entries of a list.
    fn first_of(&self, place: usize, found: &mut [u32]) -> usize {
        let (mut count, mut entry) = (0, self.heads[place]);
        for room in found {
            if entry == NONE {
                break;
            }
            *room = entry;
            count += 1;
            entry = self.links[entry as usize].next;
        }
        count
    }

    /// The entry of `class` that is filed nearest to its expiry: at most 33 words are looked at.
    pub(super) fn nearest(&self, class: Class) -> Option<u32> {
        let base = class as usize * WORDS;
        let first = (self.visited & (SLOTS - 1)) as usize;
        let words = &self.filled[base..base + WORDS];
        for step in 0..=WORDS {
            let index = (first / 64 + step) % WORDS;
            let mut word = words[index];
            if step == 0 {
                word &= u64::MAX << (first % 64);
            } else if step == WORDS {
                word &= !(u64::MAX << (first % 64));
            }
            if word != 0 {
                let place = class as usize * SLOTS as usize + index * 64 + word.trailing_zeros() as usize;
                return Some(self.heads[place]);
            }
        }
        None
    }

    /// All filed entries.
    pub(super) fn entries(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for (place, head) in self.heads.iter().enumerate() {
            let mut entry = *head;
            let mut before = FIRST | place as u32;
            while entry != NONE {
                debug_assert_eq!(self.links[entry as usize].previous, before, "links of {entry} both ways");
                found.push(entry);
                before = entry;
                entry = self.links[entry as usize].next;
            }
        }
        found
    }

    /// All filed entries, for checks; an error where links, places and bits contradict each other.
    pub(super) fn filed(&self) -> Result<Vec<Filed>, String> {
        let mut found = Vec::new();
        for (word, (bits, heads)) in self.filled.iter().zip(self.heads.as_chunks::<64>().0).enumerate() {
            // Most are empty. All bits of NONE are set, so that only heads that are all NONE have it in common.
            if *bits == 0 && heads.iter().fold(NONE, |all, head| all & head) == NONE {
                continue;
            }
            for (bit, &head) in heads.iter().enumerate() {
                let place = word * 64 + bit;
                if (bits >> bit & 1 == 1) != (head != NONE) {
                    return Err(format!("the bit of place {place} does not say whether its list is empty"));
                }
                self.walk(place, head, &mut found)?;
            }
        }
        Ok(found)
    }

    /// Adds the entries of one list.
    fn walk(&self, place: usize, head: u32, found: &mut Vec<Filed>) -> Result<(), String> {
        let class = Class::from_bits((place / SLOTS as usize) as u8);
        let ahead = (place as u32).wrapping_sub(self.visited) & (SLOTS - 1);
        let (mut entry, mut before) = (head, FIRST | place as u32);
        while entry != NONE {
            if found.len() == self.links.len() {
                return Err(format!("the list of place {place} runs in circles, or shares entries with another"));
            }
            let link = self.links[entry as usize];
            if link.previous != before {
                return Err(format!("entry {entry} does not know its neighbour in the list of place {place}"));
            }
            found.push(Filed { entry, class, ahead });
            before = entry;
            entry = link.next;
        }
        Ok(())
    }

    /// Whether an entry that is due at `due` will be visited in time, for checks: one slot after it is due at the latest;
    /// where the wheel is behind `now`, as soon as it has caught up. So a wheel that is not behind holds nothing overdue.
    pub(super) fn is_in_time(&self, filed: &Filed, due: u32, now: u32) -> bool {
        let slots_to = |time: u32| (((time >> SHIFT).wrapping_sub(self.visited) << SHIFT) as i32) >> SHIFT;
        !self.begun || filed.ahead as i32 <= slots_to(now).max(slots_to(due).saturating_add(1))
    }
}
