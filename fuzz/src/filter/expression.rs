//! Expressions of pcap-filter(7), made of choices.

/// Bytes that are taken one by one; zeros when there are no more.
pub(super) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    fn of_these<'b>(&mut self, words: &[&'b str]) -> &'b str {
        words[self.below(words.len())]
    }

    /// Mostly a small number, sometimes any.
    fn number(&mut self) -> u32 {
        match self.byte() {
            small @ 0..=199 => u32::from(small) % 80,
            200..=229 => u32::from(self.half()),
            _ => u32::from(self.half()) << 16 | u32::from(self.half()),
        }
    }

    fn half(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn v4(&mut self) -> String {
        let [a, b, c, d] = [self.byte(), self.byte(), self.byte(), self.byte()];
        format!("{a}.{b}.{c}.{d}")
    }
}

const PROTOCOLS: &[&str] = &[
    "ip",
    "ip6",
    "arp",
    "rarp",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "sctp",
    "igmp",
    "pim",
    "ah",
    "esp",
    "vrrp",
    "vlan",
    "mpls",
    "pppoes",
    "geneve",
    "stp",
    "llc",
    "ether broadcast",
    "ether multicast",
    "ip multicast",
    "ip6 multicast",
    "multicast",
];
/// What bytes can be taken of.
const HEADERS: &[&str] = &["ether", "ip", "ip6", "arp", "tcp", "udp", "icmp", "icmp6", "sctp", "igmp"];
const DIRECTIONS: &[&str] = &["", "src ", "dst ", "src or dst ", "src and dst "];
const COMPARISONS: &[&str] = &["=", "!=", "<", ">", "<=", ">="];
const OPERATIONS: &[&str] = &["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"];

/// A whole expression, at most `depth` deep.
pub(super) fn expression(choices: &mut Choices<'_>, depth: u32) -> String {
    match choices.below(if depth == 0 { 5 } else { 8 }) {
        5 => format!("not {}", in_brackets(choices, depth - 1)),
        6 => format!("{} and {}", in_brackets(choices, depth - 1), in_brackets(choices, depth - 1)),
        7 => format!("{} or {}", in_brackets(choices, depth - 1), in_brackets(choices, depth - 1)),
        4 => format!("{} {} {}", sum(choices, 2), choices.of_these(COMPARISONS), sum(choices, 2)),
        _ => primitive(choices),
    }
}

fn in_brackets(choices: &mut Choices<'_>, depth: u32) -> String {
    // Without them, `vlan` and `mpls` move what follows: both ways are to be had.
    let inner = expression(choices, depth);
    if choices.byte() & 1 == 0 { format!("({inner})") } else { inner }
}

fn primitive(choices: &mut Choices<'_>) -> String {
    let direction = choices.of_these(DIRECTIONS);
    match choices.below(14) {
        0 => format!("{direction}host {}", choices.v4()),
        1 => format!("{direction}net {}.{}.0.0/{}", choices.byte(), choices.byte(), choices.below(17)),
        2 => format!("{}{direction}port {}", choices.of_these(&["", "tcp ", "udp ", "sctp "]), choices.half()),
        3 => format!("{direction}portrange {}-{}", choices.half(), choices.half()),
        4 => format!("ip6 {direction}host fe80::{:x}", choices.half()),
        5 => format!("ip6 {direction}net 2001:{:x}::/{}", choices.half(), choices.below(129)),
        6 => format!("vlan {}", choices.number() % 4_096),
        7 => format!("mpls {}", choices.number() % 1_048_576),
        8 => format!("{} {}", choices.of_these(&["less", "greater"]), choices.number()),
        9 => format!("{} proto {}", choices.of_these(&["ip", "ip6", "ether"]), choices.number() % 65_536),
        10 => format!("ether {direction}host 02:00:00:00:{:02x}:{:02x}", choices.byte(), choices.byte()),
        11 => format!(
            "tcp[tcpflags] & {} != 0",
            choices.of_these(&["tcp-syn", "(tcp-syn|tcp-fin)", "tcp-rst", "tcp-ack"])
        ),
        _ => choices.of_these(PROTOCOLS).to_owned(),
    }
}

/// A value: a number, bytes of a header, the length, or two values and what is between them.
fn sum(choices: &mut Choices<'_>, depth: u32) -> String {
    match choices.below(if depth == 0 { 5 } else { 8 }) {
        0 => choices.number().to_string(),
        1 => "len".into(),
        2 => format!("{}[{}]", choices.of_these(HEADERS), choices.number()),
        3 | 4 => format!("{}[{}:{}]", choices.of_these(HEADERS), choices.number(), choices.of_these(&["1", "2", "4"])),
        5 => {
            format!("{}[{}:{}]", choices.of_these(HEADERS), sum(choices, depth - 1), choices.of_these(&["1", "2", "4"]))
        }
        6 => format!("-({})", sum(choices, depth - 1)),
        _ => format!("({} {} {})", sum(choices, depth - 1), choices.of_these(OPERATIONS), sum(choices, depth - 1)),
    }
}
