//! Which socket of a queue takes a frame.

use crate::fragment::{Datagram, Piece, settle};
use crate::hash::{Flow, HashKey, pick};
use crate::walk::{Bytes, Steer, steer};

/// Where the program remembers datagrams in pieces, with the clock that dates them. Only asked about pieces.
pub trait Memory {
    /// What is remembered of a datagram.
    fn recall(&self, datagram: &Datagram) -> Option<Piece>;
    /// Remembers it from now on.
    fn remember(&self, datagram: &Datagram, piece: &Piece);
    /// CLOCK_MONOTONIC in nanoseconds.
    fn now_ns(&self) -> u64;
}

/// The socket that takes the frame: 0 .. sockets.
#[inline(always)]
pub fn choose(frame: &impl Bytes, key: &HashKey, sockets: u32, memory: &impl Memory) -> u32 {
    let (flow, datagram, first) = match steer(frame) {
        Steer::Flow(flow) => return pick(key.flow(&flow), sockets),
        Steer::Other { source, destination } => return pick(key.stations(source, destination), sockets),
        Steer::FirstFragment { flow, datagram } => (flow, datagram, true),
        Steer::LaterFragment { datagram } => (addresses_alone(&datagram), datagram, false),
    };
    let own = pick(key.flow(&flow), sockets);
    let (socket, news) = settle(memory.recall(&datagram), memory.now_ns(), own, first, sockets);
    if let Some(piece) = news {
        memory.remember(&datagram, &piece);
    }
    socket
}

#[inline(always)]
fn addresses_alone(datagram: &Datagram) -> Flow {
    Flow {
        source: datagram.source,
        destination: datagram.destination,
        source_port: 0,
        destination_port: 0,
        protocol: datagram.protocol as u8,
    }
}
