//! The mirror: at the ingress and egress of an interface's traffic control, clones each frame into a private veth pair.
//!
//! It lets every frame go on (TCX_NEXT, which clsact reads as TC_ACT_UNSPEC: the next program decides) and changes none.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{bpf_clone_redirect, bpf_skb_load_bytes};
use aya_ebpf::macros::{classifier, map};
use aya_ebpf::maps::{Array, PerCpuArray, ProgramArray};
use aya_ebpf::programs::TcContext;
use netmoth_shared::mirror::{Count, MirrorSettings, fate, frames};
use netmoth_shared::walk::Bytes;
use netmoth_shared::{STAGE_FILTER, STAGES};

/// TCX_NEXT of linux/bpf.h.
const NEXT: i32 = -1;
/// TC_ACT_SHOT of linux/pkt_cls.h, equal to TCX_DROP.
const SHOT: i32 = 2;

#[map]
static MIRROR_SETTINGS: Array<MirrorSettings> = Array::with_max_entries(1, 0);
#[map]
static MIRROR_COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Count::COUNT as u32, 0);
#[map]
static MIRROR_STAGES: ProgramArray = ProgramArray::with_max_entries(STAGES, 0);

#[classifier]
fn netmoth_ingress(ctx: TcContext) -> i32 {
    enter(&ctx, Count::Ingress)
}

#[classifier]
fn netmoth_egress(ctx: TcContext) -> i32 {
    enter(&ctx, Count::Egress)
}

/// Behind a filter that wants the frame.
#[classifier]
fn netmoth_mirror(ctx: TcContext) -> i32 {
    // An array of one element always has it; the verifier wants the test.
    if let Some(settings) = MIRROR_SETTINGS.get(0) {
        mirror(&ctx, settings, frames_of(&ctx));
    }
    NEXT
}

/// Behind a filter that doesn't.
#[classifier]
fn netmoth_unmirrored(ctx: TcContext) -> i32 {
    count(Count::NotMatched, frames_of(&ctx));
    NEXT
}

/// At the far end of the pair: a clone that no socket took must not reach the host's stack a second time.
#[classifier]
fn netmoth_drop(_ctx: TcContext) -> i32 {
    SHOT
}

#[inline(always)]
fn enter(ctx: &TcContext, way: Count) -> i32 {
    let Some(settings) = MIRROR_SETTINGS.get(0) else { return NEXT };
    let frames = frames_of(ctx);
    count(way, frames);
    if settings.filtered != 0 {
        // SAFETY: nothing here needs to be dropped, so a call that doesn't return leaves nothing behind.
        unsafe { MIRROR_STAGES.tail_call(ctx, STAGE_FILTER) };
        // No filter there, against the settings: what wasn't asked for isn't mirrored.
        count(Count::NotMatched, frames);
        return NEXT;
    }
    mirror(ctx, settings, frames);
    NEXT
}

#[inline(always)]
fn mirror(ctx: &TcContext, settings: &MirrorSettings, frames: u32) {
    // SAFETY: the context is the one that the program was called with; the kernel checks index and flags.
    let returned = unsafe { bpf_clone_redirect(ctx.as_ptr().cast(), settings.ifindex, 0) };
    count(fate(returned, settings.queued != 0), frames);
}

/// How many frames this buffer stands for.
#[inline(always)]
fn frames_of(ctx: &TcContext) -> u32 {
    let skb: *mut __sk_buff = ctx.skb.skb;
    // SAFETY: the context of a classifier is a __sk_buff, whose fields the verifier turns into reads of the kernel's own.
    let (segments, size) = unsafe { ((*skb).gso_segs, (*skb).gso_size) };
    frames(segments, size, ctx.len(), &Copied(ctx))
}

#[inline(always)]
fn count(what: Count, frames: u32) {
    if let Some(counter) = MIRROR_COUNTS.get_ptr_mut(what as u32) {
        // SAFETY: the slot is this CPU's own, and traffic control runs with bottom halves disabled: no other run on this
        // CPU counts between reading and writing.
        let seen = unsafe { counter.read() };
        // SAFETY: as above.
        unsafe { counter.write(seen.wrapping_add(u64::from(frames))) };
    }
}

/// The headers, by way of the helper: as [`Copied`](crate::frame::Copied) for XDP, what lies behind the end reads as 0.
struct Copied<'a>(&'a TcContext);

impl Copied<'_> {
    #[inline(always)]
    fn read<T: Copy + Default>(&self, at: usize) -> Option<T> {
        let mut value = T::default();
        let size = size_of::<T>() as u32;
        // SAFETY: the helper checks offset and length against the frame and writes `size` bytes to a live T, an integer.
        unsafe { bpf_skb_load_bytes(self.0.as_ptr().cast(), at as u32, (&raw mut value).cast(), size) };
        Some(value)
    }
}

impl Bytes for Copied<'_> {
    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        self.read(at).map(u16::from_be)
    }
    #[inline(always)]
    fn u32(&self, at: usize) -> Option<u32> {
        self.read(at).map(u32::from_be)
    }
    #[inline(always)]
    fn u64(&self, at: usize) -> Option<u64> {
        self.read(at).map(u64::from_be)
    }
}
