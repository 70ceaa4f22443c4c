//! Frames are made without allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use netmoth_traffic::{BLANK, Lifetime, Mix, Profile, Sizes, Traffic};

thread_local! {
    /// Of this thread: the test harness allocates in its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator is an unsafe interface")]
// SAFETY: hands every request on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_stream_allocates_nothing_once_it_is_there() {
    let profile = Profile {
        connections: 1_000,
        lifetime: Lifetime::Packets(10),
        sizes: Sizes::Imix,
        mix: Mix { tcp: 2, udp: 1, icmp: 1 },
        ipv6_percent: 50,
        vlan_percent: 50,
        ..Profile::default()
    };
    let (mut traffic, mut frame) = (Traffic::new(&profile).unwrap(), BLANK);
    let before = ALLOCATIONS.get();
    for _ in 0..100_000 {
        traffic.next_into(&mut frame);
    }
    assert_eq!(ALLOCATIONS.get(), before);
}
