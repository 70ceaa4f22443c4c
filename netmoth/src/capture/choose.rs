//! `strategy: auto`: the best way that works here, and why not the better ones.
//!
//! What is known beforehand is judged without touching anything ([`objection`], which `netmoth check` asks as well); what is
//! left is tried, best first. The order is that of what a packet costs.

use log::info;

use super::{CaptureConfig, CaptureError, Interface, Live, Mode, Source, Strategy};

/// A way to capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// XDP takes the frames.
    Tap,
    /// Programs at traffic control clone them.
    Mirror,
    /// Packet sockets copy them.
    AfPacket,
    /// libpcap does.
    Pcap,
}

impl Way {
    /// All of them, best first.
    pub const ALL: [Self; 4] = [Self::Tap, Self::Mirror, Self::AfPacket, Self::Pcap];

    /// The strategy as the configuration has it, and its mode.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tap => "ebpf (tap)",
            Self::Mirror => "ebpf (mirror)",
            Self::AfPacket => "afpacket",
            Self::Pcap => "pcap",
        }
    }

    /// The configuration that asks for this way and no other.
    pub fn alone(self, config: &CaptureConfig) -> CaptureConfig {
        let (strategy, mode) = match self {
            Self::Tap => (Strategy::Ebpf, Mode::Tap),
            Self::Mirror => (Strategy::Ebpf, Mode::Mirror),
            Self::AfPacket => (Strategy::AfPacket, config.mode),
            Self::Pcap => (Strategy::Pcap, config.mode),
        };
        CaptureConfig { strategy, mode, ..config.clone() }
    }
}

/// What speaks against a way before it is tried, as half a sentence.
pub fn objection(way: Way, interface: &Interface, config: &CaptureConfig) -> Option<String> {
    match way {
        Way::Tap if config.mode == Mode::Mirror => Some("mode: mirror is set".into()),
        Way::Tap => {
            let uses = interface.use_by_host().filter(|_| !config.exclusive)?;
            Some(format!("{} {uses}, and frames that XDP takes never reach the host", interface.name))
        }
        Way::Mirror if config.mode == Mode::Tap => Some("mode: tap is set".into()),
        Way::Mirror if !config.queues.is_empty() => {
            Some("queues: is set, and a mirror takes its frames from no queue".into())
        }
        Way::Mirror => None,
        Way::AfPacket | Way::Pcap if !config.queues.is_empty() => {
            Some("queues: is set, and packet sockets know no receive queues".into())
        }
        Way::AfPacket | Way::Pcap if config.busy_poll_us > 0 => {
            Some("busy_poll: is set, and packet sockets can't poll the driver".into())
        }
        Way::AfPacket | Way::Pcap => None,
    }
}

/// Tries what nothing speaks against, best first, and says why not what would have been better.
///
/// # Errors
/// An interface that nobody can capture on; else why the last way didn't work.
pub(super) fn open(config: &CaptureConfig) -> Result<(Live, Vec<Source>), CaptureError> {
    let interface = Interface::find(&config.interface)?;
    if !interface.running {
        return Err(CaptureError::Down { name: interface.name });
    }
    let mut last = CaptureError::NoWay { name: interface.name.clone() };
    for way in Way::ALL {
        if let Some(why) = objection(way, &interface, config) {
            info!("strategy: auto does not take {}: {why}", way.name());
            continue;
        }
        match Live::open(&way.alone(config)) {
            Ok(opened) => {
                info!("strategy: auto takes {}", way.name());
                return Ok(opened);
            }
            Err(why) => {
                info!("strategy: auto does not take {}: {why}", way.name());
                last = why;
            }
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(address: bool) -> Interface {
        Interface {
            name: "eth7".into(),
            index: 7,
            mtu: 1_500,
            driver: "ixgbe".into(),
            queues: 2,
            running: true,
            addresses: if address { vec![[192, 0, 2, 1].into()] } else { Vec::new() },
            default_route: address,
            above: Vec::new(),
        }
    }

    fn open_to(address: bool, change: impl FnOnce(&mut CaptureConfig)) -> Vec<Way> {
        let mut config = CaptureConfig { mode: Mode::Auto, ..CaptureConfig::new("eth7") };
        change(&mut config);
        Way::ALL.into_iter().filter(|way| objection(*way, &interface(address), &config).is_none()).collect()
    }

    #[test]
    fn an_interface_of_the_host_is_never_taken_from_it() {
        assert_eq!(open_to(false, |_| {}), Way::ALL);
        assert_eq!(open_to(true, |_| {}), [Way::Mirror, Way::AfPacket, Way::Pcap]);
        assert_eq!(open_to(true, |config| config.exclusive = true), Way::ALL, "unless the configuration says so");
        let why = objection(Way::Tap, &interface(true), &CaptureConfig::new("eth7")).unwrap();
        assert!(why.contains("192.0.2.1") && why.contains("default route"), "{why}");
    }

    #[test]
    fn what_only_one_way_can_do_leaves_only_that_way() {
        assert_eq!(open_to(false, |config| config.queues = vec![1]), [Way::Tap]);
        assert_eq!(open_to(false, |config| config.busy_poll_us = 20), [Way::Tap, Way::Mirror]);
        assert_eq!(open_to(false, |config| config.mode = Mode::Mirror), [Way::Mirror, Way::AfPacket, Way::Pcap]);
        assert_eq!(open_to(false, |config| config.mode = Mode::Tap), [Way::Tap, Way::AfPacket, Way::Pcap]);
    }

    #[test]
    fn a_way_alone_asks_for_itself() {
        let config = CaptureConfig { strategy: Strategy::Auto, ..CaptureConfig::new("eth7") };
        let alone = Way::ALL.map(|way| way.alone(&config).strategy);
        assert_eq!(alone, [Strategy::Ebpf, Strategy::Ebpf, Strategy::AfPacket, Strategy::Pcap]);
    }
}
