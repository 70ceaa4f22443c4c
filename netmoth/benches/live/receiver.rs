//! The least that a sensor on AF_XDP can do: receive, and give the buffers back. What the pipeline costs is what it
//! needs beyond this.

use crate::support::netns;
use netmoth::capture::program::{AttachPreference, XdpProgram};
use std::num::NonZeroU32;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use xdpilone::{IfInfo, Socket, SocketConfig, Umem, UmemConfig};

const FRAME: u32 = 2048;
const FRAMES: u32 = 4096;
const RING: u32 = 2048;
const BATCH: u32 = 64;
/// XDP_COPY and XDP_USE_NEED_WAKEUP of linux/if_xdp.h.
const COPY_NEED_WAKEUP: u16 = 1 << 1 | 1 << 3;

/// A huge page: frames stand in such as netmoth's do.
#[derive(Clone, Copy)]
#[repr(C, align(2097152))]
struct Page([u8; 2 << 20]);

const PAGES: usize = (FRAMES * FRAME) as usize / size_of::<Page>();

/// What came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// Frames that the XDP program saw.
    pub(crate) seen: u64,
    /// Frames that this loop took.
    pub(crate) frames: u64,
    /// Time of the rounds that had frames.
    pub(crate) busy: Duration,
}

/// The loop at work.
pub(crate) struct Receiver {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Received>,
}

impl Receiver {
    /// Starts on queue 0 of `tap0`, on that core, and returns when it receives.
    pub(crate) fn start(namespace: String, cpu: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            netns::enter(&namespace);
            assert!(core_affinity::set_for_current(core_affinity::CoreId { id: cpu }), "can't stay on CPU {cpu}");
            receive(&told, || ready.send(()).unwrap())
        });
        is_ready.recv().expect("the receiver starts");
        Self { stop, thread }
    }

    /// Takes what is left in the ring, and says what came in.
    pub(crate) fn stop(self) -> Received {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[expect(unsafe_code, reason = "registers memory with the kernel")]
fn receive(stop: &AtomicBool, ready: impl FnOnce()) -> Received {
    let mut memory: Vec<Page> = Vec::with_capacity(PAGES);
    let start = NonNull::new(memory.as_mut_ptr().cast::<u8>()).unwrap();
    // SAFETY: it says which size of page is preferred, and changes nothing else of memory that is ours.
    unsafe { libc::madvise(start.as_ptr().cast(), size_of::<Page>() * PAGES, libc::MADV_HUGEPAGE) };
    let area = NonNull::slice_from_raw_parts(start, size_of::<Page>() * PAGES);
    let sizes = UmemConfig { frame_size: FRAME, fill_size: 2 * RING, complete_size: 64, headroom: 0, flags: 0 };
    // SAFETY: the area is page-aligned, as long as said, outlives the UMEM (it is dropped after it, being declared
    // before), and nothing in this process refers to it.
    let umem = unsafe { Umem::new(sizes, area) }.unwrap();
    let mut info = IfInfo::invalid();
    info.from_name(c"tap0").unwrap();
    let socket = Socket::with_shared(&info, &umem).unwrap();
    let mut device = umem.fq_cq(&socket).unwrap();
    let rings = SocketConfig { rx_size: NonZeroU32::new(RING), tx_size: None, bind_flags: COPY_NEED_WAKEUP };
    let user = umem.rx_tx(&socket, &rings).unwrap();
    let mut ring = user.map_rx().unwrap();
    let mut fill = device.fill(FRAMES);
    fill.insert((0..FRAMES).map(|frame| u64::from(frame * FRAME)));
    fill.commit();
    drop(fill);
    let begin = Instant::now();
    while let Err(error) = umem.bind(&user) {
        assert!(error.get_raw() == libc::EBUSY && begin.elapsed() < Duration::from_secs(2), "bind: {error:?}");
        std::thread::yield_now();
    }
    let mut program = XdpProgram::load(1, 1, [1, 2]).unwrap();
    program.set_socket(0, &std::os::fd::RawFd::from(ring.as_raw_fd())).unwrap();
    program.set_queue(0, 0, 1).unwrap();
    program.attach("tap0", AttachPreference::Native).unwrap();
    ready();

    let (mut frames, mut busy, mut empty) = (0, Duration::ZERO, 0u32);
    let mut before = Instant::now();
    loop {
        let mut batch = [0; BATCH as usize];
        let mut count = 0;
        let mut reader = ring.receive(BATCH);
        while let Some(descriptor) = reader.read() {
            batch[count] = descriptor.addr & !u64::from(FRAME - 1);
            count += 1;
        }
        reader.release();
        drop(reader);
        let mut fill = device.fill(count as u32);
        fill.insert(batch[..count].iter().copied());
        fill.commit();
        drop(fill);
        let now = Instant::now();
        if count > 0 {
            frames += count as u64;
            busy += now - before;
            empty = 0;
        } else {
            if device.needs_wakeup() {
                device.wake();
            }
            empty += 1;
            if stop.load(Ordering::Relaxed) && empty > 1_000 {
                break;
            }
        }
        before = now;
    }
    program.detach();
    Received { seen: program.fates().unwrap().iter().flatten().sum(), frames, busy }
}
