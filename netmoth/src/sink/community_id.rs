//! Community ID v1: one name for a connection in every tool that looks at it.
//!
//! Source: the specification at <https://github.com/corelight/community-id-spec>. Written here rather than taken from a crate
//! because it runs once per record and must not allocate.

use std::net::IpAddr;

use sha1::{Digest, Sha1};

use crate::flow::FlowRecord;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The identifier as text: `1:` and 28 characters of base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommunityId([u8; 30]);

impl CommunityId {
    /// The identifier of a record's connection; tools agree where their `seed`s agree (0 unless configured).
    pub fn of(record: &FlowRecord, seed: u16) -> Self {
        let (mut source, mut destination) = (record.src_ip, record.dst_ip);
        let mut one_way = false;
        let ports = match record.proto {
            TCP | UDP | SCTP => Some((record.src_port, record.dst_port)),
            ICMP | ICMPV6 => {
                let answer = icmp_counterpart(record.proto, record.src_port);
                one_way = answer.is_none();
                Some((record.src_port, answer.unwrap_or(record.dst_port)))
            }
            _ => None,
        };
        let (mut source_port, mut destination_port) = ports.unwrap_or_default();
        if !one_way && (source, source_port) > (destination, destination_port) {
            std::mem::swap(&mut source, &mut destination);
            std::mem::swap(&mut source_port, &mut destination_port);
        }
        let mut input = Input { bytes: [0; LONGEST], length: 0 };
        input.put(&seed.to_be_bytes());
        input.put_address(source);
        input.put_address(destination);
        input.put(&[record.proto, 0]);
        if ports.is_some() {
            input.put(&source_port.to_be_bytes());
            input.put(&destination_port.to_be_bytes());
        }
        Self::encode(&Sha1::digest(&input.bytes[..input.length]).into())
    }

    /// An identifier that a store gave back; `None` where it has not the form of one.
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes: [u8; 30] = text.as_bytes().try_into().ok()?;
        (text.starts_with("1:") && text.is_ascii()).then_some(Self(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Both constructors hold ASCII alone.
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    /// Twenty bytes are six groups of three and one of two: 27 characters and one of padding.
    fn encode(digest: &[u8; 20]) -> Self {
        let mut text = [b'='; 30];
        text[..2].copy_from_slice(b"1:");
        for (group, out) in digest.chunks(3).zip(text[2..].chunks_mut(4)) {
            let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for (at, letter) in out.iter_mut().take(group.len() + 1).enumerate() {
                *letter = BASE64[(bits >> (18 - 6 * at) & 0x3f) as usize];
            }
        }
        Self(text)
    }
}

impl std::fmt::Debug for CommunityId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Seed, two IPv6 addresses, protocol and a zero, two ports.
const LONGEST: usize = 2 + 2 * 16 + 2 + 2 * 2;

/// What is hashed: in one piece, for its block is one of SHA-1's and each piece would cost as much as all.
struct Input {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Input {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn put_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.put(&address.octets()),
            IpAddr::V6(address) => self.put(&address.octets()),
        }
    }
}

/// The type that answers an ICMP type, or `None` for the types that nobody answers.
fn icmp_counterpart(proto: u8, icmp_type: u16) -> Option<u16> {
    Some(match (proto, icmp_type) {
        (ICMP, 8) => 0,
        (ICMP, 0) => 8,
        (ICMP, 9 | 13 | 15 | 17) | (ICMPV6, 128 | 130 | 133 | 135 | 139 | 144) => icmp_type + 1,
        (ICMP, 10 | 14 | 16 | 18) | (ICMPV6, 129 | 131 | 134 | 136 | 140 | 145) => icmp_type - 1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::row::tests::record;

    /// An independent implementation, asked with the ports that its interface wants.
    fn reference(record: &FlowRecord, seed: u16) -> String {
        let has_ports = matches!(record.proto, TCP | UDP | SCTP | ICMP | ICMPV6);
        let port = |port| has_ports.then_some(port);
        let (source, destination) = (port(record.src_port), port(record.dst_port));
        community_id::calculate_community_id(
            seed,
            record.src_ip,
            record.dst_ip,
            source,
            destination,
            record.proto,
            false,
        )
        .expect("the reference takes every combination that this test asks")
    }

    #[test]
    fn every_protocol_and_icmp_type_agrees_with_an_independent_implementation() {
        let pairs = [("10.0.0.2", "10.0.0.1"), ("10.0.0.1", "10.0.0.2"), ("10.0.0.1", "10.0.0.1")];
        let pairs6 = [("2001:db8::2", "2001:db8::1"), ("fe80::1", "ff02::2"), ("::1", "::1")];
        for (proto, pairs) in
            [(1, pairs), (6, pairs), (17, pairs), (47, pairs), (132, pairs6), (58, pairs6), (6, pairs6)]
        {
            for (src, dst) in pairs {
                for src_port in 0..256 {
                    let mut record = record();
                    (record.src_ip, record.dst_ip) = (src.parse().unwrap(), dst.parse().unwrap());
                    (record.proto, record.src_port, record.dst_port) = (proto, src_port, 3);
                    for seed in [0, 1, 513] {
                        assert_eq!(CommunityId::of(&record, seed).as_str(), reference(&record, seed), "{record:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn both_directions_have_one_identifier() {
        let mut forth = record();
        (forth.src_ip, forth.dst_ip) = ("1.2.3.4".parse().unwrap(), "5.6.7.8".parse().unwrap());
        (forth.proto, forth.src_port, forth.dst_port) = (TCP, 1122, 3344);
        let mut back = forth;
        (back.src_ip, back.dst_ip, back.src_port, back.dst_port) = (forth.dst_ip, forth.src_ip, 3344, 1122);
        assert_eq!(CommunityId::of(&forth, 0).as_str(), "1:wCb3OG7yAFWelaUydu0D+125CLM=");
        assert_eq!(CommunityId::of(&forth, 0), CommunityId::of(&back, 0));
    }
}
