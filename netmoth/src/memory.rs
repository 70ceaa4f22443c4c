//! Large arrays in huge pages, where the kernel has any: memory that is touched at random mostly waits for the TLB with pages of
//! 4 KiB.

use std::collections::TryReserveError;

/// `madvise` takes whole pages, and huge pages have 2 MiB on the architectures that we know.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// A vector with room for `count` items, all of it advised to stand in huge pages.
///
/// # Errors
/// Where the memory is not there.
pub(crate) fn reserve<T>(count: usize) -> Result<Vec<T>, TryReserveError> {
    let mut items: Vec<T> = Vec::new();
    items.try_reserve_exact(count)?;
    advise_huge_pages(items.as_ptr() as usize, items.capacity() * size_of::<T>());
    Ok(items)
}

/// Asks for huge pages for those that lie wholly within `bytes` bytes from the address `start`, a mapping of the caller's. A
/// refusal costs speed and nothing else.
#[expect(unsafe_code, reason = "madvise is a kernel interface")]
pub(crate) fn advise_huge_pages(start: usize, bytes: usize) {
    let first = start.next_multiple_of(HUGE_PAGE);
    let end = (start + bytes) / HUGE_PAGE * HUGE_PAGE;
    if end <= first {
        return;
    }
    // SAFETY: MADV_HUGEPAGE changes neither contents nor mapping, whoever's memory it is, only which page size the kernel
    // prefers.
    unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
}
