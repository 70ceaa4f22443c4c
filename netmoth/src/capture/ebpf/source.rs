//! What one worker polls: its sockets' receive rings, and the way back for their frames.

use std::os::fd::RawFd;
use std::sync::Arc;

use xdpilone::RingRx;

use super::handback::Giver;
use super::queue::FillSide;
use super::umem::{FrameToken, UmemArea};
use crate::capture::poll::PollSet;
use crate::capture::{BATCH, Frame};

/// An owner of a shared queue sleeps no longer than this: the others' frames come back through it, and 1 ms of two
/// million frames a second is half a receive ring.
const SHARED_SLEEP_MS: u32 = 1;

/// Where the frames of a socket go when they were read.
pub(super) enum WayBack {
    /// Into the fill ring of the queue, which this worker owns.
    Fill(Box<FillSide>),
    /// To the owner of the queue.
    Owner(Giver),
}

/// The receive side of one socket.
pub(super) struct Receiver {
    ring: RingRx,
    area: Arc<UmemArea>,
    back: WayBack,
    /// Tokens of the batch in hand; never longer than [`BATCH`].
    tokens: Vec<FrameToken>,
}

impl Receiver {
    pub(super) fn new(ring: RingRx, area: Arc<UmemArea>, back: WayBack) -> Self {
        Self { ring, area, back, tokens: Vec::with_capacity(BATCH) }
    }

    /// Receives up to [`BATCH`] frames, shows them to `handle`, and gives them back.
    #[inline]
    fn receive(&mut self, snapshot: usize, handle: impl FnOnce(&[Frame<'_>])) -> usize {
        let mut frames = [Frame { data: &[], wire_len: 0, wall_ns: 0 }; BATCH];
        let mut received = 0;
        {
            let mut read = self.ring.receive(BATCH as u32);
            while let Some(descriptor) = read.read() {
                // A descriptor outside the area would be the kernel's defect: the frame counts, without bytes.
                frames[received].wire_len = descriptor.len;
                if let Some((data, token)) = self.area.frame(descriptor.addr, descriptor.len) {
                    frames[received].data = &data[..data.len().min(snapshot)];
                    self.tokens.push(token);
                }
                received += 1;
            }
            // The descriptors are read; the frames stay ours until their tokens go back.
            read.release();
        }
        if received == 0 {
            return 0;
        }
        handle(&frames[..received]);
        match &mut self.back {
            WayBack::Fill(fill) => {
                self.tokens.drain(..).for_each(|token| fill.give(token));
                fill.refill();
            }
            WayBack::Owner(giver) => {
                self.tokens.drain(..).for_each(|token| giver.give(token));
                giver.publish();
            }
        }
        received
    }

    /// Brings back what others gave, though nothing arrived here.
    fn idle(&mut self) {
        if let WayBack::Fill(fill) = &mut self.back
            && fill.shared()
        {
            fill.refill();
        }
    }

    fn owns_shared_queue(&self) -> bool {
        matches!(&self.back, WayBack::Fill(fill) if fill.shared())
    }
}

/// All sockets of one worker.
pub struct XskSource {
    receivers: Vec<Receiver>,
    next: usize,
    snapshot: usize,
    descriptors: Vec<RawFd>,
    sleepers: PollSet,
    longest_sleep_ms: u32,
    busy_poll: bool,
}

impl XskSource {
    pub(super) fn new(receivers: Vec<Receiver>, snapshot: u32, busy_poll: bool) -> Self {
        let descriptors: Vec<RawFd> = receivers.iter().map(|receiver| receiver.ring.as_raw_fd()).collect();
        let shared = receivers.iter().any(Receiver::owns_shared_queue);
        Self {
            sleepers: PollSet::new(descriptors.iter().copied()),
            receivers,
            next: 0,
            snapshot: snapshot as usize,
            descriptors,
            longest_sleep_ms: if shared { SHARED_SLEEP_MS } else { u32::MAX },
            busy_poll,
        }
    }

    /// Receives up to [`BATCH`] frames of the next socket that has any, shows them to `handle`, and gives their memory
    /// back to the kernel. Returns how many; 0 where all rings are empty.
    #[inline]
    pub fn poll(&mut self, handle: impl FnOnce(&[Frame<'_>])) -> usize {
        let mut handle = Some(handle);
        let count = self.receivers.len();
        for _ in 0..count {
            let receiver = &mut self.receivers[self.next];
            self.next = if self.next + 1 == count { 0 } else { self.next + 1 };
            let received = receiver.receive(self.snapshot, |frames| {
                if let Some(handle) = handle.take() {
                    handle(frames);
                }
            });
            if received > 0 {
                return received;
            }
        }
        self.receivers.iter_mut().for_each(Receiver::idle);
        if self.busy_poll {
            self.drive();
        }
        0
    }

    /// Sleeps until a frame arrives, for at most `timeout_ms`. Returns whether one has.
    pub fn wait(&mut self, timeout_ms: u32) -> bool {
        self.sleepers.wait(timeout_ms.min(self.longest_sleep_ms))
    }

    /// With busy polling the application runs the driver: an empty read does it (af_xdp.rst, "SO_PREFER_BUSY_POLL").
    #[expect(unsafe_code, reason = "recvfrom is a kernel interface")]
    fn drive(&self) {
        for fd in &self.descriptors {
            // SAFETY: no buffer is passed; the descriptor belongs to a ring of ours, which keeps it open.
            unsafe {
                libc::recvfrom(
                    *fd,
                    std::ptr::null_mut(),
                    0,
                    libc::MSG_DONTWAIT,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                )
            };
        }
    }
}
