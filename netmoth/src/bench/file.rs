//! `netmoth bench file`: the traffic into a capture file (the classic pcap format with nanoseconds).

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

use netmoth_traffic::{BLANK, Frame, Meta, Profile, Traffic};

use super::{BenchError, Column, Report};
use crate::progress::Progress;

/// Magic number of pcap with nanoseconds, linktype Ethernet (draft-ietf-opsawg-pcap).
const MAGIC: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;
/// What a file header says where nothing is cut: libpcap's own bound.
const WHOLE: u32 = 262_144;

/// What is written.
#[derive(Clone, Debug)]
pub struct FileConfig {
    /// The file.
    pub path: PathBuf,
    /// Whether one that exists may be written over.
    pub overwrite: bool,
    /// The traffic.
    pub profile: Profile,
    /// Packets.
    pub packets: u64,
    /// Bytes that are kept of each.
    pub snap: Option<u32>,
}

/// Writes the file.
///
/// # Errors
/// A profile that can't be, a file that exists or can't be written.
pub fn run(config: &FileConfig) -> Result<Report, BenchError> {
    if config.snap == Some(0) {
        return Err(BenchError::TooFew { what: "--snap", least: 1, given: 0 });
    }
    let mut traffic = Traffic::new(&config.profile)?;
    let begun = Instant::now();
    let mut out = BufWriter::with_capacity(1 << 20, create(config)?);
    let written = write(config, &mut traffic, &mut out).map_err(|cause| failed(config, cause))?;
    let columns = [
        Column::text("file"),
        Column::number("packets", "", 0),
        Column::number("size", "bytes", 0),
        Column::number("connections", "", 0),
        Column::number("span", "s", 3),
        Column::number("took", "s", 2),
    ];
    let mut report = Report::new("Capture file written", columns);
    report.row([
        config.path.display().to_string().into(),
        config.packets.into(),
        written.bytes.into(),
        traffic.connections().into(),
        (written.last_ns.saturating_sub(config.profile.start_ns) as f64 / 1e9).into(),
        begun.elapsed().as_secs_f64().into(),
    ]);
    Ok(report)
}

fn create(config: &FileConfig) -> Result<File, BenchError> {
    let mut options = OpenOptions::new();
    options.write(true);
    if config.overwrite {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(&config.path).map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => BenchError::Exists { file: config.path.display().to_string() },
        _ => failed(config, cause),
    })
}

fn failed(config: &FileConfig, cause: io::Error) -> BenchError {
    BenchError::File { file: config.path.display().to_string(), cause: cause.into() }
}

struct Written {
    bytes: u64,
    last_ns: u64,
}

fn write(config: &FileConfig, traffic: &mut Traffic, out: &mut impl Write) -> io::Result<Written> {
    let snap = config.snap.unwrap_or(WHOLE);
    out.write_all(&header(snap))?;
    let mut progress = Progress::of("packets written");
    let mut frame = BLANK;
    let mut written = Written { bytes: 24, last_ns: 0 };
    for packet in 1..=config.packets {
        let meta = traffic.next_into(&mut frame);
        written.bytes += packet_record(&frame, &meta, snap as usize, out)?;
        written.last_ns = meta.at_ns;
        progress.batch(packet);
    }
    out.flush()?;
    Ok(written)
}

fn header(snap: u32) -> [u8; 24] {
    let mut header = [0; 24];
    header[..4].copy_from_slice(&MAGIC.to_le_bytes());
    header[4..8].copy_from_slice(&[2, 0, 4, 0]);
    header[16..20].copy_from_slice(&snap.to_le_bytes());
    header[20..].copy_from_slice(&ETHERNET.to_le_bytes());
    header
}

/// Returns the bytes of the record.
fn packet_record(frame: &Frame, meta: &Meta, snap: usize, out: &mut impl Write) -> io::Result<u64> {
    let kept = meta.length.min(snap);
    let fields = [meta.at_ns / 1_000_000_000, meta.at_ns % 1_000_000_000, kept as u64, meta.length as u64];
    let mut header = [0; 16];
    for (bytes, field) in header.chunks_exact_mut(4).zip(fields) {
        bytes.copy_from_slice(&(field as u32).to_le_bytes());
    }
    out.write_all(&header)?;
    out.write_all(&frame[..kept])?;
    Ok((header.len() + kept) as u64)
}
