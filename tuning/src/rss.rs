//! Receive-side scaling: which queue the device gives a frame to, and whether both directions of a connection meet there.
//!
//! ETHTOOL_GRSSH (struct ethtool_rxfh in linux/ethtool.h): hash function, key, indirection table, transform of the input.

use serde::Serialize;

use crate::TuningError;
use crate::ethtool::{ask, buffer, word};

const ETHTOOL_GRSSH: u32 = 0x46;
/// struct ethtool_rxfh before the table: command, context, two sizes, function, transform, reserved.
const HEADER: usize = 24;
/// More entries than any device has; a limit for what is allocated on a driver's word.
const LARGEST: u32 = 65_536;

/// How the device spreads frames over its queues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rss {
    /// The hash function in use; `None` for one that has no name here.
    pub function: Option<HashFunction>,
    /// Its key, as many bytes as the device has.
    pub key: Vec<u8>,
    /// The queue for each value of the hash's low bits.
    pub indirection: Vec<u32>,
    /// Whether the device makes source and destination interchangeable before it hashes (RXH_XFRM_SYM_XOR and
    /// RXH_XFRM_SYM_OR_XOR, since Linux 6.8).
    pub symmetric_input: bool,
}

/// ETH_RSS_HASH_* of the kernel's ethtool.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HashFunction {
    /// Toeplitz: symmetric by its key or its input alone.
    Toeplitz,
    /// XOR of the fields: symmetric by nature.
    Xor,
    /// CRC-32.
    Crc32,
}

/// Why both directions meet one queue, or that they don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Symmetry {
    /// The table names one queue alone.
    OneQueue,
    /// The device sorts the input.
    SymmetricInput,
    /// The function does not care for the order of its input.
    SymmetricFunction,
    /// Toeplitz with a key that repeats every 16 bits.
    RepeatingKey,
    /// The two directions of a connection may meet different queues.
    Asymmetric,
}

impl Rss {
    /// Whether both directions of every connection meet the same queue.
    pub fn symmetry(&self) -> Symmetry {
        if self.indirection.windows(2).all(|pair| pair[0] == pair[1]) && !self.indirection.is_empty() {
            return Symmetry::OneQueue;
        }
        match self.function {
            _ if self.symmetric_input => Symmetry::SymmetricInput,
            Some(HashFunction::Xor) => Symmetry::SymmetricFunction,
            Some(HashFunction::Toeplitz) if repeats(&self.key) => Symmetry::RepeatingKey,
            _ => Symmetry::Asymmetric,
        }
    }
}

/// Toeplitz shifts the key by one bit per bit of input, so exchanging fields whose distance is a multiple of the key's
/// period changes nothing: addresses and ports stand a multiple of 16 bits apart (Woo and Park, 2012).
fn repeats(key: &[u8]) -> bool {
    key.len() >= 4 && key.chunks(2).all(|pair| *pair == key[..pair.len()])
}

/// Asks an interface; `None` where its driver has no RSS to tell of.
///
/// # Errors
/// No such interface, or a driver that fails.
pub fn read(interface: &str) -> Result<Option<Rss>, TuningError> {
    // With sizes of zero the kernel tells the sizes (ethtool_get_rxfh).
    let mut head = buffer(HEADER, &[ETHTOOL_GRSSH]);
    if !ask(interface, "RSS sizes", &mut head)? {
        return Ok(None);
    }
    let (entries, key) = (word(&head, 8).min(LARGEST), word(&head, 12).min(LARGEST));
    let mut bytes = buffer(HEADER + entries as usize * 4 + key as usize, &[ETHTOOL_GRSSH, 0, entries, key]);
    Ok(ask(interface, "RSS table and key", &mut bytes)?.then(|| parse(&bytes)))
}

fn parse(bytes: &[u8]) -> Rss {
    let entries = word(bytes, 8).min(LARGEST) as usize;
    let key_size = word(bytes, 12).min(LARGEST) as usize;
    let rest = bytes.get(HEADER..).unwrap_or_default();
    let key = rest.get(entries * 4..).unwrap_or_default();
    let transform = bytes.get(17).copied().unwrap_or(0);
    Rss {
        function: match bytes.get(16) {
            Some(1) => Some(HashFunction::Toeplitz),
            Some(2) => Some(HashFunction::Xor),
            Some(4) => Some(HashFunction::Crc32),
            _ => None,
        },
        key: key[..key_size.min(key.len())].to_vec(),
        indirection: (0..entries.min(rest.len() / 4)).map(|entry| word(rest, entry * 4)).collect(),
        // 0xff says that the driver does not tell (RXH_XFRM_NO_CHANGE).
        symmetric_input: transform != 0xff && transform & 0b11 != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with a table of four entries and a key.
    fn answer(function: u8, transform: u8, table: [u32; 4], key: &[u8]) -> Vec<u8> {
        let mut bytes = buffer(HEADER, &[ETHTOOL_GRSSH, 0, 4, key.len() as u32]);
        (bytes[16], bytes[17]) = (function, transform);
        bytes.extend(table.iter().flat_map(|entry| entry.to_ne_bytes()));
        bytes.extend(key);
        bytes
    }

    const MICROSOFT: [u8; 8] = [0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2];
    const REPEATING: [u8; 8] = [0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a];

    #[test]
    fn an_answer_is_taken_apart() {
        let rss = parse(&answer(1, 0, [0, 1, 2, 3], &MICROSOFT));
        assert_eq!(rss.function, Some(HashFunction::Toeplitz));
        assert_eq!((rss.indirection, rss.key), (vec![0, 1, 2, 3], MICROSOFT.to_vec()));
    }

    #[test]
    fn symmetry_comes_by_key_input_function_or_table() {
        let symmetry =
            |function, transform, table, key: &[u8]| parse(&answer(function, transform, table, key)).symmetry();
        let spread = [0, 1, 0, 1];
        assert_eq!(symmetry(1, 0, spread, &MICROSOFT), Symmetry::Asymmetric);
        assert_eq!(symmetry(1, 0xff, spread, &MICROSOFT), Symmetry::Asymmetric);
        assert_eq!(symmetry(1, 0, spread, &REPEATING), Symmetry::RepeatingKey);
        assert_eq!(symmetry(1, 0, spread, &REPEATING[..7]), Symmetry::RepeatingKey);
        assert_eq!(symmetry(1, 1, spread, &MICROSOFT), Symmetry::SymmetricInput);
        assert_eq!(symmetry(1, 2, spread, &MICROSOFT), Symmetry::SymmetricInput);
        assert_eq!(symmetry(2, 0, spread, &MICROSOFT), Symmetry::SymmetricFunction);
        assert_eq!(symmetry(4, 0, spread, &REPEATING), Symmetry::Asymmetric);
        assert_eq!(symmetry(1, 0, [2; 4], &MICROSOFT), Symmetry::OneQueue);
        assert_eq!(symmetry(1, 0, spread, &[]), Symmetry::Asymmetric);
    }

    #[test]
    fn a_short_answer_is_read_as_far_as_it_goes() {
        let rss = parse(&buffer(HEADER + 4, &[ETHTOOL_GRSSH, 0, 4, 40]));
        assert_eq!((rss.indirection.len(), rss.key.len()), (1, 0));
        assert_eq!(parse(&[]).indirection, Vec::<u32>::new());
    }

    #[test]
    fn a_repeating_key_makes_toeplitz_symmetric() {
        let hash = |key: &[u8], input: &[u8]| {
            let bit = |bytes: &[u8], n: usize| bytes[n / 8 % bytes.len()] >> (7 - n % 8) & 1;
            let shifted = |by: usize| (0..32).fold(0_u32, |word, n| word << 1 | u32::from(bit(key, by + n)));
            (0..input.len() * 8).filter(|n| bit(input, *n) == 1).fold(0, |sum, n| sum ^ shifted(n))
        };
        let (there, back) =
            ([10, 1, 2, 3, 10, 9, 8, 7, 0x1f, 0x90, 0xc3, 0x50], [10, 9, 8, 7, 10, 1, 2, 3, 0xc3, 0x50, 0x1f, 0x90]);
        assert_eq!(hash(&REPEATING, &there), hash(&REPEATING, &back));
        assert_ne!(hash(&MICROSOFT, &there), hash(&MICROSOFT, &back));
    }

    #[test]
    fn loopback_has_none() {
        assert_eq!(read("lo").unwrap(), None);
    }
}
