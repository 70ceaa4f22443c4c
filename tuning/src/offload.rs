//! Sets offloads of an interface, as `ethtool -K` does: ETHTOOL_SFEATURES.

use crate::TuningError;
use crate::ethtool::{ask, buffer, text, word};

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETH_SS_FEATURES: u32 = 4;
const NAME: usize = 32;
/// More features than any kernel has; a limit for what is allocated on the kernel's word.
const LARGEST: u32 = 4_096;

/// Turns off the features whose kernel name `chosen` takes (`tx-vlan-hw-insert`, …); those that can't be changed stay as they
/// are, which [`features::read`](crate::features::read) shows.
///
/// # Errors
/// No such interface, or no right to change it.
pub fn turn_off(interface: &str, chosen: impl Fn(&str) -> bool) -> Result<(), TuningError> {
    // struct ethtool_sset_info and struct ethtool_gstrings: see `features`.
    let mut info = buffer(20, &[ETHTOOL_GSSET_INFO]);
    info[8..16].copy_from_slice(&(1_u64 << ETH_SS_FEATURES).to_ne_bytes());
    if !ask(interface, "number of features", &mut info)? {
        return Ok(());
    }
    let count = word(&info, 16).min(LARGEST);
    let mut names = buffer(12 + count as usize * NAME, &[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count]);
    if !ask(interface, "feature names", &mut names)? {
        return Ok(());
    }
    ask(interface, "features", &mut request(&names, count, chosen))?;
    Ok(())
}

/// struct ethtool_sfeatures: command, number of blocks, then a block of two words (valid, requested) for 32 features each.
fn request(names: &[u8], count: u32, chosen: impl Fn(&str) -> bool) -> Vec<u8> {
    let blocks = count.div_ceil(32);
    let mut valid = vec![0_u32; blocks as usize];
    for number in 0..count as usize {
        if text(names, 12 + number * NAME, NAME).is_some_and(|name| chosen(&name)) {
            valid[number / 32] |= 1 << (number % 32);
        }
    }
    let mut words = vec![ETHTOOL_SFEATURES, blocks];
    words.extend(valid.into_iter().flat_map(|bits| [bits, 0]));
    buffer(words.len() * 4, &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_features_are_marked_and_wanted_off() {
        let mut names = buffer(12 + 34 * NAME, &[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, 34]);
        for (number, name) in [(1, "tx-a"), (2, "rx-b"), (33, "tx-c")] {
            names[12 + number * NAME..][..name.len()].copy_from_slice(name.as_bytes());
        }
        let asked = request(&names, 34, |name| name.starts_with("tx-"));
        assert_eq!(asked, buffer(24, &[ETHTOOL_SFEATURES, 2, 0b10, 0, 0b10, 0]));
    }

    #[test]
    fn an_interface_that_is_not_there_is_called_so() {
        assert!(matches!(turn_off("nmf-absent", |_| true), Err(TuningError::NoInterface { .. })));
    }
}
