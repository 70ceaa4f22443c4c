//! Frames that are asked for some places before they are read.

use crate::prefetch;

/// How many places before. A frame's memory is then there when its turn comes: parsing this many takes longer than the memory
/// does. More would not be under way at a time.
const PLACES: usize = 12;

/// Gives what `frames` gives, and asks for the bytes that will follow.
pub(super) struct Ahead<A, F> {
    ahead: A,
    frames: F,
}

impl<'a, A: Iterator<Item = &'a [u8]>, F: Iterator> Ahead<A, F> {
    /// `ahead` has the bytes of `frames`, or nothing where that is not worth it.
    #[inline(always)]
    pub(super) fn of(mut ahead: A, frames: F) -> Self {
        ahead.by_ref().take(PLACES).for_each(prefetch::start);
        Self { ahead, frames }
    }
}

impl<'a, A: Iterator<Item = &'a [u8]>, F: Iterator> Iterator for Ahead<A, F> {
    type Item = F::Item;

    #[inline(always)]
    fn next(&mut self) -> Option<F::Item> {
        if let Some(bytes) = self.ahead.next() {
            prefetch::start(bytes);
        }
        self.frames.next()
    }
}
