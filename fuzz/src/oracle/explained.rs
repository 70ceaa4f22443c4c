//! Where the two differ by design.

macro_rules! differences {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A difference that is no defect of either.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Explained { $($(#[doc = $doc])+ $name,)+ }

        impl Explained {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

differences! {
    /// 802.3 with an LLC header: etherparse takes its length for an EtherType.
    Llc,
    /// Labels, which etherparse does not follow.
    Mpls,
    /// A PPPoE session, likewise.
    Pppoe,
    /// Tags of switches and providers (VN-Tag, E-TAG, 802.1ah, FabricPath, Ethernet in Ethernet), likewise.
    SwitchTags,
    /// etherparse follows three 802.1Q tags, ours as many as there may be layers.
    FourTags,
    /// Ours does not look behind MACsec, which etherparse does where nothing is encrypted.
    MacSec,
    /// etherparse believes the header's version and not the EtherType's; ours refuses the contradiction.
    OtherVersion,
    /// A length of 0, which segmentation offload leaves (and jumbograms have): both take what the frame has.
    LengthZero,
    /// An IPv6 packet of a protocol that may well carry nothing says that it is empty: etherparse reads the padding.
    EmptyIpv6,
    /// The bit of IPv4's flags that is reserved is set: etherparse does not keep it, so its checksum is without it.
    ReservedBit,
    /// Ours stops at an authentication header behind IPv4, and books the connection as protocol 51.
    Ipv4Authentication,
    /// More than one fragment header: what the first says is the outer one's, and no sender makes such a packet.
    TwoFragmentHeaders,
    /// Behind the fragment header of a later piece etherparse reads extension headers, which are in the first piece alone.
    BehindALaterPiece,
    /// Hop-by-hop options that are not first (RFC 8200 section 4.1): etherparse stops, ours reads on.
    HopByHopNotFirst,
    /// An authentication header that is shorter than its own first fields: etherparse stops, ours takes the 8 bytes.
    AuthenticationOfNoLength,
    /// The capture ends inside an extension header whose next-header field was read already.
    ExtensionCut,
    /// More extension headers than ours follows.
    ManyExtensions,
    /// Mobility, HIP and shim6 are extension headers of IPv6 for ours, and protocols for etherparse.
    MobilityAndKin,
    /// A first piece ends inside its transport header: ours takes the ports (RFC 1858).
    TinyFirstPiece,
    /// The capture ends inside the transport header, behind what ours needs of it.
    TransportCut,
    /// UDP's own length contradicts that of IP, which is the one that ours goes by.
    UdpLength,
    /// etherparse wants an ICMP timestamp to have its 20 bytes and no more.
    Timestamp,
    /// ICMP in IPv6, or ICMPv6 in IPv4: etherparse reads them, ours gives them no ports.
    OtherIcmp,
    /// SCTP, DCCP and UDP-Lite, which etherparse does not read.
    OtherPorts,
}

impl Explained {
    /// What stands behind an EtherType that is not IP for etherparse.
    pub(super) fn of_ethertype(ethertype: u16) -> Option<Self> {
        Some(match ethertype {
            0..1536 => Self::Llc,
            0x8847 | 0x8848 => Self::Mpls,
            0x8864 => Self::Pppoe,
            0x8926 | 0x893f | 0x88e7 | 0x8903 | 0x6558 => Self::SwitchTags,
            0x8100 | 0x88a8 | 0x9100 => Self::FourTags,
            _ => return None,
        })
    }
}
