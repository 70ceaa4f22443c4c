//! Timers: a wheel of slots, each a list of the entries that may be due then.
//!
//! It re-files lazily: a packet only writes its entry's time, and an entry that turns out not to be due when its slot
//! comes is filed again. There is one wheel per [`Class`], so that a full table finds whom to evict without a search.
//!
//! Every entry stands in exactly one list, that of a timer or that of the free entries, but for those that are being looked at
//! because they may be due.

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

/// Lists of a slot: its entries are spread over them by their low bits. Whoever walks a list waits for each entry's link before
/// it knows the next; of eight lists, eight links are under way at a time.
const LANES: usize = 8;

/// Stands in [`Link::previous`] of the first entry of a list, together with the list's number: `place × LANES + lane`, where a
/// place is `class × SLOTS + slot`.
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
    /// First entry of each list, by place and lane.
    heads: Vec<[u32; LANES]>,
    /// A bit per slot that is not empty.
    filled: Vec<u64>,
    /// A bit per word of `filled` that is not zero, by class.
    filled_words: [u32; Class::ALL.len()],
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

/// Words of a wheel's bits: as many as a `u32` has bits, for [`Wheels::filled_words`].
const WORDS: usize = SLOTS as usize / 64;
const _: () = assert!(WORDS == u32::BITS as usize);

impl Wheels {
    pub(super) fn new(max_flows: u32) -> Result<Self, FlowError> {
        let mut links = reserve(max_flows as usize, max_flows)?;
        links.resize(max_flows as usize, Link { next: NONE, previous: NONE });
        let all = SLOTS as usize * Class::ALL.len();
        Ok(Self {
            links,
            heads: vec![[NONE; LANES]; all],
            filled: vec![0; all / 64],
            filled_words: [0; Class::ALL.len()],
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
        let lane = entry as usize % LANES;
        let head = std::mem::replace(&mut self.heads[place][lane], entry);
        self.links[entry as usize] = Link { next: head, previous: FIRST | (place * LANES + lane) as u32 };
        if head != NONE {
            self.links[head as usize].previous = entry;
        }
        self.filled[place / 64] |= 1 << (place % 64);
        self.filled_words[place / 64 / WORDS] |= 1 << (place / 64 % WORDS);
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
            let list = (previous & !FIRST) as usize;
            let (place, lane) = (list / LANES, list % LANES);
            self.heads[place][lane] = next;
            // The other lists of the slot are only looked at where this one is empty now: a store that is read back in another
            // size waits.
            if next == NONE && is_empty(&self.heads[place]) {
                self.unmark(place);
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

    /// Takes entries out of one slot that has come by `now`, as many as there are and `due` has room for: each of them is then to be
    /// filed again or given back. Returns how many.
    pub(super) fn take_due(&mut self, now: u32, due: &mut [u32]) -> usize {
        loop {
            for class in Class::ALL {
                let place = class as usize * SLOTS as usize + (self.visited & (SLOTS - 1)) as usize;
                if !is_empty(&self.heads[place]) {
                    self.pending = true;
                    return self.take_first(place, due);
                }
            }
            self.pending = false;
            if !self.turn(now) {
                return 0;
            }
        }
    }

    /// Takes the first entries out of a place, from each of its lists in turn.
    fn take_first(&mut self, place: usize, found: &mut [u32]) -> usize {
        let (mut count, mut heads) = (0, self.heads[place]);
        while count < found.len() && !is_empty(&heads) {
            for head in heads.iter_mut().filter(|head| **head != NONE) {
                let Some(room) = found.get_mut(count) else { break };
                *room = std::mem::replace(head, self.links[*head as usize].next);
                count += 1;
            }
        }
        self.heads[place] = heads;
        for (lane, head) in heads.into_iter().enumerate().filter(|(_, head)| *head != NONE) {
            self.links[head as usize].previous = FIRST | (place * LANES + lane) as u32;
        }
        if is_empty(&heads) {
            self.unmark(place);
        }
        count
    }

    /// All lists of this place are empty.
    fn unmark(&mut self, place: usize) {
        self.filled[place / 64] &= !(1 << (place % 64));
        if self.filled[place / 64] == 0 {
            self.filled_words[place / 64 / WORDS] &= !(1 << (place / 64 % WORDS));
        }
    }

    /// The entry of `class` that is filed nearest to its expiry, found in three steps: word, bit, list.
    pub(super) fn nearest(&self, class: Class) -> Option<u32> {
        let visited = (self.visited & (SLOTS - 1)) as usize;
        let base = class as usize * WORDS;
        let words = &self.filled[base..base + WORDS];
        // The word of the visited slot holds what comes first, and, before that slot, what comes last of all.
        let first = visited / 64;
        let ahead = words[first] & u64::MAX << (visited % 64);
        let (index, bits) = if ahead != 0 {
            (first, ahead)
        } else {
            let following = self.filled_words[class as usize].rotate_right(first as u32 + 1);
            let index = (first + 1 + following.trailing_zeros() as usize) % WORDS;
            (index, words[index])
        };
        if bits == 0 {
            return None;
        }
        let place = (base + index) * 64 + bits.trailing_zeros() as usize;
        self.heads[place].into_iter().find(|&head| head != NONE)
    }

    /// All filed entries.
    pub(super) fn entries(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for (list, head) in self.heads.as_flattened().iter().enumerate() {
            let mut entry = *head;
            let mut before = FIRST | list as u32;
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
        for (place, heads) in self.heads.iter().enumerate() {
            let is_filled = self.filled[place / 64] >> (place % 64) & 1 == 1;
            if is_filled == is_empty(heads) {
                return Err(format!("the bit of place {place} does not say whether its lists are empty"));
            }
            if self.filled_words[place / 64 / WORDS] >> (place / 64 % WORDS) & 1
                != u32::from(self.filled[place / 64] != 0)
            {
                return Err(format!("the bit of the word of place {place} does not say whether it is zero"));
            }
            if is_filled {
                for (lane, &head) in heads.iter().enumerate() {
                    self.walk(place, lane, head, &mut found)?;
                }
            }
        }
        Class::ALL.iter().try_for_each(|&class| self.check_nearest(class, &found))?;
        Ok(found)
    }

    /// [`Wheels::nearest`] finds one of those that are visited first.
    fn check_nearest(&self, class: Class, filed: &[Filed]) -> Result<(), String> {
        let own = || filed.iter().filter(|filed| filed.class == class);
        let first = own().map(|filed| filed.ahead).min();
        let found = self.nearest(class);
        let ahead = own().find(|filed| Some(filed.entry) == found).map(|filed| filed.ahead);
        if first == ahead {
            Ok(())
        } else {
            Err(format!("{found:?} is nearest of {class:?}: {ahead:?} and not {first:?}"))
        }
    }

    /// Adds the entries of one list.
    fn walk(&self, place: usize, lane: usize, head: u32, found: &mut Vec<Filed>) -> Result<(), String> {
        let class = Class::from_bits((place / SLOTS as usize) as u8);
        let ahead = (place as u32).wrapping_sub(self.visited) & (SLOTS - 1);
        let (mut entry, mut before) = (head, FIRST | (place * LANES + lane) as u32);
        while entry != NONE {
            if found.len() == self.links.len() {
                return Err(format!("list {lane} of place {place} runs in circles, or shares entries with another"));
            }
            let link = self.links[entry as usize];
            if link.previous != before {
                return Err(format!("entry {entry} does not know its neighbour in list {lane} of place {place}"));
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

fn is_empty(heads: &[u32; LANES]) -> bool {
    // All bits of NONE are set, so that only heads that are all NONE have it in common.
    heads.iter().fold(NONE, |all, head| all & head) == NONE
}
