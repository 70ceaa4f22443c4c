//! Per packet, nothing is allocated: frames of all kinds go through an engine whose every allocation is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use netmoth::capture::{CaptureConfig, Live, Source, Strategy};
use netmoth::flow::{FlowConfig, FlowRecord, RecordSink};
use netmoth::metrics::WorkerCounters;
use netmoth::time::Instant;
use netmoth::wire::LinkType;
use netmoth::worker::{Arrival, Engine};

#[path = "support/frames.rs"]
#[expect(dead_code, reason = "the end-to-end tests use the rest of it")]
mod frames;

/// The system's allocator, with a count.
struct Counting;

thread_local! {
    /// Of this thread: tests run beside each other.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

#[expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]
// SAFETY: every call goes on to the system's allocator as it came; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts records: where they go is not the packet path.
struct Count(u64);

impl RecordSink for Count {
    fn emit(&mut self, _: FlowRecord) {
        self.0 += 1;
    }
}

/// Connections over TCP and UDP, what a VXLAN carries, pieces of a datagram, ICMP, and frames that are no IP.
fn traffic() -> Vec<Vec<u8>> {
    let ethernet = frames::Ethernet { to: [2, 0, 0, 0, 0, 2], from: [2, 0, 0, 0, 0, 1], tags: vec![(0x8100, 7)] };
    let address = |last: u8| IpAddr::from([10, 0, 0, last]);
    let mut all = frames::load(500, 0);
    for host in 1..50 {
        let (from, to) = (SocketAddr::new(address(host), 40_000), SocketAddr::new(address(200), 4_789));
        let inner = frames::udp(&ethernet, from, SocketAddr::new(address(201), 53), b"inside");
        all.push(frames::udp(&ethernet, from, to, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &inner].concat()));
        let mut piece = frames::ip(&ethernet, from.ip(), to.ip(), 17, &[0; 64]);
        // Behind the tag: more fragments follow.
        piece[18 + 6] = 0x20;
        all.push(piece);
        all.push(frames::ip(&ethernet, from.ip(), to.ip(), 1, &[8, 0, 0, 0, 0, 1, 0, 1]));
        all.push(vec![0xff; 60]);
    }
    all
}

#[test]
fn a_table_that_has_its_memory_takes_no_more_for_any_packet() {
    let frames = traffic();
    let mut config = FlowConfig::new(300, [1, 2]);
    config.verify_checksums = true;
    config.active_timeout = Duration::from_millis(50);
    let counters = Arc::new(WorkerCounters::default());
    let mut engine = Engine::new(&config, Arc::clone(&counters)).unwrap();
    let mut records = Count(0);
    let mut pass = |from_ms: u64| {
        for (number, batch) in frames.chunks(64).enumerate() {
            let ms = from_ms + number as u64 * 7;
            let at = Instant { wall_ns: 1_700_000_000_000_000_000 + ms as i64 * 1_000_000, mono_ns: ms * 1_000_000 };
            let arrivals = batch.iter().map(|frame| Arrival {
                link: Some(LinkType::Ethernet),
                data: frame,
                wire_len: frame.len() as u32,
                at,
            });
            engine.process(arrivals, &mut records);
            engine.advance(at, &mut records);
        }
    };
    pass(0);
    let before = allocations();
    (1..50).for_each(|round| pass(round * 1_000));
    let taken = allocations() - before;
    let booked = counters.snapshot();
    assert!(booked.tracked > 50_000 && booked.tunnelled > 2_000 && booked.not_tracked_sum() > 2_000, "{booked:?}");
    assert!(records.0 > 10_000, "connections end, are evicted and are told in parts: {}", records.0);
    assert_eq!(taken, 0, "allocations for {} packets", booked.tracked + booked.tunnelled);
}

/// Whether this test may make a namespace. Says so where it can't; in CI that is a failure.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
#[expect(unsafe_code, reason = "unshare is a kernel interface")]
fn own_network() -> bool {
    // SAFETY: the call takes one integer and changes this thread alone.
    let own = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
    if !own {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, and in CI it may not skip");
        eprintln!("skipped: this test needs root (network namespaces)");
    }
    own
}

/// Takes out what comes until there have been `most` frames, or none for a while; counts what that allocates.
fn taken(source: &mut Source, most: u64) -> (u64, u64) {
    let (before, mut received, mut last) = (allocations(), 0, Clock::now());
    while received < most && last.elapsed() < Duration::from_secs(60) {
        match source.poll(|frames| assert!(frames.iter().all(|frame| frame.wire_len > 0))) {
            0 => drop(source.wait(10)),
            count => {
                received += count as u64;
                last = Clock::now();
            }
        }
    }
    (received, allocations() - before)
}

#[test]
fn frames_that_the_kernel_copies_are_taken_out_without_memory_of_our_own() {
    const ROUNDS: u64 = 10;
    // As many at a time as the backlog of the loopback has room for.
    const DATAGRAMS: u64 = 500;
    const BULK: usize = 60_000;
    std::thread::spawn(|| {
        if !own_network() {
            return;
        }
        let up = Command::new("ip").args(["link", "set", "lo", "mtu", "1500", "up"]).status().unwrap();
        assert!(up.success());
        for strategy in [Strategy::AfPacket, Strategy::Pcap] {
            let config = CaptureConfig { strategy, promiscuous: false, ..CaptureConfig::new("lo") };
            let (mut capture, mut sources) = Live::open(&config).unwrap_or_else(|error| panic!("{error}"));
            capture.start().unwrap();
            let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
            client.connect(server.local_addr().unwrap()).unwrap();
            for _ in 0..ROUNDS {
                (0..DATAGRAMS).for_each(|_| assert_eq!(client.send(&[7; 100]).unwrap(), 100));
                assert_eq!(taken(&mut sources[0], DATAGRAMS), (DATAGRAMS, 0), "{strategy:?}");
            }
            // TCP hands over frames of many, of which packet sockets show the segments.
            let most = if strategy == Strategy::AfPacket { 50 * 41 } else { 60 };
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let mut here = listener.accept().unwrap().0;
            let mut bulk = vec![1; BULK];
            for _ in 0..50 {
                there.write_all(&bulk).unwrap();
                here.read_exact(&mut bulk).unwrap();
            }
            let (received, allocated) = taken(&mut sources[0], most);
            assert!(received >= most, "{received}");
            assert_eq!(allocated, 0, "{strategy:?}");
        }
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
