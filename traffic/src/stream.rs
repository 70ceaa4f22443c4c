//! The stream of packets.

use std::hint::black_box;

use crate::Frame;
use crate::connection::Connection;
use crate::identity::{Endpoints, Identity};
use crate::profile::{Profile, ProfileError};
use crate::random::{Random, below, chance};
use crate::write;

/// Connections that are picked ahead, so that their memory is waited for once and not for each.
const AHEAD: usize = 16;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Bytes of the frame, without its checksum (FCS).
    pub length: usize,
    /// Bytes of the IP packet in it, headers included; padding is not.
    pub ip_bytes: usize,
    /// Time stamp, in nanoseconds since the Unix epoch; never before the last one.
    pub at_ns: u64,
    /// Which connection it belongs to: their numbers count from 0.
    pub connection: u64,
    /// Whether the originator sent it.
    pub from_originator: bool,
    /// Whether it is the connection's last packet.
    pub ends: bool,
}

/// An endless stream of packets. Makes no allocation but in [`Traffic::new`].
#[derive(Clone, Debug)]
pub struct Traffic {
    profile: Profile,
    random: Random,
    connections: Vec<Connection>,
    /// The number of the next new connection.
    born: u64,
    /// Connections that have sent a packet.
    begun: u64,
    /// Connections before this one have been opened, where that comes first.
    opened: u32,
    ahead: [u32; AHEAD],
    /// How many of `ahead` are used.
    used: usize,
    now_ns: u64,
    /// Parts of a nanosecond, in 1/65536.
    fraction: u64,
    /// Twice the mean gap between packets, in 1/65536 ns.
    gap: u64,
}

impl Traffic {
    /// Traffic as `profile` says, from its beginning.
    ///
    /// # Errors
    /// A profile that can't be, or memory that is not there.
    pub fn new(profile: &Profile) -> Result<Self, ProfileError> {
        profile.check()?;
        let count = profile.connections;
        let mut connections = Vec::new();
        connections.try_reserve_exact(count as usize).map_err(|_| ProfileError::Memory(count))?;
        connections.extend((0..u64::from(count)).map(Connection::new));
        Ok(Self {
            profile: *profile,
            random: Random::new(profile.seed),
            connections,
            born: u64::from(count),
            begun: 0,
            opened: if profile.opened_first { 0 } else { count },
            ahead: [0; AHEAD],
            used: AHEAD,
            now_ns: profile.start_ns,
            fraction: 0,
            gap: (2_000_000_000 << 16) / profile.packets_per_second,
        })
    }

    /// Writes the next frame. What lies behind its end in `frame` stays as it was.
    #[inline]
    pub fn next_into(&mut self, frame: &mut Frame) -> Meta {
        let random = self.random.next();
        let at_ns = self.tick((random >> 32) as u32);
        let place = self.pick();
        let Profile { lifetime, sizes, responder_percent, .. } = self.profile;
        let connection = &mut self.connections[place];
        let number = connection.number;
        self.begun += u64::from(connection.is_new());
        let identity = Identity::of(&self.profile, number);
        let payload = usize::from(sizes.pick((random >> 16) as u16)).saturating_sub(identity.headers()) as u16;
        let step = connection.step(&identity, lifetime, chance(random as u16, responder_percent), payload);
        let ends = connection.is_over(lifetime);
        if ends {
            *connection = Connection::new(self.born);
            self.born += 1;
        }
        let written = write::frame(frame, &identity, &step);
        Meta {
            length: written.frame,
            ip_bytes: written.ip,
            at_ns,
            connection: number,
            from_originator: step.side == 0,
            ends,
        }
    }

    /// Whether the next packet still belongs to the opening (see [`Profile::opened_first`]).
    #[inline]
    pub fn is_opening(&mut self) -> bool {
        while let Some(connection) = self.connections.get(self.opened as usize) {
            // A connection that has ended since it was opened has left its place to another one.
            let open = connection.number != u64::from(self.opened)
                || !connection.is_opening(Identity::of(&self.profile, connection.number).protocol);
            if !open {
                return true;
            }
            self.opened += 1;
        }
        false
    }

    /// Who talks to whom in a connection, by its number (see [`Meta::connection`]).
    pub fn endpoints(&self, connection: u64) -> Endpoints {
        Identity::of(&self.profile, connection).into()
    }

    /// What this is the traffic of.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Connections that have sent a packet since the beginning.
    pub fn connections(&self) -> u64 {
        self.begun
    }

    /// The place of the next packet's connection.
    #[inline]
    fn pick(&mut self) -> usize {
        if self.opened < self.profile.connections && self.is_opening() {
            return self.opened as usize;
        }
        if self.used == AHEAD {
            self.pick_ahead();
        }
        let place = self.ahead[self.used];
        self.used += 1;
        place as usize
    }

    fn pick_ahead(&mut self) {
        let count = self.profile.connections;
        let mut touched = 0;
        for pair in self.ahead.chunks_exact_mut(2) {
            let random = self.random.next();
            (pair[0], pair[1]) = (below(random as u32, count), below((random >> 32) as u32, count));
        }
        for &place in &self.ahead {
            touched ^= self.connections[place as usize].number;
        }
        black_box(touched);
        self.used = 0;
    }

    /// Lets the time to the next packet pass: between nothing and twice the mean.
    #[inline]
    fn tick(&mut self, random: u32) -> u64 {
        self.fraction += ((u128::from(self.gap) * u128::from(random)) >> 32) as u64;
        self.now_ns += self.fraction >> 16;
        self.fraction &= 0xffff;
        self.now_ns
    }
}
