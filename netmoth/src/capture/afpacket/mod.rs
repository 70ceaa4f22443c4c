//! Packet sockets (packet(7)): the kernel copies what goes in and out of the interface, and the host keeps its frames.
//!
//! What enters: nothing but the interface's name and the sizes. What leaves: an [`AfPacket`] for the main thread, a
//! [`PacketSource`] for each worker. Each worker has a socket with a ring of blocks (TPACKET_V3) in memory that it shares
//! with the kernel; frames are shown where the kernel put them, and a block goes back when its last frame has been shown.
//!
//! **Who gets a frame** (`fanout`). The kernel's own PACKET_FANOUT_HASH keeps the directions of a connection together, but
//! takes the ports of whole packets and not of fragments, so that a datagram in pieces and its whole neighbours part; and
//! the ports of tunnels, so that what is inside of them parts as well. A classic BPF program cannot remember datagrams as
//! the XDP program does. So ours takes the pair of addresses alone: all between two hosts goes to one worker, whatever its
//! form. What is no IP goes to the first. Reassembly by the kernel (PACKET_FANOUT_FLAG_DEFRAG) would count one packet where
//! the wire had several.
//!
//! **Nothing is counted that isn't shown.** A socket is bound with a filter that takes no frame, joins its group, and only
//! then gets the filter that takes frames; at the end it gets the first one again. A block that is not full is handed over
//! after [`RETIRE_MS`]; the end waits for that.
//!
//! **As on the wire.** A VLAN tag that the kernel took out of a frame is put back (`tag`). A frame that stands for many, for
//! the card to cut or because the kernel has joined them (GSO, GRO), is shown as its segments (`segment`), with right headers
//! and the first bytes of each. What stays whole: frames of this kind in tunnels, and those longer than IPv4's or IPv6's
//! length field (BIG TCP for IPv6). SCTP that is to be cut has no place in the kernel's description (virtio_net_hdr): the
//! kernel counts it as dropped.
//!
//! Sources: net/packet/af_packet.c, Documentation/networking/packet_mmap.rst.

mod fanout;
mod open;
mod ring;
mod segment;
mod socket;
mod source;
mod tag;

pub use open::AfPacket;
pub use source::PacketSource;

/// Milliseconds after which the kernel hands over a block that is not full (`tp_retire_blk_tov`). Records are not later for
/// it: every frame carries the time at which the kernel saw it.
const RETIRE_MS: u32 = 10;

/// Bytes of a block: the largest frame that a kernel makes of many (64 KiB) and others with it.
const BLOCK: usize = 256 * 1024;

/// Blocks of a ring at least: one to read, one to fill, and two between them.
const FEWEST_BLOCKS: usize = 4;

/// Bytes that a descriptor of `ring_size` stands for: as much as a frame of the default MTU takes in AF_XDP's memory.
const PER_DESCRIPTOR: usize = 2048;

/// Blocks of a ring for this many descriptors.
fn blocks(ring_size: u32) -> usize {
    (ring_size as usize * PER_DESCRIPTOR).div_ceil(BLOCK).max(FEWEST_BLOCKS)
}

/// Bytes of a ring for this many descriptors.
pub(crate) fn packet_ring_bytes(ring_size: u32) -> usize {
    blocks(ring_size) * BLOCK
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_ring_is_as_large_as_its_descriptors_ask_for_and_never_too_small_to_go_round() {
        assert_eq!([64, 512, 4096, 65_536].map(super::blocks), [4, 4, 32, 512]);
    }
}
