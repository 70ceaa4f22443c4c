//! IEEE 802.11 data frames, bare or behind a radiotap header.
//!
//! Sources: IEEE 802.11 section 9 (frame formats); radiotap.org for the fields that stand before a frame.

use super::Reject;
use super::bytes::be16;
use super::link::{self, Network};

/// Words of field bits that a radiotap header may have; each has room for 29 fields, and nobody needs three.
const MAX_PRESENT_WORDS: usize = 8;

/// A frame behind a radiotap header.
pub(super) fn radiotap(data: &[u8]) -> Result<Network, Reject> {
    let length: [u8; 2] = *data.get(2..).and_then(<[u8]>::first_chunk).ok_or(Reject::TruncatedLink)?;
    let flags = radiotap_flags(data).ok_or(Reject::TruncatedLink)?;
    let padded = flags & 0x20 != 0;
    frame(data, usize::from(u16::from_le_bytes(length)), 1, padded)
}

/// The field "flags": it stands first, or behind the eight aligned bytes of the field "TSFT".
fn radiotap_flags(data: &[u8]) -> Option<u8> {
    let word = |index: usize| data.get(4 + 4 * index..)?.first_chunk().map(|word| u32::from_le_bytes(*word));
    let first = word(0)?;
    // The top bit of each word of field bits says that another one follows.
    let mut words = 1;
    while words < MAX_PRESENT_WORDS && word(words - 1)? & 0x8000_0000 != 0 {
        words += 1;
    }
    let mut at = 4 + 4 * words;
    if first & 1 != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    if first & 2 != 0 { data.get(at).copied() } else { Some(0) }
}

/// A frame that begins at `at`, behind `layers` other headers. `padded`: its header was brought to a multiple of four bytes.
pub(super) fn frame(data: &[u8], at: usize, layers: u8, padded: bool) -> Result<Network, Reject> {
    const DATA: u8 = 0x08;
    const NO_DATA: u8 = 0x40;
    const QOS: u8 = 0x80;
    let frame = data.get(at..).ok_or(Reject::TruncatedLink)?;
    let [control, flags] = *frame.first_chunk().ok_or(Reject::TruncatedLink)?;
    // Beacons and their kin, frames without data, and what is encrypted (section 9.2.4.1).
    if control & 0x0f != DATA || control & NO_DATA != 0 || flags & 0x40 != 0 {
        return Err(Reject::NotIp);
    }
    let mut header = 24;
    if flags & 0x03 == 0x03 {
        header += 6; // a fourth address, between access points
    }
    let mut several = false;
    if control & QOS != 0 {
        several = be16(frame, header).ok_or(Reject::TruncatedLink)? & 0x8000 != 0;
        header += 2;
        if flags & 0x80 != 0 {
            header += 4; // HT control
        }
    }
    if padded {
        header = usize::next_multiple_of(header, 4);
    }
    if several {
        // An aggregate of MSDUs: of each, two addresses and a length stand before its LLC header. The first is read.
        header += 14;
    }
    let llc = at + header;
    link::by_type(data, link::llc(data, llc)?, llc + 8, layers + 1)
}

#[cfg(test)]
mod tests {
    use super::super::{LinkType, parse};
    use super::*;

    const LLC: [u8; 8] = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];

    fn ip() -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9).udp(1234, 53);
        builder.write(&mut packet, b"hello").unwrap();
        packet
    }

    fn wifi(control: [u8; 2], more: &[u8]) -> Vec<u8> {
        [&control[..], &[0; 22], more, &LLC, &ip(), &[0; 4]].concat()
    }

    fn ports(link: LinkType, data: &[u8]) -> Result<(u16, u16, u32), Reject> {
        parse(link, data, data.len() as u32).map(|packet| (packet.src_port, packet.dst_port, packet.payload_bytes))
    }

    #[test]
    fn data_frames_lead_to_ip_whatever_their_headers_hold() {
        let wanted = Ok((1234, 53, 5));
        assert_eq!(ports(LinkType::Ieee80211, &wifi([0x08, 0x01], &[])), wanted);
        assert_eq!(ports(LinkType::Ieee80211, &wifi([0x08, 0x03], &[0; 6])), wanted, "four addresses");
        assert_eq!(ports(LinkType::Ieee80211, &wifi([0x88, 0x01], &[0, 0])), wanted, "QoS");
        assert_eq!(ports(LinkType::Ieee80211, &wifi([0x88, 0x81], &[0; 6])), wanted, "HT control");
        assert_eq!(ports(LinkType::Ieee80211, &wifi([0x88, 0x01], &[&[0x80, 0][..], &[0; 14]].concat())), wanted);
    }

    #[test]
    fn what_has_no_readable_data_is_no_ip() {
        assert_eq!(ports(LinkType::Ieee80211, &wifi([0x80, 0x00], &[])), Err(Reject::NotIp), "beacon");
        assert_eq!(ports(LinkType::Ieee80211, &wifi([0x48, 0x01], &[])), Err(Reject::NotIp), "null");
        assert_eq!(ports(LinkType::Ieee80211, &wifi([0x08, 0x41], &[])), Err(Reject::NotIp), "protected");
        assert_eq!(ports(LinkType::Ieee80211, &[8]), Err(Reject::TruncatedLink));
    }

    #[test]
    fn radiotap_says_how_long_it_is_and_whether_the_header_is_padded() {
        let plain = [&[0, 0, 8, 0, 0, 0, 0, 0][..], &wifi([0x08, 0x01], &[])].concat();
        assert_eq!(ports(LinkType::Radiotap, &plain), Ok((1234, 53, 5)));
        // Two words of field bits, TSFT and flags: padding up to 16, 8 bytes of time, the flags at 24.
        let mut header = vec![0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0];
        header.resize(24, 0);
        header.push(0x20);
        let padded = [&header[..], &wifi([0x88, 0x01], &[0, 0, 0, 0])].concat();
        assert_eq!(ports(LinkType::Radiotap, &padded), Ok((1234, 53, 5)));
        assert_eq!(ports(LinkType::Radiotap, &padded[..10]), Err(Reject::TruncatedLink));
    }
}
