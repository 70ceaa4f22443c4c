//! The same answers as tcpdump, on every frame of other projects' captures: in user space, in XDP and at traffic control.
//!
//! The first frames of each file by default; `NETMOTH_FILTER_FRAMES=N` takes the first N of each.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use super::captures::{files, shared};
use crate::capture::file::CaptureFile;
use crate::filter::trial::{SHORTEST, Trial};
use crate::filter::{ETHERNET, Filter, ProgramKind};
use crate::testing::is_root;
use crate::wire::LinkType;

/// Frames of each file; together they are some thousand of all kinds.
const FRAMES: usize = 40;
/// Longest frame that a test run takes in one buffer, whatever the headroom.
const LONGEST: usize = 3_000;

/// Hosts, networks, ports, protocols, tags, labels, offsets, flags, lengths, and what the product's own documents name.
const EXPRESSIONS: &[&str] = &[
    "port 80 or port 443",
    "host 192.168.1.100",
    "tcp and port 22",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "ip",
    "ip6",
    "arp",
    "not arp",
    "not tcp and not udp",
    "sctp",
    "ip proto 47",
    "ip6 proto 6",
    "proto 17",
    "host 10.0.0.1",
    "src host 192.168.1.1",
    "dst host 8.8.8.8",
    "host 8.8.8.8 or host 1.1.1.1",
    "net 10.0.0.0/8",
    "src net 192.168.0.0/16",
    "dst net 172.16.0.0/12",
    "net 192.168.0.0 mask 255.255.0.0",
    "not net 10.0.0.0/8",
    "ip6 net fe80::/10",
    "ip6 host ::1",
    "dst host ff02::1",
    "port 53",
    "src port 53",
    "dst port 443",
    "udp port 53",
    "tcp port 443",
    "portrange 1-1023",
    "tcp src portrange 1024-65535",
    "udp dst portrange 5000-6000",
    "port not 80",
    "udp and not port 53",
    "tcp[tcpflags] & tcp-syn != 0",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[tcpflags] == tcp-syn",
    "tcp[13] & 2 != 0",
    "tcp[13] = 18",
    "ip[6:2] & 0x1fff != 0",
    "ip[6] & 0x20 != 0 or ip[6:2] & 0x1fff != 0",
    "ip[8] < 64",
    "ip[0] & 0xf != 5",
    "ip[2:2] > 576",
    "ip6[6] = 17",
    "icmp[icmptype] = icmp-echo",
    "icmp[0] == 8 or icmp[0] == 0",
    "icmp6[0] == 135",
    "udp[4:2] > 100",
    "udp[8:4] & 0xff != 0",
    "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
    "(ip[2:2] - ((ip[0] & 0xf) << 2)) - ((tcp[12] & 0xf0) >> 2) != 0",
    "ip[2:2] % 2 = 0",
    "ip[2:2] / 3 = 20",
    "ip[10:2] ^ 0xffff > 0x8000",
    "ip[4:2] * 3 > 100000",
    "1 << (ip[8] & 31) > 65536",
    "-ip[8] = 0xffffffc0",
    "less 100",
    "greater 1000",
    "len = 60",
    "len > 200 and len < 600",
    "ether proto 0x88cc",
    "ether[12:2] = 0x0806",
    "ether host ff:ff:ff:ff:ff:ff",
    "ether src 00:00:00:00:00:00",
    "ether broadcast",
    "ether multicast",
    "ether[0] & 1 = 1",
    "ether[100:4] != 0",
    "multicast",
    "ip multicast",
    "vlan",
    "vlan 10",
    "vlan and tcp",
    "vlan and port 53",
    "vlan and vlan",
    "vlan and ip6",
    "vlan and host 10.0.0.1",
    "not vlan",
    "tcp or (vlan and tcp)",
    "mpls",
    "mpls 100 and host 10.0.0.1",
    "mpls and ip",
    "vlan and mpls",
    "pppoes",
    "pppoes and tcp",
    "geneve",
    "udp port 4789",
    "stp",
    "llc",
    "ether proto \\ip and tcp",
    "ah or esp",
    "ip proto \\icmp",
    "dst net 224.0.0.0/4 and not igmp",
    "igmp or pim or vrrp",
];

/// Those that libpcap of one version or another has no word for are left out, and said so.
#[expect(clippy::print_stderr, reason = "a test says what it leaves out")]
fn compiled() -> Vec<(&'static str, Filter)> {
    let mut all = Vec::new();
    for expression in EXPRESSIONS {
        match Filter::compile(expression, ETHERNET) {
            Ok(filter) => all.push((*expression, filter)),
            Err(error) => eprintln!("left out: {expression}: {error}"),
        }
    }
    assert!(all.len() >= 95, "{} expressions of {}", all.len(), EXPRESSIONS.len());
    all
}

/// The first frames of every Ethernet capture.
fn frames(folder: &Path) -> Vec<Vec<u8>> {
    let most = std::env::var("NETMOTH_FILTER_FRAMES").map_or(FRAMES, |text| text.parse().expect("a number of frames"));
    let mut paths = Vec::new();
    files(folder, &mut paths);
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let Ok(mut file) = CaptureFile::open(&path) else { continue };
        let mut here = 0;
        while here < most {
            let more = file.next_batch(|packets| {
                for packet in packets {
                    if here < most && packet.link == Some(LinkType::Ethernet) && packet.data.len() >= SHORTEST {
                        all.push(packet.data[..packet.data.len().min(LONGEST)].to_vec());
                        here += 1;
                    }
                }
            });
            if !matches!(more, Ok(true)) {
                break;
            }
        }
    }
    all
}

/// A capture file of these frames, each at the second of its number.
fn write(path: &Path, frames: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 262_144, 1_u32] {
        bytes.extend(word.to_le_bytes());
    }
    for (number, frame) in frames.iter().enumerate() {
        for word in [number as u32, 0, frame.len() as u32, frame.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    std::fs::write(path, bytes).unwrap();
}

/// The numbers of the frames that tcpdump takes.
fn tcpdump(path: &Path, expression: &str) -> HashSet<usize> {
    let output =
        Command::new("tcpdump").args(["-r", path.to_str().unwrap(), "-w", "-", "--", expression]).output().unwrap();
    assert!(output.status.success(), "{expression}: {}", String::from_utf8_lossy(&output.stderr));
    let word = |at: usize| u32::from_le_bytes(output.stdout[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut taken) = (24, HashSet::new());
    while at < output.stdout.len() {
        taken.insert(word(at));
        at += 16 + word(at + 8);
    }
    taken
}

#[test]
fn every_filter_answers_as_tcpdump_does_wherever_it_runs() {
    let (Some(folder), true) = (shared(), is_root()) else { return };
    let frames = frames(&folder);
    assert!(frames.len() > 2_000, "{} frames", frames.len());
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("frames.pcap");
    write(&path, &frames);
    let kernels = [ProgramKind::Xdp, ProgramKind::SchedCls].map(|kind| Trial::new(kind).unwrap());
    let (mut matched, mut never) = (0, 0);
    for (expression, filter) in compiled() {
        let taken = tcpdump(&path, expression);
        let loaded = kernels
            .each_ref()
            .map(|kernel| kernel.load(&filter).unwrap_or_else(|error| panic!("{expression}: {error}")));
        for (number, frame) in frames.iter().enumerate() {
            let wanted = taken.contains(&number);
            assert_eq!(filter.matches(frame, frame.len() as u32), wanted, "{expression}: frame {number}, user space");
            assert_eq!(loaded[0].matches(frame).unwrap(), wanted, "{expression}: frame {number}, XDP");
            assert_eq!(loaded[1].matches(frame).unwrap(), wanted, "{expression}: frame {number}, traffic control");
        }
        matched += taken.len();
        never += usize::from(taken.is_empty());
    }
    // Else it would not say much.
    assert!(matched > frames.len() * 10 && never < 30, "{matched} matches, {never} expressions without any");
}
