//! How a connection goes on: who sends what next.

use crate::identity::{Identity, Protocol};
use crate::profile::Lifetime;

/// Flags of TCP (RFC 9293, section 3.1).
const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// Packets of a handshake; as many say good-bye.
const HANDSHAKE: u32 = 3;

/// What is remembered of a connection. There are millions: this stays small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// Its number among all connections since the start.
    pub(crate) number: u64,
    /// Next sequence number of each side.
    sequence: [u32; 2],
    /// Packets so far. Stops before it would wrap.
    sent: u32,
    /// Payload of the echo request that waits for its reply.
    asked: u16,
}

/// What a packet says beside its addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    Tcp { sequence: u32, acknowledged: u32, flags: u8 },
    Udp,
    Echo { sequence: u16 },
}

/// One packet, but for its addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// 0: the originator sends it; 1: the responder does.
    pub(crate) side: usize,
    pub(crate) message: Message,
    pub(crate) payload: u16,
}

impl Connection {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, sequence: [0; 2], sent: 0, asked: 0 }
    }

    /// Whether it has sent nothing yet.
    #[inline]
    pub(crate) fn is_new(&self) -> bool {
        self.sent == 0
    }

    /// Whether it has not yet sent what opens it.
    #[inline]
    pub(crate) fn is_opening(&self, protocol: Protocol) -> bool {
        self.sent < if protocol == Protocol::Tcp { HANDSHAKE } else { 2 }
    }

    /// Whether it has sent its last packet.
    #[inline]
    pub(crate) fn is_over(&self, lifetime: Lifetime) -> bool {
        matches!(lifetime, Lifetime::Packets(packets) if self.sent >= packets)
    }

    /// Its next packet: `responder` sends it and it holds `payload` bytes where the connection leaves the choice.
    #[inline]
    pub(crate) fn step(&mut self, identity: &Identity, lifetime: Lifetime, responder: bool, payload: u16) -> Step {
        let at = self.sent;
        // An endless connection's count goes on between the last two numbers, so that asking and answering alternate.
        self.sent = if at == u32::MAX { at - 1 } else { at + 1 };
        match identity.protocol {
            Protocol::Tcp => self.tcp(at, identity, lifetime, responder, payload),
            Protocol::Udp => {
                // The first asks, the second answers.
                let side = if at < 2 { at as usize } else { usize::from(responder) };
                Step { side, message: Message::Udp, payload }
            }
            Protocol::Icmp => {
                let side = (at & 1) as usize;
                if side == 0 {
                    self.asked = payload;
                }
                Step { side, message: Message::Echo { sequence: (at >> 1) as u16 }, payload: self.asked }
            }
        }
    }

    #[inline]
    fn tcp(&mut self, at: u32, identity: &Identity, lifetime: Lifetime, responder: bool, payload: u16) -> Step {
        if at == 0 {
            self.sequence = identity.first;
        }
        let left = match lifetime {
            Lifetime::Packets(packets) if packets >= 2 * HANDSHAKE => packets - at,
            _ => u32::MAX,
        };
        let closer = usize::from(identity.responder_closes);
        let (side, flags, payload) = match (at, left) {
            (0, _) => (0, SYN, 0),
            (1, _) => (1, SYN | ACK, 0),
            (2, _) => (0, ACK, 0),
            (_, 3) => (closer, FIN | ACK, 0),
            (_, 2) => (1 - closer, FIN | ACK, 0),
            (_, 1) => (closer, ACK, 0),
            _ => (usize::from(responder), PSH | ACK, payload),
        };
        let sequence = self.sequence[side];
        let acknowledged = if flags & ACK != 0 { self.sequence[1 - side] } else { 0 };
        let counted = u32::from(payload) + u32::from(flags & (SYN | FIN) != 0);
        self.sequence[side] = sequence.wrapping_add(counted);
        Step { side, message: Message::Tcp { sequence, acknowledged, flags }, payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    /// Sides and flags of a connection of so many packets.
    fn steps(packets: u32) -> Vec<(usize, u8)> {
        let profile = Profile::default();
        let identity = Identity { responder_closes: true, ..Identity::of(&profile, 7) };
        let (mut connection, lifetime) = (Connection::new(7), Lifetime::Packets(packets));
        let mut steps = Vec::new();
        while !connection.is_over(lifetime) {
            let step = connection.step(&identity, lifetime, false, 6);
            let Message::Tcp { flags, .. } = step.message else { panic!("{step:?}") };
            steps.push((step.side, flags));
        }
        steps
    }

    #[test]
    fn a_connection_shakes_hands_and_says_good_bye() {
        let (hello, bye) = ([(0, SYN), (1, SYN | ACK), (0, ACK)], [(1, FIN | ACK), (0, FIN | ACK), (1, ACK)]);
        assert_eq!(steps(6), [hello, bye].concat());
        assert_eq!(steps(8), [&hello[..], &[(0, PSH | ACK); 2], &bye].concat());
        assert_eq!(steps(1), [(0, SYN)]);
        assert_eq!(steps(3), hello);
        assert_eq!(steps(5), [&hello[..], &[(0, PSH | ACK); 2]].concat());
    }

    #[test]
    fn each_side_acknowledges_what_the_other_has_sent() {
        let identity = Identity::of(&Profile::default(), 7);
        let lifetime = Lifetime::Packets(10);
        let (mut connection, mut next) = (Connection::new(7), [identity.first[0], identity.first[1]]);
        for at in 0..10 {
            let step = connection.step(&identity, lifetime, at % 3 == 0, 100);
            let Message::Tcp { sequence, acknowledged, flags } = step.message else { panic!("{step:?}") };
            assert_eq!(sequence, next[step.side]);
            assert_eq!(acknowledged, if at == 0 { 0 } else { next[1 - step.side] });
            next[step.side] += u32::from(step.payload) + u32::from(flags & (SYN | FIN) != 0);
        }
        assert_eq!(next[0] - identity.first[0] + next[1] - identity.first[1], 4 + 4 * 100);
    }

    #[test]
    fn an_endless_echo_alternates_for_ever() {
        let profile = Profile { mix: crate::Mix { tcp: 0, udp: 0, icmp: 1 }, ..Profile::default() };
        let identity = Identity::of(&profile, 7);
        let mut connection = Connection { sent: u32::MAX - 3, ..Connection::new(7) };
        let sides: Vec<usize> = (0..6).map(|_| connection.step(&identity, Lifetime::Endless, true, 9).side).collect();
        assert_eq!(sides, [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_connection_takes_little_memory() {
        assert_eq!(size_of::<Connection>(), 24);
    }
}
