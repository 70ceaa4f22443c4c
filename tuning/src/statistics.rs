//! The driver's own counters, as `ethtool -S` lists them: ETHTOOL_GSTATS.

use std::collections::BTreeMap;

use crate::TuningError;
use crate::ethtool::{ask, buffer, text, word};

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
const NAME: usize = 32;
/// More counters than any driver has; a limit for what is allocated on the kernel's word.
const LARGEST: u32 = 65_536;

/// All counters of an interface by the driver's names; empty where it has none.
///
/// # Errors
/// No such interface, or a driver that fails.
pub fn read(interface: &str) -> Result<BTreeMap<String, u64>, TuningError> {
    let mut info = buffer(20, &[ETHTOOL_GSSET_INFO]);
    info[8..16].copy_from_slice(&(1_u64 << ETH_SS_STATS).to_ne_bytes());
    if !ask(interface, "number of counters", &mut info)? {
        return Ok(BTreeMap::new());
    }
    let count = word(&info, 16).min(LARGEST);
    let mut names = buffer(12 + count as usize * NAME, &[ETHTOOL_GSTRINGS, ETH_SS_STATS, count]);
    // struct ethtool_stats: command, number, then 64 bits each.
    let mut values = buffer(8 + count as usize * 8, &[ETHTOOL_GSTATS, count]);
    if !ask(interface, "names of counters", &mut names)? || !ask(interface, "counters", &mut values)? {
        return Ok(BTreeMap::new());
    }
    Ok(parse(&names, &values))
}

fn parse(names: &[u8], values: &[u8]) -> BTreeMap<String, u64> {
    let count = word(names, 8).min(word(values, 4)).min(LARGEST) as usize;
    let value = |number: usize| {
        let bytes = values.get(8 + number * 8..).and_then(|rest| rest.first_chunk::<8>());
        bytes.map(|bytes| u64::from_ne_bytes(*bytes))
    };
    (0..count).filter_map(|number| Some((text(names, 12 + number * NAME, NAME)?, value(number)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_brought_together() {
        let mut names = buffer(12 + 2 * NAME, &[ETHTOOL_GSTRINGS, ETH_SS_STATS, 2]);
        names[12..18].copy_from_slice(b"drops0");
        names[12 + NAME..][..6].copy_from_slice(b"drops1");
        let mut values = buffer(8 + 16, &[ETHTOOL_GSTATS, 2]);
        values[16..24].copy_from_slice(&(1_u64 << 40).to_ne_bytes());
        assert_eq!(parse(&names, &values), BTreeMap::from([("drops0".into(), 0), ("drops1".into(), 1 << 40)]));
        assert_eq!(parse(&names, &values[..8]), BTreeMap::new());
    }

    #[test]
    fn loopback_has_none() {
        assert_eq!(read("lo").unwrap(), BTreeMap::new());
    }
}
