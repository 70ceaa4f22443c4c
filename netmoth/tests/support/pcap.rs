//! tcpdump beside the sensor, and a small reader of its files that shares no code with the product: what it counts is
//! what the sensor's records are held against.

use super::command::{Running, SHORT, until};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// tcpdump writing to a file.
pub(crate) struct Tcpdump {
    running: Running,
    /// The capture file.
    pub(crate) file: PathBuf,
}

impl Tcpdump {
    /// Starts to capture everything on `interface` (`tcpdump` is the command of that name in the right namespace).
    #[track_caller]
    pub(crate) fn start(tcpdump: &mut Command, interface: &str, file: &Path) -> Self {
        // In immediate mode every slot of the kernel's ring has the size of the snapshot: the default leaves a few hundred.
        tcpdump.args([
            "-i",
            interface,
            "-n",
            "-U",
            "--immediate-mode",
            "-s",
            "4096",
            "-B",
            "131072",
            "-Z",
            "root",
            "-w",
        ]);
        let running = Running::start(tcpdump.arg(file));
        running.wait_for("listening on", SHORT);
        Self { running, file: file.into() }
    }

    /// Waits until the file holds a packet that `last` knows, then ends the capture; panics if it lost any packet.
    #[track_caller]
    pub(crate) fn stop_after(self, last: impl Fn(&Seen) -> bool) -> PathBuf {
        until("tcpdump writes the last packet", SHORT, || read(&self.file).ok()?.iter().rev().any(&last).then_some(()));
        self.running.signal("TERM");
        let ended = self.running.wait(SHORT);
        assert!(ended.stderr.contains("\n0 packets dropped by kernel"), "tcpdump lost packets:\n{}", ended.stderr);
        self.file
    }
}

/// A packet that the reader understood; frames that are not IP have no addresses.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Source and destination address and the protocol.
    pub(crate) ip: Option<(IpAddr, IpAddr, u8)>,
    /// Ports; 0 where there are none.
    pub(crate) ports: (u16, u16),
    /// Outer VLAN identifier.
    pub(crate) vlan: Option<u16>,
    /// Total length of the IP packet.
    pub(crate) bytes: u64,
}

/// Packets of a classic pcap file of Ethernet frames. An error says what is not as expected.
pub(crate) fn read(file: &Path) -> Result<Vec<Seen>, String> {
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    let word = |at: usize| bytes.get(at..at + 4).map(|four| u32::from_le_bytes(four.try_into().unwrap()));
    if !matches!(word(0), Some(0xa1b2_c3d4 | 0xa1b2_3c4d)) || word(20) != Some(1) {
        return Err("not a little-endian pcap file of Ethernet frames".into());
    }
    let (mut at, mut packets, mut pieces) = (24, Vec::new(), HashMap::new());
    while at < bytes.len() {
        let captured = word(at + 8).ok_or("cut in a packet's header")? as usize;
        let frame = bytes.get(at + 16..at + 16 + captured).ok_or("cut in a packet")?;
        packets.push(look(frame, &mut pieces).unwrap_or(Seen { ip: None, ports: (0, 0), vlan: None, bytes: 0 }));
        at += 16 + captured;
    }
    Ok(packets)
}

type Piece = (IpAddr, IpAddr, u8, u32);

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// `None` where the frame holds no IP packet.
fn look(frame: &[u8], pieces: &mut HashMap<Piece, (u16, u16)>) -> Option<Seen> {
    let (mut at, mut vlan) = (12, None);
    while matches!(half(frame, at)?, 0x8100 | 0x88a8) {
        vlan = vlan.or(Some(half(frame, at + 2)? & 0xfff));
        at += 4;
    }
    let packet = frame.get(at + 2..)?;
    // Offset in the datagram and identification, where it is a piece of one.
    let (from, to, protocol, header, bytes, piece): (IpAddr, IpAddr, u8, usize, u64, Option<(u16, u32)>);
    match half(frame, at)? {
        0x0800 => {
            let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
            let fragment = half(packet, 6)?;
            (from, to, protocol) = (address(12)?.into(), address(16)?.into(), *packet.get(9)?);
            header = usize::from(packet[0] & 15) * 4;
            bytes = u64::from(half(packet, 2)?);
            piece = (fragment & 0x3fff != 0).then_some((fragment & 0x1fff, u32::from(half(packet, 4)?)));
        }
        0x86dd => {
            let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
            (from, to) = (address(8)?.into(), address(24)?.into());
            bytes = u64::from(half(packet, 4)?) + 40;
            let (mut next, mut end, mut found) = (*packet.get(6)?, 40, None);
            while matches!(next, 0 | 43 | 44 | 51 | 60) {
                let length = usize::from(*packet.get(end + 1)?);
                if next == 44 {
                    found = Some((
                        half(packet, end + 2)? >> 3,
                        u32::from(half(packet, end + 4)?) << 16 | u32::from(half(packet, end + 6)?),
                    ));
                }
                let size = match next {
                    44 => 8,
                    51 => (length + 2) * 4,
                    _ => (length + 1) * 8,
                };
                next = *packet.get(end)?;
                end += size;
            }
            (protocol, header, piece) = (next, end, found);
        }
        _ => return None,
    }
    let mut ports = (0, 0);
    if matches!(protocol, 6 | 17 | 132) {
        let own = || Some((half(packet, header)?, half(packet, header + 2)?));
        ports = match piece {
            Some((0, id)) => *pieces.entry((from, to, protocol, id)).or_insert(own()?),
            Some((_, id)) => *pieces.get(&(from, to, protocol, id))?,
            None => own()?,
        };
    }
    Some(Seen { ip: Some((from, to, protocol)), ports, vlan, bytes })
}

/// One direction of a conversation: VLAN, protocol, from, to. ICMP has no ports here: a record's type and code belong to
/// one direction only.
pub(crate) type Way = (Option<u16>, u8, (IpAddr, u16), (IpAddr, u16));

/// Packets and IP bytes by direction of conversation.
pub(crate) type Sums = BTreeMap<Way, (u64, u64)>;

/// Sums of the IP packets.
pub(crate) fn sums(packets: &[Seen]) -> Sums {
    let mut sums = Sums::new();
    for packet in packets {
        let Some((from, to, protocol)) = packet.ip else { continue };
        let way = (packet.vlan, protocol, (from, packet.ports.0), (to, packet.ports.1));
        let sum = sums.entry(way).or_default();
        sum.0 += 1;
        sum.1 += packet.bytes;
    }
    sums
}
