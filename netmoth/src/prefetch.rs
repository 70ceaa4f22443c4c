//! Asking for memory before it is needed.
//!
//! A prefetch instruction retires at once, where a read holds up everything behind it until it has its answer: so it can stand
//! among other work. A core has some sixteen such requests under way (line fill buffers); more of them wait, so they are
//! best spread over work that takes as long as the memory does.

/// Bytes that come at a time.
const LINE: usize = 64;

/// Asks for the line in which `item` begins.
#[inline(always)]
pub(crate) fn line<T>(item: &T) {
    at(std::ptr::from_ref(item).cast());
}

/// Asks for all lines of an aligned `item`.
#[inline(always)]
pub(crate) fn whole<T>(item: &T) {
    let first: *const u8 = std::ptr::from_ref(item).cast();
    for offset in (0..size_of::<T>()).step_by(LINE) {
        at(first.wrapping_add(offset));
    }
}

/// Asks for the line in which `bytes` begin.
#[inline(always)]
pub(crate) fn start(bytes: &[u8]) {
    at(bytes.as_ptr());
}

#[inline(always)]
fn at(address: *const u8) {
    const FIRST_CACHE: i32 = 0;
    branches::prefetch_read_data::<u8, FIRST_CACHE>(address);
}
