//! Traffic for the flow table, made packet by packet, and the clock that goes with it.

use std::hint::black_box;
use std::time::{Duration, Instant as Wall};

use netmoth::flow::{FlowConfig, FlowHash, FlowRecord, FlowTable, RecordSink};
use netmoth::time::Instant;
use netmoth::wire::{Packet, tcp_flags};

/// The secret of tables whose attacker does not know it.
pub(crate) const SECRET: [u64; 2] = [0x1234_5678, 0x9abc_def0];

pub(crate) const BATCH: usize = 64;

/// Counts records and throws them away.
pub(crate) struct Count(pub(crate) u64);

impl RecordSink for Count {
    fn emit(&mut self, record: FlowRecord) {
        black_box(&record);
        self.0 += 1;
    }
}

pub(crate) fn packet(number: u32, reply: bool, flags: u8, seq: u32, ack: u32, payload: u32) -> Packet {
    let client =
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, (number >> 16) as u8, (number >> 8) as u8, number as u8];
    let server = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 0, 1];
    let (src, dst, ports) = if reply { (server, client, (443, 40_000)) } else { (client, server, (40_000, 443)) };
    let mut packet = Packet::BLANK;
    (packet.src, packet.dst, packet.src_port, packet.dst_port) = (src, dst, ports.0, ports.1);
    (packet.protocol, packet.ip_bytes, packet.payload_bytes) = (6, 40 + payload, payload);
    (packet.tcp_seq, packet.tcp_ack, packet.tcp_window, packet.tcp_flags) = (seq, ack, 1000, flags);
    packet
}

pub(crate) struct Driver {
    pub(crate) table: FlowTable,
    pub(crate) out: Count,
    now: Instant,
    random: u64,
    /// The next client of a flood.
    fresh: u32,
    /// Next sequence number of both sides of each connection.
    sequence: Vec<[u32; 2]>,
}

impl Driver {
    pub(crate) fn new(max_flows: u32, hash_key: [u64; 2]) -> Self {
        let mut config = FlowConfig::new(max_flows, hash_key);
        config.active_timeout = Duration::from_secs(600_000);
        let now = Instant { wall_ns: 1_700_000_000_000_000_000, mono_ns: 1_000_000_000 };
        Self {
            table: FlowTable::new(&config).expect("memory for the table"),
            out: Count(0),
            now,
            random: 1,
            fresh: 1 << 23,
            sequence: Vec::new(),
        }
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) as u32
    }

    /// One poll: 20 µs pass, `packets` come.
    pub(crate) fn poll(&mut self, packets: &[Packet]) {
        self.now.wall_ns += 20_000;
        self.now.mono_ns += 20_000;
        let mut hashes = [FlowHash::default(); BATCH];
        for (hash, packet) in hashes.iter_mut().zip(packets) {
            *hash = self.table.hash(packet, self.now);
        }
        self.table.prefetch(&mut hashes[..packets.len()]);
        self.table.advance(self.now, &mut self.out);
        for (hash, packet) in hashes.iter().zip(packets) {
            self.table.update(packet, hash, self.now, &mut self.out);
        }
    }

    pub(crate) fn establish(&mut self, flows: u32) {
        let ack = tcp_flags::ACK;
        self.sequence = vec![[1, 1]; flows as usize];
        for number in 0..flows {
            let syn = packet(number, false, tcp_flags::SYN, 0, 0, 0);
            let answer = packet(number, true, tcp_flags::SYN | ack, 0, 1, 0);
            self.poll(&[syn, answer, packet(number, false, ack, 1, 1, 0)]);
        }
    }

    /// What the table makes of a packet's key.
    pub(crate) fn hash_of(&mut self, packet: &Packet) -> u32 {
        self.table.hash(packet, self.now).value()
    }

    /// Address of the client of a connection.
    pub(crate) fn client(&self, number: u32) -> std::net::IpAddr {
        [10, (number >> 16) as u8, (number >> 8) as u8, number as u8].into()
    }

    /// Packets of a connection so far: three of its handshake, and one for every hundred bytes.
    pub(crate) fn sent(&self, number: u32) -> u64 {
        let [client, server] = self.sequence[number as usize];
        3 + u64::from((client - 1) / 100 + (server - 1) / 100)
    }

    /// Time of `rounds` batches of data over `flows` connections; every `flood`-th packet starts a new one.
    pub(crate) fn exchange(&mut self, flows: u32, rounds: u32, flood: Option<usize>) -> f64 {
        let mut spent = Duration::ZERO;
        let mut batch = [Packet::BLANK; BATCH];
        for _ in 0..rounds {
            for (place, slot) in batch.iter_mut().enumerate() {
                if flood.is_some_and(|every| place % every == 0) {
                    *slot = packet(self.fresh, false, tcp_flags::SYN, 0, 0, 0);
                    self.fresh += 1;
                    continue;
                }
                let random = self.next();
                let (number, reply) = (random % flows, random >> 31 == 1);
                let both = &mut self.sequence[number as usize];
                let [mine, theirs] = if reply { [both[1], both[0]] } else { *both };
                both[usize::from(reply)] += 100;
                *slot = packet(number, reply, tcp_flags::ACK | tcp_flags::PSH, mine, theirs, 100);
            }
            let begun = Wall::now();
            self.poll(&batch);
            spent += begun.elapsed();
        }
        spent.as_nanos() as f64 / f64::from(rounds) / BATCH as f64
    }
}
