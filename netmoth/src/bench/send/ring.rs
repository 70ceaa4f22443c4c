//! One AF_XDP socket that only sends: its frame memory, its transmit ring, its completion ring.
//!
//! Source: Documentation/networking/af_xdp.rst; net/xdp/xsk.c for what a system call takes.

use std::io;
use std::num::NonZeroU32;
use std::ptr::NonNull;
use std::thread;
use std::time::{Duration, Instant};

use netmoth_traffic::{Frame, Traffic};
use xdpilone::xdp::XdpDesc;
use xdpilone::{DeviceQueue, Errno, IfInfo, RingTx, Socket, SocketConfig, Umem, UmemConfig, User};

use crate::capture::{CaptureError, Interface};
use crate::time::Instant as Clock;

/// Frames of the memory, and entries of each ring: a frame that is free always finds room in the ring.
const FRAMES: u32 = 2048;

/// What the kernel takes from a ring per system call (`TX_BATCH_SIZE`, net/xdp/xsk.c).
const BATCH: u32 = 32;

/// The kernel frees the queue of a socket that was just closed after an RCU grace period.
const BUSY: Duration = Duration::from_secs(2);

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([Frame; 2]);

/// The memory of the frames; only reached through its pointer, as the kernel reads it, too.
struct Memory {
    base: NonNull<Page>,
    pages: usize,
}

impl Memory {
    fn new() -> Self {
        let pages = FRAMES as usize / 2;
        let memory: Box<[Page]> = vec![Page([[0; 2048]; 2]); pages].into_boxed_slice();
        Self { base: NonNull::from(Box::leak(memory)).cast(), pages }
    }

    fn area(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.base.cast(), self.pages * size_of::<Page>())
    }

    /// The frame at `offset`. None where that is no frame's beginning.
    #[expect(unsafe_code, reason = "frames lie in memory shared with the kernel")]
    fn frame(&mut self, offset: u64) -> Option<&mut Frame> {
        let index = usize::try_from(offset).ok()? / size_of::<Frame>();
        if index >= self.pages * 2 || index * size_of::<Frame>() != offset as usize {
            return None;
        }
        // SAFETY: index is below the number of frames in the allocation, so the pointer stays inside of it.
        let mut frame = unsafe { self.base.cast::<Frame>().add(index) };
        // SAFETY: the memory lives as long as `self` and is initialised; the callers hold the frame's offset, which is
        // either with them or in the kernel's rings: the kernel does not read it now, and never writes.
        Some(unsafe { frame.as_mut() })
    }
}

impl Drop for Memory {
    #[expect(unsafe_code, reason = "the memory was taken out of its box to be shared with the kernel")]
    fn drop(&mut self) {
        let memory = NonNull::slice_from_raw_parts(self.base, self.pages);
        // SAFETY: exactly what `new` leaked; no reference to it outlives a call of `frame`, and the kernel holds the pages
        // themselves while a socket lives.
        drop(unsafe { Box::from_raw(memory.as_ptr()) });
    }
}

/// A socket that sends. The fields stand in the order in which they may be dropped.
pub(super) struct TransmitRing {
    transmit: RingTx,
    device: DeviceQueue,
    _user: User,
    _umem: Umem,
    memory: Memory,
    /// Offsets of the frames that are ours.
    free: Vec<u64>,
    /// Where in each frame the time goes, if anywhere.
    stamp: Option<usize>,
    sent: u64,
    bytes: u64,
    completed: u64,
}

impl TransmitRing {
    /// Opens a socket on a queue of an interface, in copy mode. With `stamp`, each frame holds at this place when it was made:
    /// nanoseconds of CLOCK_MONOTONIC, eight bytes in the machine's order.
    pub(super) fn open(interface: &Interface, queue: u32, stamp: Option<usize>) -> Result<Self, CaptureError> {
        let fail = |errno: Errno| failed(interface, queue, errno.get_raw());
        let memory = Memory::new();
        let umem = register(&memory).map_err(fail)?;
        let mut info = IfInfo::invalid();
        info.from_ifindex(interface.index).map_err(fail)?;
        info.set_queue(queue);
        let socket = Socket::with_shared(&info, &umem).map_err(fail)?;
        let device = umem.fq_cq(&socket).map_err(fail)?;
        let rings =
            SocketConfig { rx_size: None, tx_size: NonZeroU32::new(FRAMES), bind_flags: SocketConfig::XDP_BIND_COPY };
        let user = umem.rx_tx(&socket, &rings).map_err(fail)?;
        let transmit = user.map_tx().map_err(fail)?;
        let begun = Instant::now();
        while let Err(errno) = umem.bind(&user) {
            if errno.get_raw() != libc::EBUSY || begun.elapsed() > BUSY {
                return Err(fail(errno));
            }
            thread::sleep(Duration::from_millis(10));
        }
        let free = (0..u64::from(FRAMES)).map(|frame| frame * size_of::<Frame>() as u64).collect();
        Ok(Self { transmit, device, _user: user, _umem: umem, memory, free, stamp, sent: 0, bytes: 0, completed: 0 })
    }

    /// Puts a batch of at most `more` frames into the ring, has the kernel send, and takes back what it has sent.
    pub(super) fn step(&mut self, traffic: &mut Traffic, more: u64) {
        let room = more.min(BATCH.into()).min(self.free.len() as u64) as u32;
        // Once for each system call.
        let stamp = self.stamp.map(|place| (place, Clock::now().mono_ns.to_ne_bytes()));
        let mut writer = self.transmit.transmit(room);
        for _ in 0..writer.capacity() {
            let Some(offset) = self.free.pop() else { break };
            let Some(frame) = self.memory.frame(offset) else { break };
            let meta = traffic.next_into(frame);
            if let Some((place, time)) = stamp
                && let Some(at) = frame.get_mut(place..place + time.len())
            {
                at.copy_from_slice(&time);
            }
            writer.insert_once(XdpDesc { addr: offset, len: meta.length as u32, options: 0 });
            self.bytes += meta.length as u64;
            self.sent += 1;
        }
        writer.commit();
        drop(writer);
        if self.waiting() > 0 {
            self.transmit.wake();
            self.reclaim();
        }
    }

    fn reclaim(&mut self) {
        let mut reader = self.device.complete(FRAMES);
        while let Some(offset) = reader.read() {
            self.free.push(offset);
            self.completed += 1;
        }
        reader.release();
    }

    /// Frames that were given to the kernel.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether frames hold the time.
    pub(super) fn stamps(&self) -> bool {
        self.stamp.is_some()
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Frames that the kernel has sent.
    pub(super) fn completed(&self) -> u64 {
        self.completed
    }

    /// Frames that it has still to send.
    pub(super) fn waiting(&self) -> u32 {
        (self.sent - self.completed) as u32
    }
}

fn failed(interface: &Interface, queue: u32, errno: i32) -> CaptureError {
    let name = interface.name.clone();
    match errno {
        libc::EPERM | libc::EACCES => CaptureError::NotPermitted,
        libc::EBUSY => CaptureError::QueueBusy { name, queue },
        _ => {
            let cause = io::Error::from_raw_os_error(errno).into();
            CaptureError::Bind { name, driver: interface.driver.clone(), queue, cause }
        }
    }
}

#[expect(unsafe_code, reason = "registers memory with the kernel")]
fn register(memory: &Memory) -> Result<Umem, Errno> {
    let sizes = UmemConfig {
        fill_size: FRAMES,
        complete_size: FRAMES,
        frame_size: size_of::<Frame>() as u32,
        headroom: 0,
        flags: 0,
    };
    // SAFETY: the area is page-aligned and as long as said, and outlives the UMEM: both stand in one struct, the UMEM first.
    // All that reaches into it goes through `Memory::frame`.
    unsafe { Umem::new(sizes, memory.area()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_beginnings_of_frames_are_frames() {
        let mut memory = Memory::new();
        for offset in [0, 2048, 2047 * 2048] {
            memory.frame(offset).expect("a frame").fill(0xaa);
        }
        for offset in [1, 2047, 2048 * 2048, u64::MAX] {
            assert!(memory.frame(offset).is_none(), "{offset}");
        }
    }
}
