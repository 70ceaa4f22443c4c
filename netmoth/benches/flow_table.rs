//! Nanoseconds per packet in the flow table: `cargo bench -p netmoth --bench flow_table`.
//!
//! Established TCP connections exchange data in random order, in batches as a worker takes them (hash and prefetch
//! all, update all), at 4 K, 64 K and 1 M connections; then the same while a flood of new connections ten times the
//! table's size goes through it.

use std::hint::black_box;
use std::time::{Duration, Instant as Wall};

use netmoth::flow::{FlowConfig, FlowHash, FlowRecord, FlowTable, RecordSink};
use netmoth::time::Instant;
use netmoth::wire::{Fragment, IpVersion, NO_VLAN, Packet, tcp_flags};

const BATCH: usize = 64;

/// Counts records and throws them away.
struct Count(u64);

impl RecordSink for Count {
    fn emit(&mut self, record: FlowRecord) {
        black_box(&record);
        self.0 += 1;
    }
}

fn packet(number: u32, reply: bool, flags: u8, seq: u32, ack: u32, payload: u32) -> Packet {
    let client =
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, (number >> 16) as u8, (number >> 8) as u8, number as u8];
    let server = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 0, 1];
    let (src, dst, ports) = if reply { (server, client, (443, 40_000)) } else { (client, server, (40_000, 443)) };
    Packet {
        src,
        dst,
        src_port: ports.0,
        dst_port: ports.1,
        protocol: 6,
        version: IpVersion::V4,
        vlan: NO_VLAN,
        inner_vlan: NO_VLAN,
        ip_bytes: 40 + payload,
        payload_bytes: payload,
        tcp_seq: seq,
        tcp_ack: ack,
        tcp_window: 1000,
        tcp_flags: flags,
        fragment: Fragment::Whole,
        bad_checksum: false,
    }
}

struct Driver {
    table: FlowTable,
    out: Count,
    now: Instant,
    random: u64,
    /// Next sequence number of both sides of each connection.
    sequence: Vec<[u32; 2]>,
}

impl Driver {
    fn new(max_flows: u32) -> Self {
        let mut config = FlowConfig::new(max_flows, [0x1234_5678, 0x9abc_def0]);
        config.active_timeout = Duration::from_secs(600_000);
        let now = Instant { wall_ns: 1_700_000_000_000_000_000, mono_ns: 1_000_000_000 };
        Self {
            table: FlowTable::new(&config).expect("memory for the table"),
            out: Count(0),
            now,
            random: 1,
            sequence: Vec::new(),
        }
    }

    fn next(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) as u32
    }

    /// One poll: 20 µs pass, `packets` come.
    fn poll(&mut self, packets: &[Packet]) {
        self.now.wall_ns += 20_000;
        self.now.mono_ns += 20_000;
        let mut hashes = [FlowHash::default(); BATCH];
        for (hash, packet) in hashes.iter_mut().zip(packets) {
            *hash = self.table.hash(packet, self.now);
        }
        for hash in &hashes[..packets.len()] {
            self.table.prefetch(hash);
        }
        self.table.advance(self.now, &mut self.out);
        for (hash, packet) in hashes.iter().zip(packets) {
            self.table.update(packet, hash, self.now, &mut self.out);
        }
    }

    fn establish(&mut self, flows: u32) {
        let ack = tcp_flags::ACK;
        self.sequence = vec![[1, 1]; flows as usize];
        for number in 0..flows {
            let syn = packet(number, false, tcp_flags::SYN, 0, 0, 0);
            let answer = packet(number, true, tcp_flags::SYN | ack, 0, 1, 0);
            self.poll(&[syn, answer, packet(number, false, ack, 1, 1, 0)]);
        }
    }

    /// Time of `rounds` batches of data over `flows` connections; every `flood`-th packet starts a new one.
    fn exchange(&mut self, flows: u32, rounds: u32, flood: Option<usize>) -> f64 {
        let (mut spent, mut fresh) = (Duration::ZERO, 1 << 23);
        let mut batch = [Packet::BLANK; BATCH];
        for _ in 0..rounds {
            for (place, slot) in batch.iter_mut().enumerate() {
                let random = self.next();
                let (number, reply) = (random % flows, random >> 31 == 1);
                let [mine, theirs] = {
                    let both = &mut self.sequence[number as usize];
                    let sides = if reply { [both[1], both[0]] } else { *both };
                    both[usize::from(reply)] += 100;
                    sides
                };
                *slot = packet(number, reply, tcp_flags::ACK | tcp_flags::PSH, mine, theirs, 100);
                if flood.is_some_and(|every| place % every == 0) {
                    *slot = packet(fresh, false, tcp_flags::SYN, 0, 0, 0);
                    fresh += 1;
                }
            }
            let begun = Wall::now();
            self.poll(&batch);
            spent += begun.elapsed();
        }
        spent.as_nanos() as f64 / f64::from(rounds) / BATCH as f64
    }
}

#[expect(clippy::print_stdout, reason = "it prints what it measures")]
fn main() {
    let rounds = 50_000;
    for flows in [4_096, 65_536, 1_000_000] {
        let mut driver = Driver::new(flows);
        driver.establish(flows);
        driver.exchange(flows, rounds / 10, None);
        let calm = driver.exchange(flows, rounds, None);
        let bytes = driver.table.memory_bytes() as f64 / f64::from(flows);
        println!("{flows:>8} connections: {calm:6.1} ns/packet, {bytes:.0} bytes/connection, {} records", driver.out.0);
    }
    let mut driver = Driver::new(131_072);
    driver.establish(65_536);
    let calm = driver.exchange(65_536, rounds, None);
    let flooded = driver.exchange(65_536, rounds, Some(2));
    let evicted = driver.table.evicted();
    println!(
        "flood, every second packet a new connection: {calm:.1} ns/packet before, {flooded:.1} during, evicted {evicted:?}"
    );
}
