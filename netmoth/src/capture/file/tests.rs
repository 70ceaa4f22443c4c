//! Files made byte by byte, of every variant, and damaged ones.

use std::io::{Cursor, Write};

use proptest::prelude::*;

use super::*;

/// A packet as a test sees it: link, bytes, length on the wire, time.
type Seen = (Option<LinkType>, Vec<u8>, u32, i64);

fn read(bytes: Vec<u8>) -> (Vec<Seen>, Option<FileError>) {
    let mut seen = Vec::new();
    let mut file = match CaptureFile::from_reader("test".into(), Box::new(Cursor::new(bytes))) {
        Ok(file) => file,
        Err(error) => return (seen, Some(error)),
    };
    loop {
        let more = file.next_batch(|packets| {
            seen.extend(packets.iter().map(|p| (p.link, p.data.to_vec(), p.wire_len, p.wall_ns)));
        });
        match more {
            Ok(true) => {}
            Ok(false) => {
                assert_eq!(file.packets(), seen.len() as u64);
                return (seen, None);
            }
            Err(error) => return (seen, Some(error)),
        }
    }
}

fn word(value: u32, big: bool) -> [u8; 4] {
    if big { value.to_be_bytes() } else { value.to_le_bytes() }
}

fn pcap(magic: u32, big: bool, link: u32, packets: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
    let mut file = word(magic, big).to_vec();
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    file.extend(half(2));
    file.extend(half(4));
    file.extend([0; 8]);
    file.extend(word(65_535, big));
    file.extend(word(link, big));
    for (seconds, fraction, data, wire) in packets {
        for value in [*seconds, *fraction, data.len() as u32, *wire] {
            file.extend(word(value, big));
        }
        file.extend(*data);
    }
    file
}

fn block(kind: u32, big: bool, body: &[u8]) -> Vec<u8> {
    let mut block = word(kind, big).to_vec();
    let padded = body.len().next_multiple_of(4);
    let length = padded as u32 + 12;
    block.extend(word(length, big));
    block.extend(body);
    block.resize(8 + padded, 0);
    block.extend(word(length, big));
    block
}

fn section(big: bool) -> Vec<u8> {
    let mut body = word(0x1a2b_3c4d, big).to_vec();
    body.extend(if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] });
    body.extend([0xff; 8]);
    block(0x0a0d_0d0a, big, &body)
}

fn interface(big: bool, link: u16, snapshot: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut body = half(link).to_vec();
    body.extend([0, 0]);
    body.extend(word(snapshot, big));
    for (code, value) in options {
        body.extend(half(*code));
        body.extend(half(value.len() as u16));
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    block(1, big, &body)
}

fn enhanced(big: bool, interface: u32, stamp: u64, data: &[u8], wire: u32) -> Vec<u8> {
    let mut body = Vec::new();
    for value in [interface, (stamp >> 32) as u32, stamp as u32, data.len() as u32, wire] {
        body.extend(word(value, big));
    }
    body.extend(data);
    block(6, big, &body)
}

#[test]
fn both_byte_orders_and_both_clocks_of_pcap_are_read() {
    for big in [false, true] {
        let packets: [(u32, u32, &[u8], u32); 2] = [(10, 5, b"abc", 100), (11, 6, b"", 0)];
        let (seen, error) = read(pcap(0xa1b2_c3d4, big, 1, &packets));
        assert!(error.is_none(), "{error:?}");
        assert_eq!(seen[0], (Some(LinkType::Ethernet), b"abc".to_vec(), 100, 10_000_005_000));
        assert_eq!(seen[1], (Some(LinkType::Ethernet), Vec::new(), 0, 11_000_006_000));
        let (seen, _) = read(pcap(0xa1b2_3c4d, big, 101, &packets));
        assert_eq!(seen[0], (Some(LinkType::RawIp), b"abc".to_vec(), 100, 10_000_000_005));
    }
}

#[test]
fn sections_interfaces_and_clocks_of_pcapng_are_kept_apart() {
    let mut file = section(false);
    file.extend(interface(false, 1, 0, &[(9, &[9])]));
    file.extend(interface(false, 101, 0, &[(9, &[0x80 | 10]), (14, &2_i64.to_le_bytes()), (0, &[])]));
    file.extend(enhanced(false, 0, 7_000_000_001, b"one", 3));
    file.extend(block(0x0bad, false, &[1; 500]));
    file.extend(enhanced(false, 1, 1024 * 3 + 512, b"two!", 9));
    file.extend(section(true));
    file.extend(interface(true, 113, 4, &[]));
    file.extend(enhanced(true, 0, 1_000_000, b"three", 5));
    file.extend(block(3, true, &[word(6, true).as_slice(), b"simp\0\0\0\0"].concat()));
    let (seen, error) = read(file);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(seen[0], (Some(LinkType::Ethernet), b"one".to_vec(), 3, 7_000_000_001));
    assert_eq!(seen[1], (Some(LinkType::RawIp), b"two!".to_vec(), 9, 5_500_000_000));
    assert_eq!(seen[2], (Some(LinkType::LinuxCooked), b"three".to_vec(), 5, 1_000_000_000));
    assert_eq!(seen[3], (Some(LinkType::LinuxCooked), b"simp".to_vec(), 6, 1_000_000_000));
}

#[test]
fn the_obsolete_packet_block_is_read() {
    let mut file = section(false);
    file.extend(interface(false, 1, 0, &[]));
    let mut body = vec![0, 0, 0, 0];
    for value in [0, 42, 2, 60_u32] {
        body.extend(value.to_le_bytes());
    }
    body.extend(b"pb");
    file.extend(block(2, false, &body));
    assert_eq!(read(file).0, [(Some(LinkType::Ethernet), b"pb".to_vec(), 60, 42_000)]);
}

#[test]
fn gzip_is_seen_through_whatever_is_inside() {
    let plain = pcap(0xa1b2_c3d4, false, 1, &[(1, 0, b"zip", 3)]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    let packed = encoder.finish().unwrap();
    assert_eq!(read(packed.clone()).0, read(plain).0);
    let (_, error) = read(packed[..packed.len() / 2].to_vec());
    assert!(error.is_some(), "half a gzip stream is no whole capture");
}

#[test]
fn a_file_of_many_packets_comes_in_batches_and_in_order() {
    let data = vec![7; 1400];
    let packets: Vec<_> = (0..5_000).map(|i| (i, 0, data.as_slice(), 1400)).collect();
    let (seen, error) = read(pcap(0xa1b2_c3d4, false, 1, &packets));
    assert!(error.is_none());
    assert_eq!(seen.len(), 5_000);
    assert!(seen.iter().enumerate().all(|(i, p)| p.3 == i as i64 * 1_000_000_000 && p.1.len() == 1400));
}

/// Reads a file apart from its packets, handing each to `each`. Returns how many pieces brought some, and how it ended.
fn deal(file: &mut CaptureFile, mut each: impl FnMut(&CapturedPacket<'_>)) -> (usize, Result<(), FileError>) {
    let (mut stream, mut piece, mut with_packets) = (file.detach(), Piece::default(), 0);
    loop {
        let read = stream.read(&mut piece);
        let before = file.packets();
        let dealt = file.deal(&mut piece, |packet, _| each(packet));
        with_packets += usize::from(file.packets() > before);
        match (dealt, read) {
            (Ok(()), Ok(true)) => {}
            (Ok(()), read) => return (with_packets, file.ended(read.map(|_| ()))),
            (error, _) => return (with_packets, error),
        }
    }
}

#[test]
fn pieces_hold_the_same_packets() {
    let packets: Vec<_> = (0..3_000_u32).map(|i| vec![i as u8; 1 + (i as usize * 37) % 1500]).collect();
    let records: Vec<_> = packets.iter().map(|data| (1, 0, data.as_slice(), data.len() as u32)).collect();
    let large = vec![9; 3 << 20];
    let all: Vec<_> =
        records.iter().copied().chain([(2, 0, large.as_slice(), 3 << 20)]).chain(records.clone()).collect();
    let bytes = pcap(0xa1b2_c3d4, false, 1, &all);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.pcap");
    for cut in [0, 5] {
        let bytes = &bytes[..bytes.len() - cut];
        std::fs::write(&path, bytes).unwrap();
        let stream = Box::new(Cursor::new(bytes.to_vec()));
        for mut file in [CaptureFile::open(&path).unwrap(), CaptureFile::from_reader("test".into(), stream).unwrap()] {
            let mut seen = 0;
            let (pieces, end) = deal(&mut file, |packet| {
                assert_eq!(packet.data, all[seen].2, "packet {seen}");
                seen += 1;
            });
            assert_eq!((seen, file.packets()), (all.len() - cut.min(1), (all.len() - cut.min(1)) as u64));
            assert!(pieces > 10, "{pieces}");
            let cut_off = matches!(&end, Err(FileError::Truncated { packets, .. }) if *packets == seen as u64);
            assert!(if cut == 0 { end.is_ok() } else { cut_off }, "{end:?}");
        }
    }
}

#[test]
fn a_cut_file_gives_what_was_whole_and_says_where_it_ends() {
    let whole = pcap(0xa1b2_c3d4, false, 1, &[(1, 0, b"first", 5), (2, 0, b"second", 6)]);
    for length in 24 + 21 + 1..whole.len() {
        let (seen, error) = read(whole[..length].to_vec());
        assert_eq!(seen.len(), 1);
        let Some(FileError::Truncated { packets: 1, offset: 45, .. }) = error else { panic!("{error:?} at {length}") };
    }
}

#[test]
fn a_cut_inside_a_block_without_packets_is_a_cut() {
    let mut file = section(false);
    file.extend(interface(false, 1, 0, &[]));
    file.extend(enhanced(false, 0, 1, b"whole", 5));
    file.extend(block(5, false, &[0; 100]));
    assert!(read(file.clone()).1.is_none());
    file.truncate(file.len() - 20);
    let (seen, error) = read(file);
    assert_eq!(seen.len(), 1);
    assert!(matches!(error, Some(FileError::Truncated { packets: 1, .. })), "{error:?}");
}

#[test]
fn files_before_version_2_4_have_their_lengths_the_other_way_round() {
    for big in [false, true] {
        for minor in [2, 3] {
            let mut file = pcap(0xa1b2_c3d4, big, 1, &[(1, 0, b"old", 1500)]);
            file[6..8].copy_from_slice(&if big { [0, minor] } else { [minor, 0] });
            file[32..36].copy_from_slice(&word(1500, big));
            file[36..40].copy_from_slice(&word(3, big));
            let (seen, error) = read(file);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(seen, [(Some(LinkType::Ethernet), b"old".to_vec(), 1500, 1_000_000_000)]);
        }
    }
}

#[test]
fn impossible_records_are_named_with_their_offset() {
    let mut file = pcap(0xa1b2_c3d4, false, 1, &[(1, 0, b"good", 4)]);
    file.extend([1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0]);
    let (seen, error) = read(file);
    assert_eq!(seen.len(), 1);
    assert!(matches!(error, Some(FileError::Damaged { offset: 44, .. })), "{error:?}");
    let mut file = section(false);
    file.extend(enhanced(false, 3, 0, b"orphan", 6));
    assert!(matches!(read(file).1, Some(FileError::Damaged { .. })));
}

#[test]
fn what_is_no_capture_is_told_by_its_first_bytes() {
    let message = |bytes: &[u8]| read(bytes.to_vec()).1.unwrap().to_string();
    assert!(message(b"").contains("empty"));
    assert!(message(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0]).contains("inside its pcap header"));
    assert!(message(b"hello world, this is text").contains("text"));
    assert!(message(b"\x7fELF\x02\x01\x01").contains("ELF"));
    assert!(message(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0]).contains("zstd -d"));
    assert!(message(&[0xa1, 0xb2, 0xcd, 0x34, 0, 0, 0]).contains("editcap"));
    assert!(message(&[9, 8, 7, 6, 5]).contains("09 08 07 06"));
}

#[test]
fn packets_of_a_link_type_that_is_not_parsed_still_come() {
    let (seen, error) = read(pcap(0xa1b2_c3d4, false, 220, &[(1, 0, b"a USB", 5)]));
    assert!(error.is_none());
    assert_eq!(seen, [(None, b"a USB".to_vec(), 5, 1_000_000_000)]);
}

proptest! {
    #[test]
    fn damage_anywhere_never_panics_or_hangs(flips in proptest::collection::vec((0usize..400, any::<u8>()), 1..8), ng in any::<bool>()) {
        let mut file = if ng {
            let mut file = section(false);
            file.extend(interface(false, 1, 96, &[(9, &[9]), (14, &[0; 8])]));
            (0..5).for_each(|i| file.extend(enhanced(false, 0, i, b"some packet", 60)));
            file
        } else {
            pcap(0xa1b2_c3d4, true, 1, &[(1, 0, b"some packet".as_slice(), 60); 10])
        };
        for (at, value) in flips {
            let length = file.len();
            file[at % length] = value;
        }
        let _ = read(file);
    }
}
