//! The capture that everybody reads: made from a seed, the same every time.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use netmoth_traffic::{BLANK, Lifetime, Mix, Profile, Sizes, Traffic};

/// What was written.
pub(crate) struct Made {
    pub(crate) packets: u64,
    /// That have a packet.
    pub(crate) connections: u64,
    pub(crate) bytes: u64,
}

/// 65,536 connections at a time, each of 40 packets.
fn profile() -> Profile {
    Profile {
        connections: 65_536,
        lifetime: Lifetime::Packets(40),
        sizes: Sizes::Imix,
        mix: Mix { tcp: 70, udp: 28, icmp: 2 },
        ipv6_percent: 10,
        ..Profile::default()
    }
}

/// Writes `packets` packets as pcap with microseconds, which all readers know.
pub(crate) fn write(path: &Path, packets: u64) -> io::Result<Made> {
    let mut traffic = Traffic::new(&profile()).map_err(io::Error::other)?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for word in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65_535, 1_u32] {
        out.write_all(&word.to_le_bytes())?;
    }
    let (mut frame, mut bytes, mut connections) = (BLANK, 24, HashSet::new());
    for _ in 0..packets {
        let meta = traffic.next_into(&mut frame);
        connections.insert(meta.connection);
        let (seconds, micros) = (meta.at_ns / 1_000_000_000, meta.at_ns % 1_000_000_000 / 1_000);
        for word in [seconds as u32, micros as u32, meta.length as u32, meta.length as u32] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame[..meta.length])?;
        bytes += 16 + meta.length as u64;
    }
    out.into_inner()?.sync_all()?;
    Ok(Made { packets, connections: connections.len() as u64, bytes })
}
