//! What the device does to frames before anybody sees them: offloads, as `ethtool -k` lists them.
//!
//! ETHTOOL_GSSET_INFO and ETHTOOL_GSTRINGS name the features, ETHTOOL_GFEATURES says which are on.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use crate::TuningError;
use crate::ethtool::{ask, buffer, change, text, word};

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETH_SS_FEATURES: u32 = 4;
const NAME: usize = 32;
/// More features than any kernel has; a limit for what is allocated on the kernel's word.
const LARGEST: u32 = 4_096;

/// One offload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// It is on.
    pub active: bool,
    /// `ethtool -K` can change it.
    pub changeable: bool,
}

/// All features of an interface by the kernel's name (`rx-lro`, `rx-gro-hw`, `rx-vlan-hw-parse`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Features {
    by_name: BTreeMap<String, Feature>,
}

impl Features {
    /// A feature by its kernel name; `None` where the kernel does not know it.
    pub fn get(&self, name: &str) -> Option<Feature> {
        self.by_name.get(name).copied()
    }

    /// Large receive offload: the device joins segments, so packets are counted too few and too long.
    pub fn lro(&self) -> bool {
        self.is_active("rx-lro")
    }

    /// Hardware GRO: like [`lro`](Self::lro), reversible.
    pub fn gro_hw(&self) -> bool {
        self.is_active("rx-gro-hw")
    }

    /// The device takes VLAN tags off the frames, which then reach XDP without them.
    pub fn vlan_stripped(&self) -> bool {
        self.is_active("rx-vlan-hw-parse") || self.is_active("rx-vlan-stag-hw-parse")
    }

    fn is_active(&self, name: &str) -> bool {
        self.get(name).is_some_and(|feature| feature.active)
    }
}

/// Asks an interface; `None` where the kernel has no list.
///
/// # Errors
/// No such interface.
pub fn read(interface: &str) -> Result<Option<Features>, TuningError> {
    // struct ethtool_sset_info: command, reserved, 64-bit mask (a bit per set), then a count for each set that is known.
    let mut info = buffer(20, &[ETHTOOL_GSSET_INFO]);
    info[8..16].copy_from_slice(&(1_u64 << ETH_SS_FEATURES).to_ne_bytes());
    if !ask(interface, "number of features", &mut info)? {
        return Ok(None);
    }
    let count = word(&info, 16).min(LARGEST);
    // struct ethtool_gstrings: command, set, number, then 32 bytes each.
    let mut names = buffer(12 + count as usize * NAME, &[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count]);
    // struct ethtool_gfeatures: command, number of blocks, then a block of four words for 32 features each.
    let blocks = count.div_ceil(32);
    let mut states = buffer(8 + blocks as usize * 16, &[ETHTOOL_GFEATURES, blocks]);
    if !ask(interface, "feature names", &mut names)? || !ask(interface, "features", &mut states)? {
        return Ok(None);
    }
    Ok(Some(parse(&names, &states)))
}

/// Switches one feature, and no other; the inner result is the kernel's answer.
pub(crate) fn set(interface: &str, feature: &str, on: bool) -> Result<io::Result<()>, TuningError> {
    let mut info = buffer(20, &[ETHTOOL_GSSET_INFO]);
    info[8..16].copy_from_slice(&(1_u64 << ETH_SS_FEATURES).to_ne_bytes());
    ask(interface, "number of features", &mut info)?;
    let count = word(&info, 16).min(LARGEST);
    let mut names = buffer(12 + count as usize * NAME, &[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count]);
    ask(interface, "feature names", &mut names)?;
    let number = (0..count as usize).find(|number| text(&names, 12 + number * NAME, NAME).as_deref() == Some(feature));
    let Some(number) = number else { return Ok(Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))) };
    // struct ethtool_sfeatures: command, number of blocks, then for 32 features each what is meant and what is wanted.
    let blocks = count.div_ceil(32);
    let mut bytes = buffer(8 + blocks as usize * 8, &[ETHTOOL_SFEATURES, blocks]);
    let (at, bit) = (8 + number / 32 * 8, 1_u32 << (number % 32));
    bytes[at..at + 4].copy_from_slice(&bit.to_ne_bytes());
    bytes[at + 4..at + 8].copy_from_slice(&(if on { bit } else { 0 }).to_ne_bytes());
    Ok(change(interface, &mut bytes))
}

fn parse(names: &[u8], states: &[u8]) -> Features {
    let count = word(names, 8).min(LARGEST) as usize;
    let mut by_name = BTreeMap::new();
    for number in 0..count {
        let Some(name) = text(names, 12 + number * NAME, NAME) else { continue };
        let block = 8 + number / 32 * 16;
        let bit = |field: usize| word(states, block + field * 4) >> (number % 32) & 1 == 1;
        // available, requested, active, never_changed
        by_name.insert(name, Feature { active: bit(2), changeable: bit(0) && !bit(3) });
    }
    Features { by_name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits_are_brought_together() {
        let mut names = buffer(12 + 34 * NAME, &[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, 34]);
        for (number, name) in [(0, "rx-lro"), (1, "rx-gro-hw"), (33, "rx-vlan-hw-parse")] {
            names[12 + number * NAME..][..name.len()].copy_from_slice(name.as_bytes());
        }
        let states = buffer(8 + 32, &[ETHTOOL_GFEATURES, 2, 0b11, 0, 0b01, 0, 0b10, 0, 0b10, 0b10]);
        let features = parse(&names, &states);
        assert!(features.lro() && !features.gro_hw() && features.vlan_stripped());
        assert_eq!(features.get("rx-lro"), Some(Feature { active: true, changeable: true }));
        assert_eq!(features.get("rx-vlan-hw-parse"), Some(Feature { active: true, changeable: false }));
        assert_eq!(features.get("absent"), None);
        assert_eq!(parse(&names[..20], &[]), Features::default());
    }

    #[test]
    fn loopback_has_a_list() {
        let features = read("lo").unwrap().unwrap();
        assert!(features.get("rx-gro").is_some() && !features.lro(), "{features:?}");
    }
}
