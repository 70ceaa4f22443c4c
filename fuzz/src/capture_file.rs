//! Any bytes as a capture file: it is read to its end or refused, within bounds.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use netmoth::capture::BATCH;
use netmoth::capture::file::{CaptureFile, CapturedPacket, FileError, Piece};
use netmoth::time::ReplayClock;

/// The smallest record of any format: 16 bytes around an empty packet.
const SMALLEST: usize = 16;

/// The largest buffer: the largest block that is read at once (16 MiB and its headers), in pieces of 1 MiB.
const BUFFER: usize = 18 << 20;

/// Bytes that one byte of deflate can become, at most.
const DEFLATED: usize = 1032;

/// The input as a stream that sees how much room it is offered: the size of the buffer behind it.
struct Watched {
    left: io::Cursor<Vec<u8>>,
    offered: Arc<AtomicUsize>,
}

impl Read for Watched {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.offered.fetch_max(room.len(), Relaxed);
        self.left.read(room)
    }
}

/// Reads `input` as `netmoth read` does.
pub fn capture_file(input: &[u8]) {
    let is_compressed = input.starts_with(&[0x1f, 0x8b]);
    let offered = Arc::new(AtomicUsize::new(0));
    let reader = Watched { left: io::Cursor::new(input.to_vec()), offered: Arc::clone(&offered) };
    if let Ok(mut file) = CaptureFile::from_reader("input".into(), Box::new(reader)) {
        let (packets, bytes) = read_to_the_end(&mut file);
        let unpacked = if is_compressed { input.len() * DEFLATED } else { input.len() };
        let least = packets * SMALLEST + bytes;
        assert!(least <= unpacked, "{packets} packets with {bytes} bytes out of {}", input.len());
    }
    // How much of a damaged stream is unpacked before the damage depends on how much is read at a time.
    if !is_compressed {
        let sip = 1 + input.len() % 61;
        assert_eq!(by_batches(input), by_pieces(input, sip), "{} bytes read whole, and {sip} at a time", input.len());
    }
    let offered = offered.load(Relaxed);
    assert!(offered <= BUFFER, "a buffer of {offered} bytes for {}", input.len());
}

/// Packets of the file and their bytes. Every call hands over a batch or says that it was the last: that is why this ends.
fn read_to_the_end(file: &mut CaptureFile) -> (usize, usize) {
    let (mut clock, mut last_ns) = (ReplayClock::default(), 0);
    let (mut packets, mut bytes) = (0, 0);
    loop {
        let mut batch = 0;
        let more = file.next_batch(|captured| {
            batch = captured.len();
            bytes += captured.iter().map(|packet| packet.data.len()).sum::<usize>();
            last_ns = look_at(captured, &mut clock, last_ns);
        });
        assert!(batch <= BATCH, "{batch} packets in a batch");
        packets += batch;
        assert_eq!(file.packets(), packets as u64);
        match more {
            Ok(true) => assert!(batch > 0, "a call that brings nothing says so"),
            Ok(false) | Err(_) => break,
        }
    }
    // What has ended stays so.
    assert!(!matches!(file.next_batch(|_| panic!("packets behind the end")), Ok(true)));
    (packets, bytes)
}

/// Checks the packets of a batch. Gives the monotonic time of the last one; `last_ns` is that of the one before the batch.
fn look_at(captured: &[CapturedPacket<'_>], clock: &mut ReplayClock, mut last_ns: u64) -> u64 {
    for packet in captured {
        assert!(packet.data.len() as u64 <= u64::from(packet.wire_len), "captured more than there was");
        let now_ns = clock.at(packet.wall_ns).mono_ns;
        assert!(now_ns >= last_ns, "the clock goes back");
        last_ns = now_ns;
    }
    last_ns
}

/// A stream that gives no more than so many bytes at a time.
struct Sips(io::Cursor<Vec<u8>>, usize);

impl Read for Sips {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let most = room.len().min(self.1);
        self.0.read(&mut room[..most])
    }
}

/// What was read of a file: how many packets, all that is said of them, mixed, and how it ended. Nothing of one that is refused:
/// how that is said depends on how much of it was there.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    packets: u64,
    mixed: u64,
    error: Option<String>,
}

impl Outcome {
    /// That of what `read` reads and notes.
    fn of(read: impl FnOnce(&mut Self) -> Result<(), FileError>) -> Self {
        let mut outcome = Self::default();
        outcome.error = read(&mut outcome).err().map(|error| error.to_string());
        outcome
    }

    fn add(&mut self, packet: &CapturedPacket<'_>) {
        let CapturedPacket { link, data, wire_len, wall_ns } = packet;
        let link = link.map_or(0, |link| link as u64 + 1);
        let numbers = [link, u64::from(*wire_len), *wall_ns as u64, data.len() as u64];
        for number in numbers.into_iter().chain(data.iter().map(|&byte| u64::from(byte))) {
            self.mixed = (self.mixed.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        self.packets += 1;
    }
}

fn by_batches(input: &[u8]) -> Outcome {
    Outcome::of(|outcome| {
        let Ok(mut file) = CaptureFile::from_reader("input".into(), Box::new(io::Cursor::new(input.to_vec()))) else {
            return Ok(());
        };
        while file.next_batch(|packets| packets.iter().for_each(|packet| outcome.add(packet)))? {}
        Ok(())
    })
}

/// As several workers read it, `sip` bytes at a time.
fn by_pieces(input: &[u8], sip: usize) -> Outcome {
    Outcome::of(|outcome| {
        let sips = Sips(io::Cursor::new(input.to_vec()), sip);
        let Ok(mut file) = CaptureFile::from_reader("input".into(), Box::new(sips)) else { return Ok(()) };
        let (mut stream, mut piece) = (file.detach(), Piece::default());
        loop {
            let read = stream.read(&mut piece);
            file.deal(&mut piece, |packet, _| outcome.add(packet))?;
            if !matches!(read, Ok(true)) {
                return file.ended(read.map(|_| ()));
            }
        }
    })
}
