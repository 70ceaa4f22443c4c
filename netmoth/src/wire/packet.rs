//! What the parser learned from one frame.

/// `Packet::vlan` and `Packet::inner_vlan` where the frame has no such tag (a VLAN identifier has 12 bits).
pub const NO_VLAN: u16 = u16::MAX;

/// The link layer of a frame, as capture files name it (LINKTYPE_ values of the tcpdump project's registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the registry's")]
pub enum LinkType {
    Ethernet,
    RawIp,
    LinuxCooked,
    LinuxCooked2,
    BsdLoopback,
    Ppp,
    CiscoHdlc,
    Ieee80211,
    Radiotap,
}

impl LinkType {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Ethernet,
        Self::RawIp,
        Self::LinuxCooked,
        Self::LinuxCooked2,
        Self::BsdLoopback,
        Self::Ppp,
        Self::CiscoHdlc,
        Self::Ieee80211,
        Self::Radiotap,
    ];
}

/// What a packet was carried in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the protocols'")]
pub enum Tunnel {
    Vxlan,
    Geneve,
    Gre,
    Erspan,
    IpInIp,
    Gtp,
    Teredo,
    Ayiya,
}

impl Tunnel {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Vxlan, Self::Geneve, Self::Gre, Self::Erspan, Self::IpInIp, Self::Gtp, Self::Teredo, Self::Ayiya];

    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Gre => "gre",
            Self::Erspan => "erspan",
            Self::IpInIp => "ip",
            Self::Gtp => "gtp",
            Self::Teredo => "teredo",
            Self::Ayiya => "ayiya",
        }
    }

    /// Whether its identifier names a network, the same in both directions (VNI of RFC 7348 and RFC 8926). A GTP tunnel has
    /// one for each direction, and a key of GRE may mean anything.
    pub fn names_a_network(self) -> bool {
        matches!(self, Self::Vxlan | Self::Geneve)
    }
}

/// Where a packet's headers stand, and whether its payload may hold another packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inside {
    pub(super) carrier: Carrier,
    /// Headers read so far, see [`MAX_LAYERS`](super::MAX_LAYERS).
    pub(super) layers: u8,
    /// Where the transport header stands in the frame.
    pub(super) transport: u32,
    /// Where it would begin in the frame.
    pub(super) offset: u32,
    /// Where the payload ends on the wire; [`u32::MAX`] in the first piece of a datagram, which says no end.
    pub(super) end: u32,
}

/// How a packet would be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// Not at all.
    None,
    /// Right behind the IP header.
    Ip,
    /// Behind a GRE header, which stands behind that of IP.
    Gre,
    /// Behind a UDP header; the ports say more.
    Udp,
}

impl Inside {
    pub(crate) const NOTHING: Self = Self { carrier: Carrier::None, layers: 0, transport: 0, offset: 0, end: 0 };
}

/// IP version of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IpVersion {
    V4 = 4,
    V6 = 6,
}

/// Which piece of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// The whole datagram.
    Whole,
    /// The first piece: it has the transport header. `id` is the IPv4 or IPv6 identification.
    First {
        /// Identification, shared by all pieces of the datagram.
        id: u32,
    },
    /// A later piece: no ports.
    Later {
        /// Identification, shared by all pieces of the datagram.
        id: u32,
    },
}

/// TCP flag bits (RFC 9293 section 3.1).
#[expect(missing_docs, reason = "the names are the RFC's")]
pub mod tcp_flags {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;
}

/// One IP packet as the flow table sees it. Addresses and ports stand as sent: `src` sent it.
///
/// What differs from packet to packet stands first, and what nearly all have in common behind it: the parser then writes the
/// latter in a few pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Packet {
    /// Source address in network order; IPv4 as its IPv4-mapped form (RFC 4291 section 2.5.5.2).
    pub src: [u8; 16],
    /// Destination address, likewise.
    pub dst: [u8; 16],
    /// IP bytes: the header's total length, header included (IPFIX octetDeltaCount).
    pub ip_bytes: u32,
    /// Bytes behind the transport header, by the IP header's length and so without link padding.
    pub payload_bytes: u32,
    /// Bytes behind the IP header, that of the transport included.
    pub transport_bytes: u32,
    /// TCP sequence number; 0 for other protocols.
    pub tcp_seq: u32,
    /// TCP acknowledgement number; 0 for other protocols.
    pub tcp_ack: u32,
    /// Source port of TCP, UDP, SCTP and their kin; the type of ICMP and ICMPv6; else 0.
    pub src_port: u16,
    /// Destination port; the code of ICMP and ICMPv6; else 0.
    pub dst_port: u16,
    /// TCP window as sent, unscaled.
    pub tcp_window: u16,
    /// TCP flags, see [`tcp_flags`]; 0 for other protocols.
    pub tcp_flags: u8,
    /// IANA protocol number of the transport (after IPv6 extension headers).
    pub protocol: u8,
    /// The IPv4 header checksum is wrong (counted, never a reason to drop).
    pub bad_checksum: bool,
    /// IP version; keeps a genuine IPv6 packet with mapped addresses apart from IPv4.
    pub version: IpVersion,
    /// The transport checksum was verified and is wrong, see [`is_corrupt`](super::is_corrupt).
    pub corrupt: bool,
    /// The first piece of a datagram ends inside the transport header, or before it: of TCP only the ports and the sequence
    /// number are known (RFC 1858).
    pub tiny: bool,
    /// It carries a packet in more tunnels than are followed.
    pub too_deep: bool,
    /// The innermost tunnel that it came in.
    pub tunnel: Option<Tunnel>,
    /// Outer 802.1Q identifier, or [`NO_VLAN`].
    pub vlan: u16,
    /// Second 802.1Q identifier, or [`NO_VLAN`].
    pub inner_vlan: u16,
    /// Where this piece stands in its datagram, in units of eight bytes; 0 for whole ones.
    pub piece_offset: u16,
    /// Names the way of tunnels that it came: the same for both directions of a tunnel, 0 outside of tunnels.
    pub carrier: u16,
    /// Which piece of a datagram this is.
    pub fragment: Fragment,
    /// Its VNI, key, session, call or TEID, where it has one.
    pub tunnel_id: Option<u32>,
    /// What may be inside of it.
    pub(crate) inside: Inside,
}

impl Packet {
    /// A packet without contents: what a batch is filled with before there is one.
    pub const BLANK: Self = Self {
        src: [0; 16],
        dst: [0; 16],
        src_port: 0,
        dst_port: 0,
        protocol: 0,
        version: IpVersion::V4,
        vlan: NO_VLAN,
        inner_vlan: NO_VLAN,
        ip_bytes: 0,
        payload_bytes: 0,
        tcp_seq: 0,
        tcp_ack: 0,
        tcp_window: 0,
        tcp_flags: 0,
        fragment: Fragment::Whole,
        piece_offset: 0,
        tiny: false,
        transport_bytes: 0,
        tunnel: None,
        tunnel_id: None,
        carrier: 0,
        too_deep: false,
        inside: Inside::NOTHING,
        bad_checksum: false,
        corrupt: false,
    };

    /// Whether [`decapsulate`](super::decapsulate) is worth a call.
    #[inline]
    pub fn may_be_a_tunnel(&self) -> bool {
        self.inside.carrier != Carrier::None
    }

    /// Whether it says nothing but who sends how much to whom: whole, unharmed, and in no tunnel.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        (self.fragment == Fragment::Whole) & (self.carrier == 0) & !self.too_deep & !self.corrupt & !self.tiny
    }

    /// Whether the packet stands for what it carries, once that could be read: GRE and IP in IP have no connections of
    /// their own (as in Zeek). Tunnels over UDP are connections beside those that they carry.
    #[inline]
    pub fn is_only_a_tunnel(&self) -> bool {
        matches!(self.inside.carrier, Carrier::Ip | Carrier::Gre)
    }
}
