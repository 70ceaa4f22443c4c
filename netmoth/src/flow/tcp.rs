//! The states of the two ends of a TCP connection, and what they say about the connection.
//!
//! The states and their transitions are those that Zeek documents and implements for conn.log (src/analyzer/protocol/tcp,
//! scripts/base/protocols/conn/main.zeek), so that `conn_state` means the same here.

use super::record::ConnState;
use crate::wire::tcp_flags::{ACK, FIN, RST, SYN};

/// One end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum State {
    /// Nothing seen from it.
    Inactive,
    /// It sent a SYN.
    SynSent,
    /// It sent a SYN-ACK as the first packet of all.
    SynAckSent,
    /// It was met in the middle.
    Partial,
    /// The handshake is done on its side.
    Established,
    /// It sent a FIN.
    Closed,
    /// It sent a RST.
    Reset,
}

impl State {
    #[inline]
    pub(super) fn from_bits(bits: u16) -> Self {
        match bits & 7 {
            0 => Self::Inactive,
            1 => Self::SynSent,
            2 => Self::SynAckSent,
            3 => Self::Partial,
            4 => Self::Established,
            5 => Self::Closed,
            _ => Self::Reset,
        }
    }
}

/// Both ends, by side of the key, with the state that each had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sides {
    now: [State; 2],
    before: [State; 2],
}

impl Sides {
    /// The bits that a pair of states takes.
    pub(super) const MASK: u16 = 0x0fff;

    pub(super) fn from_bits(bits: u16) -> Self {
        Self {
            now: [State::from_bits(bits), State::from_bits(bits >> 3)],
            before: [State::from_bits(bits >> 6), State::from_bits(bits >> 9)],
        }
    }

    pub(super) fn bits(self) -> u16 {
        self.now[0] as u16 | (self.now[1] as u16) << 3 | (self.before[0] as u16) << 6 | (self.before[1] as u16) << 9
    }

    /// State of one side.
    pub(super) fn state(self, side: usize) -> State {
        self.now[side]
    }

    fn set(&mut self, side: usize, state: State) {
        if self.now[side] != state {
            self.before[side] = self.now[side];
            self.now[side] = state;
        }
    }

    /// The connection is over: both closed, one reset, or one closed that never heard of the other.
    pub(super) fn is_over(self) -> bool {
        matches!(
            (self.now[0], self.now[1]),
            (State::Reset, _)
                | (_, State::Reset)
                | (State::Closed, State::Closed | State::Inactive)
                | (State::Inactive, State::Closed)
        )
    }

    /// Both sides have said their last.
    pub(super) fn is_closed_by_both(self) -> bool {
        self.now.iter().all(|state| matches!(state, State::Closed | State::Reset))
    }

    /// The side came through a handshake, and if it has closed since, it did so with a FIN.
    pub(super) fn is_clean(self, side: usize) -> bool {
        match self.now[side] {
            State::Established => true,
            State::Closed => self.before[side] == State::Established,
            _ => false,
        }
    }

    /// One side reset it.
    pub(super) fn is_reset(self) -> bool {
        self.now.contains(&State::Reset)
    }

    /// A SYN without any answer.
    pub(super) fn is_attempt(self, originator: usize) -> bool {
        matches!(self.now[originator], State::SynSent | State::SynAckSent)
            && self.now[1 - originator] == State::Inactive
    }

    /// Applies a segment of `side`. Returns true where it shows that the direction was taken wrongly (a SYN that came
    /// after its own answer): originator and responder are to be swapped.
    pub(super) fn segment(&mut self, side: usize, originator: usize, flags: u8, payload: u32) -> bool {
        let peer = 1 - side;
        match self.now[side] {
            State::Inactive => return self.first_of_side(side, originator, flags, payload),
            State::SynSent | State::SynAckSent => {
                if flags & FIN != 0 {
                    self.set(side, State::Closed);
                }
                if flags & RST != 0 {
                    self.set(side, State::Reset);
                }
            }
            State::Established | State::Partial => {
                if flags & (SYN | ACK) == SYN && self.now[side] == State::Partial && self.now[peer] == State::Inactive {
                    self.set(side, State::SynSent);
                }
                if flags & (FIN | RST) == FIN {
                    self.set(side, State::Closed);
                    if self.now[peer] == State::Reset && self.before[peer] == State::Closed {
                        // FIN and then RST of the peer was an ordinary end after all.
                        self.set(peer, State::Closed);
                    }
                }
                if flags & RST != 0 {
                    self.set(side, State::Reset);
                }
            }
            State::Closed => {
                if flags & RST != 0 && self.now[peer] != State::Closed {
                    self.set(side, State::Reset);
                }
            }
            State::Reset => {}
        }
        false
    }

    /// The first segment that a side sends.
    fn first_of_side(&mut self, side: usize, originator: usize, flags: u8, payload: u32) -> bool {
        let peer = 1 - side;
        let mut flip = false;
        if flags & SYN != 0 {
            if side == originator {
                self.set(side, if flags & ACK != 0 { State::SynAckSent } else { State::SynSent });
            } else {
                if flags & ACK == 0 && self.now[peer] == State::SynAckSent {
                    flip = true;
                    self.set(peer, State::Established);
                }
                if self.now[peer] == State::SynSent {
                    self.set(peer, State::Established);
                }
                self.set(side, State::Established);
            }
        }
        if flags & FIN != 0 {
            self.set(side, State::Closed);
        }
        if flags & RST != 0 {
            self.set(side, State::Reset);
        }
        if self.now[side] == State::Inactive {
            if side != originator && payload == 0 && self.now[originator] == State::SynSent {
                // A bare ACK to a SYN, before the SYN-ACK: some stacks do that; it says nothing yet.
            } else if flags & ACK != 0 && self.now[peer] == State::Established {
                // The SYN was missed, its answer wasn't.
                self.set(side, State::Established);
            } else {
                self.set(side, State::Partial);
            }
        }
        flip
    }

    /// Zeek's word. `payload` says whether either side has sent any, `history` what the connection's story is.
    pub(super) fn conn_state<'a>(
        self,
        originator: usize,
        payload: bool,
        history: impl FnOnce() -> &'a str,
    ) -> ConnState {
        use State::{Closed, Established, Inactive, Partial, Reset, SynAckSent, SynSent};
        let (orig, resp) = (self.now[originator], self.now[1 - originator]);
        let unseen = |state| matches!(state, Inactive | Partial);
        match (orig, resp) {
            (SynSent | SynAckSent, Reset) => ConnState::Rej,
            (Reset, Reset) if !payload => ConnState::Rej,
            (_, Reset) => {
                if unseen(orig) {
                    ConnState::Rstrh
                } else {
                    ConnState::Rstr
                }
            }
            (Reset, _) => {
                if !unseen(resp) {
                    ConnState::Rsto
                } else if gave_up(history()) {
                    ConnState::Rstos0
                } else {
                    ConnState::Oth
                }
            }
            (Closed, Closed) => ConnState::SF,
            (Closed, _) => {
                if unseen(resp) {
                    ConnState::Sh
                } else {
                    ConnState::S2
                }
            }
            (_, Closed) => {
                if unseen(orig) {
                    ConnState::Shr
                } else {
                    ConnState::S3
                }
            }
            (SynSent, Inactive) => ConnState::S0,
            (Established, Established) => ConnState::S1,
            _ => ConnState::Oth,
        }
    }
}

/// Whether the originator began with a SYN and reset before it did anything else: only then is its RST that of an
/// attempt given up, and not a stray one.
fn gave_up(history: &str) -> bool {
    let Some(rest) = history.strip_prefix('^').unwrap_or(history).strip_prefix('S') else { return false };
    rest.find('R').is_some_and(|reset| !rest[..reset].contains(['H', 'A', 'F', 'G', 'I', 'Q']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs segments `(side, flags, payload)` with side 0 as originator.
    fn state(segments: &[(usize, u8, u32)]) -> ConnState {
        let mut sides = Sides::from_bits(0);
        let mut originator = 0;
        let mut payload = false;
        for (side, flags, bytes) in segments {
            payload |= *bytes > 0;
            if sides.segment(*side, originator, *flags, *bytes) {
                originator = 1 - originator;
            }
            assert_eq!(Sides::from_bits(sides.bits()), sides);
        }
        // The letters of the flags alone, as far as they matter to a state.
        let history: String = segments
            .iter()
            .map(|(side, flags, _)| match flags & (SYN | FIN | RST) {
                _ if *side == 1 => 'a',
                SYN if flags & ACK != 0 => 'H',
                SYN => 'S',
                FIN => 'F',
                RST => 'R',
                _ => 'A',
            })
            .collect();
        sides.conn_state(originator, payload, || &history)
    }

    const SA: u8 = SYN | ACK;
    const FA: u8 = FIN | ACK;
    const RA: u8 = RST | ACK;

    #[test]
    fn every_state_of_the_documentation_is_reached_by_its_story() {
        let open: [(usize, u8, u32); 3] = [(0, SYN, 0), (1, SA, 0), (0, ACK, 0)];
        let then = |more: &[(usize, u8, u32)]| state(&[&open, more].concat());
        assert_eq!(state(&open[..1]), ConnState::S0);
        assert_eq!(state(&open[..2]), ConnState::S1);
        assert_eq!(then(&[]), ConnState::S1);
        assert_eq!(then(&[(0, ACK, 9), (0, FA, 0)]), ConnState::S2);
        assert_eq!(then(&[(1, FA, 0)]), ConnState::S3);
        assert_eq!(then(&[(0, FA, 0), (1, FA, 0), (0, ACK, 0)]), ConnState::SF);
        assert_eq!(then(&[(0, FA, 0), (1, FA, 0), (0, RST, 0)]), ConnState::SF, "RST after both FINs");
        assert_eq!(state(&[(0, SYN, 0), (1, RA, 0)]), ConnState::Rej);
        assert_eq!(then(&[(0, RA, 0)]), ConnState::Rsto);
        assert_eq!(then(&[(1, RA, 0)]), ConnState::Rstr);
        assert_eq!(state(&[(0, SYN, 0), (0, RST, 0)]), ConnState::Rstos0);
        assert_eq!(state(&[(0, RST, 0)]), ConnState::Oth, "a RST out of nowhere");
        assert_eq!(state(&[(0, ACK, 0), (0, RST, 0)]), ConnState::Oth);
        assert_eq!(state(&[(1, SA, 0), (1, RST, 0)]), ConnState::Rstrh);
        assert_eq!(state(&[(0, SYN, 0), (0, FIN, 0)]), ConnState::Sh);
        assert_eq!(state(&[(1, SA, 0), (1, FIN, 0)]), ConnState::Shr);
        assert_eq!(state(&[(0, ACK, 5), (1, ACK, 5)]), ConnState::Oth);
    }

    #[test]
    fn a_fin_after_the_peers_fin_and_reset_is_an_ordinary_end() {
        let story = [(0, SYN, 0), (1, SA, 0), (0, ACK, 0), (0, FA, 0), (0, RST, 0), (1, FA, 0)];
        assert_eq!(state(&story), ConnState::SF);
    }

    #[test]
    fn a_simultaneous_open_and_a_half_open_connection_have_their_states() {
        assert_eq!(state(&[(0, SYN, 0), (1, SYN, 0)]), ConnState::S1, "both sides call (RFC 9293 section 3.5)");
        assert_eq!(state(&[(0, SYN, 0), (1, SYN, 0), (0, SA, 0), (1, SA, 0), (0, FA, 0), (1, FA, 0)]), ConnState::SF);
        assert_eq!(state(&[(0, SYN, 0), (1, ACK, 0), (0, RST, 0)]), ConnState::Rstos0, "an ACK of something older");
        assert_eq!(state(&[(0, ACK, 9), (1, RST, 0)]), ConnState::Rstrh, "one side has forgotten the connection");
        assert_eq!(state(&[(0, SYN, 0), (1, SA, 0), (0, RA, 20)]), ConnState::Rsto, "a RST with data");
    }

    #[test]
    fn a_syn_that_comes_after_its_answer_turns_the_direction() {
        let mut sides = Sides::from_bits(0);
        // The SYN-ACK came first and its sender was taken for the originator.
        assert!(!sides.segment(0, 0, SA, 0));
        assert!(sides.segment(1, 0, SYN, 0));
        assert_eq!(sides.conn_state(1, false, || "^hS"), ConnState::S1);
    }

    #[test]
    fn connections_are_over_when_nobody_will_say_more() {
        let over = |segments: &[(usize, u8)]| {
            let mut sides = Sides::from_bits(0);
            segments.iter().for_each(|(side, flags)| {
                sides.segment(*side, 0, *flags, 0);
            });
            sides.is_over()
        };
        assert!(!over(&[(0, SYN), (1, SA), (0, ACK), (0, FA)]));
        assert!(over(&[(0, SYN), (1, SA), (0, ACK), (0, FA), (1, FA)]));
        assert!(over(&[(0, SYN), (1, RA)]));
        assert!(over(&[(0, SYN), (0, FA)]));
    }
}
