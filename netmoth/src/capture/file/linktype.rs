//! LINKTYPE_ numbers, as the tcpdump project's registry assigns them.

use crate::wire::LinkType;

/// The link layer that a number means; `None` for those that are not parsed.
pub(super) fn parsed(number: u32) -> Option<LinkType> {
    Some(match number {
        0 | 108 => LinkType::BsdLoopback,
        1 => LinkType::Ethernet,
        9 | 50 => LinkType::Ppp,
        // DLT_RAW differs between systems; 228 and 229 say the version, which the header does too.
        12 | 14 | 101 | 228 | 229 => LinkType::RawIp,
        104 => LinkType::CiscoHdlc,
        105 => LinkType::Ieee80211,
        127 => LinkType::Radiotap,
        113 => LinkType::LinuxCooked,
        276 => LinkType::LinuxCooked2,
        _ => return None,
    })
}

/// A number with the name that users know it by.
pub(super) fn name(number: u32) -> String {
    let name = match number {
        119 => "PRISM_HEADER",
        163 => "IEEE802_11_AVS",
        189 => "USB_LINUX",
        192 => "PPI",
        195 => "IEEE802_15_4_WITHFCS",
        201 => "BLUETOOTH_HCI_H4_WITH_PHDR",
        220 => "USB_LINUX_MMAPPED",
        227 => "CAN_SOCKETCAN",
        230 => "IEEE802_15_4_NOFCS",
        239 => "NFLOG",
        253 => "NETLINK",
        _ => return number.to_string(),
    };
    format!("{number} ({name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_layer_that_is_parsed_has_a_number() {
        for link in LinkType::ALL {
            assert!((0..300).any(|number| parsed(number) == Some(link)), "{link:?}");
        }
    }
}
