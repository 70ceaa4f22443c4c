//! Which ICMP messages answer each other, so that both directions make one connection.

/// IANA number of ICMP.
pub(super) const ICMP: u8 = 1;
/// IANA number of ICMPv6.
pub(super) const ICMPV6: u8 = 58;

/// The type that answers (or is answered by) `kind`, or none where the message stands alone.
///
/// RFC 792, 950, 1256 for ICMP; RFC 2710, 4443, 4620, 4861, 6275 for ICMPv6. Zeek and Community ID pair the same.
pub(super) fn counterpart(protocol: u8, kind: u16) -> Option<u16> {
    const PAIRS_V4: [(u16, u16); 5] = [(8, 0), (13, 14), (15, 16), (10, 9), (17, 18)];
    const PAIRS_V6: [(u16, u16); 6] = [(128, 129), (133, 134), (135, 136), (130, 131), (139, 140), (144, 145)];
    let pairs: &[(u16, u16)] = if protocol == ICMP { &PAIRS_V4 } else { &PAIRS_V6 };
    pairs.iter().find_map(|&(ask, answer)| match kind {
        kind if kind == ask => Some(answer),
        kind if kind == answer => Some(ask),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counterparts_are_mutual_and_errors_have_none() {
        for protocol in [ICMP, ICMPV6] {
            for kind in 0..=255 {
                if let Some(other) = counterpart(protocol, kind) {
                    assert_eq!(counterpart(protocol, other), Some(kind));
                }
            }
        }
        assert_eq!(counterpart(ICMP, 8), Some(0));
        assert_eq!(counterpart(ICMP, 3), None);
        assert_eq!(counterpart(ICMPV6, 135), Some(136));
        assert_eq!(counterpart(ICMPV6, 8), None);
    }
}
