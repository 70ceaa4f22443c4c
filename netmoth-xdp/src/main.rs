//! The XDP program: says of each frame whether it goes to an AF_XDP socket or on to the host, and counts it.
//!
//! It fails open: a queue that isn't captured, or a socket that isn't there, means XDP_PASS. Which socket of several is
//! `netmoth_shared::choose`; where a queue has one socket, no header is read.

#![no_std]
#![no_main]

mod frame;
mod mirror;

use aya_ebpf::bindings::xdp_action::{XDP_PASS, XDP_REDIRECT};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, LruHashMap, PerCpuArray, ProgramArray, XskMap};
use aya_ebpf::programs::XdpContext;
use netmoth_shared::choose::{Memory, choose};
use netmoth_shared::fate::{Fate, slot};
use netmoth_shared::fragment::{Datagram, Piece, REMEMBERED};
use netmoth_shared::hash::HashKey;
use netmoth_shared::plain;
use netmoth_shared::{QueueSockets, STAGE_FILTER, STAGES as STAGE_COUNT, Settings};

// The loader sets the sizes of the first three.
#[map]
static SOCKETS: XskMap = XskMap::with_max_entries(1, 0);
#[map]
static QUEUES: Array<QueueSockets> = Array::with_max_entries(1, 0);
#[map]
static FATES: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);
#[map]
static FRAGMENTS: LruHashMap<Datagram, Piece> = LruHashMap::with_max_entries(REMEMBERED, 0);
#[map]
static STAGES: ProgramArray = ProgramArray::with_max_entries(STAGE_COUNT, 0);

// Without frags: a frame of several buffers can't be told whole to a socket in copy mode, so the kernel refuses the
// program where such frames can come, and the loader says why (see README.md).
#[xdp]
fn netmoth(ctx: XdpContext) -> u32 {
    filter(&ctx, || matched(&ctx))
}

/// The same for a sensor without CAP_PERFMON: the loader takes it where the verifier refuses the first.
#[xdp]
fn netmoth_copied(ctx: XdpContext) -> u32 {
    filter(&ctx, || matched_copied(&ctx))
}

/// Behind a filter that wants the frame.
#[xdp]
fn netmoth_matched(ctx: XdpContext) -> u32 {
    matched(&ctx)
}

/// The same without CAP_PERFMON.
#[xdp]
fn netmoth_matched_copied(ctx: XdpContext) -> u32 {
    matched_copied(&ctx)
}

/// For kernels before 5.18: in place, in variables that are set from the start.
#[xdp]
fn netmoth_plain(ctx: XdpContext) -> u32 {
    filter(&ctx, || matched_plain(&ctx))
}

/// Behind a filter, the same.
#[xdp]
fn netmoth_matched_plain(ctx: XdpContext) -> u32 {
    matched_plain(&ctx)
}

/// Behind a filter that doesn't.
#[xdp]
fn netmoth_unmatched(ctx: XdpContext) -> u32 {
    if let Some(settings) = SETTINGS.get(0) {
        count(slot(ctx.rx_queue_index(), settings.queues, Fate::NotMatched));
    }
    XDP_PASS
}

/// Goes on to the filter, where there is one, and to `matched` where there is none.
#[inline(always)]
fn filter(ctx: &XdpContext, matched: impl FnOnce() -> u32) -> u32 {
    // An array of one element always has it; the verifier wants the test.
    let Some(settings) = SETTINGS.get(0) else { return XDP_PASS };
    if settings.filtered == 0 {
        return matched();
    }
    // SAFETY: nothing here needs to be dropped, so a call that doesn't return leaves nothing behind.
    unsafe { STAGES.tail_call(ctx, STAGE_FILTER) };
    // No filter there, against the settings: what wasn't asked for isn't taken.
    count(slot(ctx.rx_queue_index(), settings.queues, Fate::NotMatched));
    XDP_PASS
}

#[inline(always)]
fn matched(ctx: &XdpContext) -> u32 {
    let frame = frame::Frame::of(ctx);
    run(ctx, |key, sockets| choose(&frame, key, sockets, &Kernel))
}

#[inline(always)]
fn matched_copied(ctx: &XdpContext) -> u32 {
    run(ctx, |key, sockets| plain::choose(&frame::Copied(ctx), key, sockets, &Kernel))
}

#[inline(always)]
fn matched_plain(ctx: &XdpContext) -> u32 {
    let frame = frame::Frame::of(ctx);
    run(ctx, |key, sockets| plain::choose(&frame, key, sockets, &Kernel))
}

#[inline(always)]
fn run(ctx: &XdpContext, choose: impl FnOnce(&HashKey, u32) -> u32) -> u32 {
    let Some(settings) = SETTINGS.get(0) else { return XDP_PASS };
    let queue = ctx.rx_queue_index();
    let (fate, action) = decide(queue, settings, choose);
    count(slot(queue, settings.queues, fate));
    action
}

#[inline(always)]
fn decide(queue: u32, settings: &Settings, choose: impl FnOnce(&HashKey, u32) -> u32) -> (Fate, u32) {
    let Some(&QueueSockets { first_socket, sockets }) = QUEUES.get(queue) else {
        return (Fate::QueueNotCaptured, XDP_PASS);
    };
    let socket = match sockets {
        0 => return (Fate::QueueNotCaptured, XDP_PASS),
        1 => first_socket,
        _ => first_socket.wrapping_add(choose(&settings.key, sockets)),
    };
    // The flags are what the helper returns where the map has no socket at the index.
    match SOCKETS.redirect(socket, u64::from(XDP_PASS)) {
        Ok(_) => (Fate::Redirected, XDP_REDIRECT),
        Err(_) => (Fate::NoSocket, XDP_PASS),
    }
}

#[inline(always)]
fn count(slot: u32) {
    if let Some(counter) = FATES.get_ptr_mut(slot) {
        // SAFETY: the slot is this CPU's own, and a program that runs isn't preempted by another run on its CPU that
        // counts on the same queue: the value is read and written by one.
        let seen = unsafe { counter.read() };
        // SAFETY: as above.
        unsafe { counter.write(seen.wrapping_add(1)) };
    }
}

/// Datagrams in pieces, remembered in a map of the kernel.
struct Kernel;

impl Memory for Kernel {
    #[inline(always)]
    fn recall(&self, datagram: &Datagram) -> Option<Piece> {
        // SAFETY: an element that is reused meanwhile may be read half old and half new. All its values are integers,
        // and `settle` takes none of them on trust.
        unsafe { FRAGMENTS.get(datagram) }.copied()
    }

    #[inline(always)]
    fn remember(&self, datagram: &Datagram, piece: &Piece) {
        // A full map forgets its oldest entry. Where even that fails the pieces part, and nothing is lost by it.
        let _ = FRAGMENTS.insert(datagram, piece, 0);
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: the helper takes no arguments and has no effect.
        unsafe { bpf_ktime_get_ns() }
    }
}

/// Nothing here panics; the linker drops this.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 11] = *b"Apache-2.0\0";
