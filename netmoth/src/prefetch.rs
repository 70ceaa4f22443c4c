//! Asking for memory before it is needed.
//!
//! A prefetch instruction retires at once, where a read holds up everything behind it until it has its answer: so it can stand
//! among other work. A core has some sixteen such requests under way (line fill buffers); more of them wait, so they are
//! best spread over work that takes as long as the memory does.

/// Asks for the line in which `item` begins.
#[inline(always)]
pub(crate) fn line<T>(item: &T) {
    const NEAREST: i32 = 3;
    mem_prefetch::prefetch_read_data::<T, NEAREST>(item);
}

/// Asks for the line in which `bytes` begin.
#[inline(always)]
pub(crate) fn start(bytes: &[u8]) {
    if let Some(first) = bytes.first() {
        line(first);
    }
}
