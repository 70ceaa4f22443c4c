//! Why a frame is not tracked: one variant, one counter.

macro_rules! rejects {
    ($($(#[doc = $doc:literal])+ $name:ident => $label:literal,)+) => {
        /// Why a frame has no [`Packet`](super::Packet). Each variant is one counter and one metric label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reject { $($(#[doc = $doc])+ $name,)+ }

        impl Reject {
            /// All variants, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The label under which it is counted.
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }
        }
    };
}

rejects! {
    /// ARP (EtherType 0x0806).
    Arp => "arp",
    /// Any other EtherType or link-layer protocol that carries no IP.
    NotIp => "not_ip",
    /// A link type of the capture file that is not parsed.
    UnsupportedLink => "unsupported_link",
    /// The frame ends inside its link-layer header or tags.
    TruncatedLink => "truncated_link",
    /// More tags, labels and headers around each other than the parser follows.
    TooManyLayers => "too_many_layers",
    /// More tunnels in each other than the parser follows: what it followed is tracked.
    TooManyTunnels => "too_many_tunnels",
    /// The frame ends inside the IPv4 header or its options.
    TruncatedIpv4 => "truncated_ipv4",
    /// IPv4 header with an impossible version or header length, or a packet longer than its frame.
    MalformedIpv4 => "malformed_ipv4",
    /// The frame ends inside the IPv6 header or an extension header.
    TruncatedIpv6 => "truncated_ipv6",
    /// IPv6 header with an impossible version, or a packet longer than its frame.
    MalformedIpv6 => "malformed_ipv6",
    /// More IPv6 extension headers than the parser follows.
    TooManyExtensions => "too_many_extensions",
    /// The packet ends inside its TCP, UDP, ICMP or SCTP header.
    TruncatedTransport => "truncated_transport",
    /// A transport header with an impossible length.
    MalformedTransport => "malformed_transport",
}
