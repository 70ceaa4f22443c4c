//! Who the originator is where the first packet does not say so.

use crate::wire::tcp_flags::{ACK, SYN};
use crate::wire::{Fragment, Packet};

use super::table::{TCP, UDP};

/// TCP ports that servers listen on, by their registration at IANA: those of the protocols for which Zeek has an analyzer.
const TCP_SERVERS: &[u16] = &[
    20, 21, 22, 23, 25, 43, 53, 80, 81, 88, 102, 110, 135, 139, 143, 161, 162, 389, 443, 445, 465, 502, 514, 563, 585,
    587, 614, 631, 636, 989, 990, 992, 993, 995, 1080, 1434, 1883, 2811, 3128, 3268, 3306, 3389, 5060, 5222, 5223,
    5269, 5432, 6379, 6666, 6667, 6668, 6669, 8000, 8080, 8883, 8888, 20000,
];

/// UDP ports likewise.
const UDP_SERVERS: &[u16] = &[
    53, 67, 88, 123, 137, 138, 161, 162, 389, 443, 500, 514, 1434, 1812, 2123, 2152, 3389, 3478, 3544, 4500, 4789,
    5060, 5072, 5353, 5355, 6081, 20000,
];

/// Whether the receiver of a connection's first packet is its originator.
///
/// A SYN-ACK answers a SYN that was not seen. Other first packets in the middle of a connection, and datagrams, are judged
/// as Zeek does (`likely_server_ports`): what comes from a server's port and goes to a port that is none was asked for
/// by its receiver.
pub(super) fn is_flipped(packet: &Packet, source: u16, destination: u16) -> bool {
    if matches!(packet.fragment, Fragment::Later { .. }) {
        return false;
    }
    match packet.protocol {
        TCP if packet.tcp_flags & SYN != 0 => packet.tcp_flags & ACK != 0,
        TCP => match (TCP_SERVERS.contains(&source), TCP_SERVERS.contains(&destination)) {
            (true, true) => source < destination,
            (from_server, _) => from_server,
        },
        UDP => {
            UDP_SERVERS.contains(&source) && !UDP_SERVERS.contains(&destination) && !is_limited_broadcast(&packet.dst)
        }
        _ => false,
    }
}

fn is_limited_broadcast(address: &[u8; 16]) -> bool {
    *address == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
}

#[cfg(test)]
mod tests {
    use super::super::testing::packet;
    use super::*;

    fn flips(protocol: u8, source: u16, destination: u16, flags: u8) -> bool {
        let packet = Packet { tcp_flags: flags, ..packet(protocol, 1, source, 2, destination) };
        is_flipped(&packet, source, destination)
    }

    #[test]
    fn a_syn_ack_flips_whatever_the_ports_and_a_syn_never() {
        assert!(flips(TCP, 1000, 2000, SYN | ACK));
        assert!(flips(TCP, 1000, 80, SYN | ACK));
        assert!(!flips(TCP, 80, 2000, SYN));
    }

    #[test]
    fn what_comes_from_a_servers_port_was_asked_for() {
        assert!(flips(TCP, 80, 51_000, ACK));
        assert!(!flips(TCP, 51_000, 80, ACK));
        assert!(flips(TCP, 80, 443, ACK));
        assert!(!flips(TCP, 443, 80, ACK));
        assert!(flips(UDP, 53, 51_000, 0));
        assert!(!flips(UDP, 123, 123, 0));
        assert!(!flips(1, 53, 51_000, 0));
    }

    #[test]
    fn a_broadcast_answers_nobody() {
        let mut offer = packet(UDP, 1, 67, 2, 68);
        assert!(is_flipped(&offer, 67, 68));
        offer.dst = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(!is_flipped(&offer, 67, 68));
    }
}
