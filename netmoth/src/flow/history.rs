//! The letters of a connection's history, packed: five bits each, twelve to a word.

use super::record::History;

/// What can happen on a connection, in Zeek's letters (upper case: originator, lower case: responder).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Letter {
    /// `S`: SYN without ACK.
    Syn,
    /// `H`: SYN with ACK, the handshake's answer.
    Handshake,
    /// `A`: ACK without payload.
    Ack,
    /// `D`: payload.
    Data,
    /// `F`: FIN.
    Fin,
    /// `R`: RST.
    Reset,
    /// `G`: the peer acknowledged bytes that were never seen.
    Gap,
    /// `T`: payload that was sent before.
    Retransmission,
    /// `W`: zero window.
    ZeroWindow,
    /// `I`: FIN and RST together.
    Inconsistent,
    /// `Q`: SYN together with FIN or RST.
    MultiFlag,
}

const NAMES: [u8; 11] = *b"SHADFRGTWIQ";
const FLIPPED: u8 = 24;

/// Letters per word.
const PER_WORD: usize = 12;
/// Letters that the cold half of an entry holds; more go to an irregular block.
pub(super) const INLINE: usize = 2 * PER_WORD;

impl Letter {
    /// Its bit among the letters that a side has shown.
    pub(super) fn bit(self) -> u16 {
        1 << self as u8
    }

    /// Its code in a packed word.
    pub(super) fn code(self, responder: bool) -> u8 {
        (self as u8) << 1 | u8::from(responder)
    }
}

/// Code of `^`.
pub(super) const FLIP: u8 = FLIPPED;

/// Writes `code` at place `position` of the words.
pub(super) fn put(words: &mut [u64; 2], position: usize, code: u8) {
    if let Some(word) = words.get_mut(position / PER_WORD) {
        *word |= u64::from(code & 31) << (5 * (position % PER_WORD));
    }
}

/// Appends the first `count` letters of the words to `history`.
pub(super) fn unpack(words: &[u64; 2], count: usize, history: &mut History) {
    for position in 0..count.min(INLINE) {
        let code = (words[position / PER_WORD] >> (5 * (position % PER_WORD))) as u8 & 31;
        let letter = match NAMES.get(usize::from(code >> 1)) {
            Some(name) if code & 1 == 1 => name.to_ascii_lowercase(),
            Some(&name) => name,
            None => b'^',
        };
        history.push(letter);
    }
}

/// Zeek's logarithmic scale: the event is noted at its 1st, 10th, 100th, … time.
pub(super) fn is_noted(count: u32) -> bool {
    let mut power = 1u32;
    loop {
        if count <= power {
            return count == power;
        }
        match power.checked_mul(10) {
            Some(next) => power = next,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_letters_come_out_as_they_went_in() {
        let mut words = [0; 2];
        let all = [Letter::Syn, Letter::Handshake, Letter::Ack, Letter::Data, Letter::Fin, Letter::Reset]
            .into_iter()
            .chain([Letter::Gap, Letter::Retransmission, Letter::ZeroWindow, Letter::Inconsistent])
            .chain([Letter::MultiFlag]);
        put(&mut words, 0, FLIP);
        let mut count = 1;
        for letter in all {
            put(&mut words, count, letter.code(count % 2 == 0));
            count += 1;
        }
        let mut history = History::EMPTY;
        unpack(&words, count, &mut history);
        assert_eq!(history.as_str(), "^ShAdFrGtWiQ");
    }

    #[test]
    fn powers_of_ten_are_noted_and_nothing_else_is() {
        let noted: Vec<u32> = (0..=100_000).filter(|&count| is_noted(count)).collect();
        assert_eq!(noted, [1, 10, 100, 1_000, 10_000, 100_000]);
        assert!(!is_noted(u32::MAX));
    }
}
