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
    /// `X`: tunnels that were not followed to their end.
    Partial,
    /// `C`: a checksum that was verified and is wrong.
    Corrupt,
}

/// By code: each letter for the originator and for the responder, and [`FLIP`].
const LETTERS: [u8; 32] = *b"SsHhAaDdFfRrGgTtWwIiQqXxCc????^?";

/// Letters per word.
const PER_WORD: usize = 12;

/// Code of a place without a letter.
const NO_LETTER: u8 = 31;

/// Words without letters.
pub(super) const NO_LETTERS: [u64; 2] = [u64::MAX; 2];

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
pub(super) const FLIP: u8 = 30;

fn code_at(words: &[u64; 2], position: usize) -> u8 {
    (words[position / PER_WORD] >> (5 * (position % PER_WORD))) as u8 & NO_LETTER
}

/// Appends a letter's code. There is room for 24; later ones are not kept.
pub(super) fn push(words: &mut [u64; 2], code: u8) {
    let first_free = (0..2 * PER_WORD).find(|&position| code_at(words, position) == NO_LETTER);
    if let Some(position) = first_free {
        words[position / PER_WORD] ^= u64::from(code ^ NO_LETTER) << (5 * (position % PER_WORD));
    }
}

/// Appends the letters to `history`, where it stands: a copy of what was written letter by letter would wait for all of them.
#[inline]
pub(super) fn unpack(words: &[u64; 2], history: &mut History) {
    for position in 0..2 * PER_WORD {
        let code = code_at(words, position);
        if code == NO_LETTER {
            break;
        }
        history.push(LETTERS[usize::from(code)]);
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

    fn text(words: &[u64; 2]) -> String {
        let mut history = History::EMPTY;
        unpack(words, &mut history);
        history.as_str().to_owned()
    }

    #[test]
    fn packed_letters_come_out_as_they_went_in() {
        let mut words = NO_LETTERS;
        let all = [Letter::Syn, Letter::Handshake, Letter::Ack, Letter::Data, Letter::Fin, Letter::Reset]
            .into_iter()
            .chain([Letter::Gap, Letter::Retransmission, Letter::ZeroWindow, Letter::Inconsistent])
            .chain([Letter::MultiFlag, Letter::Partial, Letter::Corrupt]);
        assert_eq!(text(&words), "");
        push(&mut words, FLIP);
        let mut others = words;
        for (position, letter) in all.enumerate() {
            push(&mut words, letter.code(position % 2 == 1));
            push(&mut others, letter.code(position % 2 == 0));
        }
        assert_eq!(text(&words), "^ShAdFrGtWiQxC");
        assert_eq!(text(&others), "^sHaDfRgTwIqXc");
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut words = NO_LETTERS;
        (0..30).for_each(|_| push(&mut words, Letter::Reset.code(false)));
        assert_eq!(text(&words), "R".repeat(24));
    }

    #[test]
    fn powers_of_ten_are_noted_and_nothing_else_is() {
        let noted: Vec<u32> = (0..=100_000).filter(|&count| is_noted(count)).collect();
        assert_eq!(noted, [1, 10, 100, 1_000, 10_000, 100_000]);
        assert!(!is_noted(u32::MAX));
    }
}
