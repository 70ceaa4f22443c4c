//! Memory for the table's arrays: all of it at the start, in huge pages where the kernel has any.

use super::config::FlowError;

/// A vector with room for `count` items, advised to stand in huge pages: a table of a million flows touches memory
/// at random, and with 4 KiB pages most of that is TLB misses.
pub(super) fn reserve<T>(count: usize, max_flows: u32) -> Result<Vec<T>, FlowError> {
    let mut items = Vec::new();
    let bytes = count.saturating_mul(size_of::<T>());
    items.try_reserve_exact(count).map_err(|_| FlowError::Memory { max_flows, bytes })?;
    advise_huge_pages(&items);
    Ok(items)
}

/// `madvise` takes whole pages, and huge pages have 2 MiB on the architectures that we know.
const HUGE_PAGE: usize = 2 << 20;

#[expect(unsafe_code, reason = "madvise is a kernel interface")]
fn advise_huge_pages<T>(items: &Vec<T>) {
    let start = items.as_ptr() as usize;
    let first = start.next_multiple_of(HUGE_PAGE);
    let end = (start + items.capacity() * size_of::<T>()) / HUGE_PAGE * HUGE_PAGE;
    if end <= first {
        return;
    }
    // SAFETY: the range lies inside one allocation that lives through the call, and MADV_HUGEPAGE changes neither
    // contents nor mapping, only which page size the kernel prefers. A refusal costs speed and nothing else.
    unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
}
