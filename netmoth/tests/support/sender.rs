//! Sends frames as fast as one core can: AF_XDP transmit rings in copy mode, on a thread (and, if asked, a core) of
//! its own. A veth delivers what is sent on queue N to its peer's receive queue N.

use super::netns;
use std::num::NonZeroU32;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use xdpilone::xdp::XdpDesc;
use xdpilone::{DeviceQueue, IfInfo, RingTx, Socket, SocketConfig, Umem, UmemConfig, User};

const FRAME: usize = 2048;
const RING: u32 = 2048;
/// What the kernel takes from a ring per system call (`TX_BATCH_SIZE` in net/xdp/xsk.c).
const BATCH: u32 = 32;
/// XDP_COPY of linux/if_xdp.h.
const COPY: u16 = 1 << 1;

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// Where and what to send.
pub(crate) struct Job {
    /// The namespace of the interface (`/run/netns/…`).
    pub(crate) namespace: String,
    /// The interface.
    pub(crate) interface: String,
    /// Frames of each transmit queue in turn, as (queue, frames).
    pub(crate) queues: Vec<(u32, Vec<Vec<u8>>)>,
    /// How often to send the whole of it; `None`: again and again until told to stop.
    pub(crate) rounds: Option<u64>,
    /// The core to stay on.
    pub(crate) cpu: Option<usize>,
    /// Frames a second at most; `None`: as many as go.
    pub(crate) rate: Option<u64>,
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Frames that the kernel took and completed.
    pub(crate) frames: u64,
    /// From the first to the last.
    pub(crate) took: Duration,
}

/// A sender at work. Dropping it stops it.
pub(crate) struct Sender {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Sent>>,
}

impl Sender {
    /// Starts to send.
    pub(crate) fn start(job: Job) -> Self {
        Self::start_with(job, None)
    }

    /// The same. With `stamp`, each frame holds the nanoseconds of CLOCK_MONOTONIC at this place (in the machine's byte
    /// order), read once for each system call that sends, right before it; between two of them it spins, and so keeps
    /// the rate to the microsecond. Each queue then needs more frames than its ring has places.
    pub(crate) fn start_with(job: Job, stamp: Option<usize>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("sender".into()).spawn(move || send(job, stamp, &told)).unwrap();
        Self { stop, thread: Some(thread) }
    }

    /// Waits until every round is sent.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Sent {
        self.thread.take().unwrap().join().unwrap()
    }

    /// Stops, and says what was sent.
    #[track_caller]
    pub(crate) fn stop(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        self.wait()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn send(job: Job, stamp: Option<usize>, stop: &AtomicBool) -> Sent {
    netns::enter(&job.namespace);
    if let Some(id) = job.cpu {
        assert!(core_affinity::set_for_current(core_affinity::CoreId { id }), "can't stay on CPU {id}");
    }
    let rounds = job.rounds.unwrap_or(u64::MAX);
    let mut queues: Vec<_> =
        job.queues.iter().map(|(queue, frames)| Queue::open(&job.interface, *queue, frames, rounds)).collect();
    for queue in &mut queues {
        assert!(stamp.is_none_or(|_| queue.descriptors.len() > RING as usize), "a frame under way would be stamped");
        queue.stamp = stamp;
    }
    let begin = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let due = job.rate.map_or(u64::MAX, |rate| (begin.elapsed().as_secs_f64() * rate as f64) as u64);
        if queues.iter().map(|queue| queue.next).sum::<u64>() >= due {
            step(&mut queues, false);
            if stamp.is_none() {
                std::thread::sleep(Duration::from_micros(50));
            }
        } else if !step(&mut queues, true) {
            break;
        }
    }
    // What is in the rings belongs to the kernel until it has completed.
    let deadline = Instant::now() + Duration::from_secs(5);
    while step(&mut queues, false) {
        assert!(Instant::now() < deadline, "the kernel does not complete what was sent on {}", job.interface);
    }
    Sent { frames: queues.iter().map(|queue| queue.completed).sum(), took: begin.elapsed() }
}

/// Gives every queue its turn. False when all are done.
fn step(queues: &mut [Queue], more: bool) -> bool {
    let mut busy = false;
    for queue in queues {
        busy |= queue.step(more);
    }
    busy
}

/// One socket with its frames; the fields stand in the order in which they may be dropped.
struct Queue {
    transmit: RingTx,
    device: DeviceQueue,
    _user: User,
    _umem: Umem,
    memory: Vec<Page>,
    /// Where the time goes in each frame.
    stamp: Option<usize>,
    descriptors: Vec<XdpDesc>,
    next: u64,
    end: u64,
    in_flight: u32,
    completed: u64,
}

impl Queue {
    #[expect(unsafe_code, reason = "registers memory with the kernel")]
    fn open(interface: &str, queue: u32, frames: &[Vec<u8>], rounds: u64) -> Self {
        // Short frames share a frame of the UMEM, so that millions of them fit: what is sent may begin anywhere in one.
        let slot = frames.iter().map(Vec::len).max().unwrap_or(FRAME).next_power_of_two().max(64);
        assert!(slot <= FRAME, "frames of more than {FRAME} bytes can't be sent");
        let mut memory = vec![Page([0; 4096]); frames.len().div_ceil(4096 / slot)];
        for (index, frame) in frames.iter().enumerate() {
            let at = index % (4096 / slot) * slot;
            memory[index / (4096 / slot)].0[at..at + frame.len()].copy_from_slice(frame);
        }
        let area = NonNull::slice_from_raw_parts(
            NonNull::new(memory.as_mut_ptr().cast::<u8>()).unwrap(),
            memory.len() * size_of::<Page>(),
        );
        let sizes =
            UmemConfig { frame_size: FRAME as u32, fill_size: RING, complete_size: RING, headroom: 0, flags: 0 };
        // SAFETY: the area is page-aligned, as long as said, and kept in this struct until after the UMEM is dropped; the
        // kernel only reads it, and this process writes to no frame that is under way.
        let umem = unsafe { Umem::new(sizes, area) }.unwrap();
        let mut info = IfInfo::invalid();
        info.from_name(&std::ffi::CString::new(interface).unwrap()).unwrap();
        info.set_queue(queue);
        let socket = Socket::with_shared(&info, &umem).unwrap();
        let device = umem.fq_cq(&socket).unwrap();
        let rings = SocketConfig { rx_size: None, tx_size: NonZeroU32::new(RING), bind_flags: COPY };
        let user = umem.rx_tx(&socket, &rings).unwrap();
        let transmit = user.map_tx().unwrap();
        // The queue of a socket that has just been closed stays busy for a moment.
        let begin = Instant::now();
        while let Err(error) = umem.bind(&user) {
            assert!(
                error.get_raw() == libc::EBUSY && begin.elapsed() < Duration::from_secs(2),
                "can't send on {interface} queue {queue}: {error:?}"
            );
            std::thread::yield_now();
        }
        let descriptors = frames
            .iter()
            .enumerate()
            .map(|(index, frame)| XdpDesc { addr: (index * slot) as u64, len: frame.len() as u32, options: 0 })
            .collect::<Vec<_>>();
        let end = rounds.saturating_mul(descriptors.len() as u64);
        Self {
            transmit,
            device,
            _user: user,
            _umem: umem,
            memory,
            stamp: None,
            descriptors,
            next: 0,
            end,
            in_flight: 0,
            completed: 0,
        }
    }

    /// Puts a batch into the ring (if `more` is wanted), has the kernel send, takes completions. False when done.
    fn step(&mut self, more: bool) -> bool {
        if more {
            let room = u64::from(BATCH.min(RING - self.in_flight)).min(self.end - self.next) as u32;
            self.stamp(room);
            let (frames, next) = (&self.descriptors, self.next);
            let mut writer = self.transmit.transmit(room);
            let all = frames.len() as u64;
            let put = writer.insert((next..next + u64::from(room)).map(|at| frames[(at % all) as usize]));
            writer.commit();
            drop(writer);
            self.next += u64::from(put);
            self.in_flight += put;
        }
        if self.in_flight > 0 {
            self.transmit.wake();
        }
        let mut reader = self.device.complete(self.in_flight);
        let mut done = 0;
        while reader.read().is_some() {
            done += 1;
        }
        reader.release();
        drop(reader);
        self.in_flight -= done;
        self.completed += u64::from(done);
        self.in_flight > 0 || (more && self.next < self.end)
    }

    /// Writes the time into the next `count` frames.
    #[expect(unsafe_code, reason = "the clock is a kernel interface")]
    fn stamp(&mut self, count: u32) {
        let Some(place) = self.stamp else { return };
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a live, writable timespec.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        let now = (time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64).to_ne_bytes();
        for next in self.next..self.next + u64::from(count) {
            // Not under way: there are more frames than places in the ring.
            let at = self.descriptors[(next % self.descriptors.len() as u64) as usize].addr as usize + place;
            self.memory[at / 4096].0[at % 4096..at % 4096 + now.len()].copy_from_slice(&now);
        }
    }
}
