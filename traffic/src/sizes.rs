//! How long frames are.

use std::fmt;
use std::str::FromStr;

use crate::random::below;

/// Shortest frame, in bytes without its checksum (FCS): 64 bytes on the wire.
pub const MIN_SIZE: u16 = 60;

/// Longest frame that is made: as much as a frame of a UMEM holds.
pub const MAX_SIZE: u16 = 2048;

/// The simple IMIX as (frame length without FCS, how many of twelve): 64, 594 and 1518 bytes on the wire, 7:4:1.
pub const IMIX: [(u16, u32); 3] = [(60, 7), (590, 4), (1514, 1)];

/// Lengths of the frames that carry data, in bytes without the checksum (FCS, 4 bytes) but with VLAN tags.
///
/// Handshakes and good-byes of TCP carry none, and are as short as can be. Where the headers alone are longer than the
/// length asked for (IPv6 with TCP is 74 bytes), the frame is as long as its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// All the same.
    Fixed(u16),
    /// The simple IMIX, see [`IMIX`].
    Imix,
    /// From the first to the second, both included, all as often.
    Range(u16, u16),
}

impl Sizes {
    /// The longest frame.
    pub fn longest(self) -> u16 {
        match self {
            Self::Fixed(length) | Self::Range(_, length) => length,
            Self::Imix => IMIX[2].0,
        }
    }

    pub(crate) fn are_possible(self) -> bool {
        let possible = |length| (MIN_SIZE..=MAX_SIZE).contains(&length);
        match self {
            Self::Fixed(length) => possible(length),
            Self::Imix => true,
            Self::Range(low, high) => possible(low) && possible(high) && low <= high,
        }
    }

    /// One of them, by 16 random bits.
    #[inline]
    pub(crate) fn pick(self, random: u16) -> u16 {
        let random = u32::from(random) << 16;
        match self {
            Self::Fixed(length) => length,
            Self::Imix => match below(random, 12) {
                0..7 => IMIX[0].0,
                7..11 => IMIX[1].0,
                _ => IMIX[2].0,
            },
            Self::Range(low, high) => low + below(random, u32::from(high - low) + 1) as u16,
        }
    }
}

/// A text that names no frame lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizesError(String);

impl fmt::Display for SizesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} are no frame lengths; give imix, one length or a range, such as 60 or 60-1514 (bytes without FCS, {MIN_SIZE} to {MAX_SIZE})",
            self.0
        )
    }
}

impl std::error::Error for SizesError {}

impl FromStr for Sizes {
    type Err = SizesError;

    /// Reads `imix`, a length (`60`) or a range (`60-1514`).
    fn from_str(text: &str) -> Result<Self, SizesError> {
        let number = |text: &str| text.parse::<u16>().ok();
        let sizes = match text.split_once('-') {
            _ if text.eq_ignore_ascii_case("imix") => Some(Self::Imix),
            Some((low, high)) => number(low).zip(number(high)).map(|(low, high)| Self::Range(low, high)),
            None => number(text).map(Self::Fixed),
        };
        sizes.filter(|sizes| sizes.are_possible()).ok_or_else(|| SizesError(text.to_owned()))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(length) => write!(f, "{length}"),
            Self::Imix => f.write_str("imix"),
            Self::Range(low, high) => write!(f, "{low}-{high}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_they_are_written() {
        for (text, sizes) in [("imix", Sizes::Imix), ("60", Sizes::Fixed(60)), ("60-1514", Sizes::Range(60, 1514))] {
            assert_eq!((text.parse(), sizes.to_string().as_str()), (Ok(sizes), text));
        }
        for wrong in ["", "59", "2049", "1514-60", "60-", "-60", "60-1514-9", "big", "70000"] {
            let error = wrong.parse::<Sizes>().unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")) && error.contains("60-1514"), "{error}");
        }
    }

    #[test]
    fn imix_is_seven_four_and_one_of_twelve() {
        let mut counts = [0_u32; 3];
        for random in 0..=u16::MAX {
            let picked = Sizes::Imix.pick(random);
            counts[IMIX.iter().position(|&(length, _)| length == picked).unwrap()] += 1;
        }
        for ((_, share), count) in IMIX.iter().zip(counts) {
            assert!(count.abs_diff(share * 65_536 / 12) <= 1, "{counts:?}");
        }
    }

    #[test]
    fn a_range_has_both_its_ends() {
        let picked: Vec<u16> = (0..=u16::MAX).map(|random| Sizes::Range(60, 63).pick(random)).collect();
        for length in 60..=63 {
            assert_eq!(picked.iter().filter(|&&other| other == length).count(), 16_384);
        }
    }
}
