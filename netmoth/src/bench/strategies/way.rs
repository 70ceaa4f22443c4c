//! The strategies that are compared.

use std::fmt;

use clap::ValueEnum;

use crate::capture::{CaptureConfig, Mode, Strategy};

/// One way to capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// libpcap
    Pcap,
    /// Packet sockets with a ring
    Afpacket,
    /// AF_XDP takes the frames from the host
    EbpfTap,
    /// AF_XDP takes clones of the frames
    EbpfMirror,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pcap, Self::Afpacket, Self::EbpfTap, Self::EbpfMirror];

    /// Its lines of a configuration file, in one.
    pub(super) fn line(self) -> &'static str {
        match self {
            Self::Pcap => "strategy: pcap",
            Self::Afpacket => "strategy: afpacket",
            Self::EbpfTap => "strategy: ebpf, mode: tap",
            Self::EbpfMirror => "strategy: ebpf, mode: mirror",
        }
    }

    /// The same for the library; one worker.
    pub(super) fn config(self, interface: &str) -> CaptureConfig {
        let (strategy, mode) = match self {
            Self::Pcap => (Strategy::Pcap, Mode::Auto),
            Self::Afpacket => (Strategy::AfPacket, Mode::Auto),
            Self::EbpfTap => (Strategy::Ebpf, Mode::Tap),
            Self::EbpfMirror => (Strategy::Ebpf, Mode::Mirror),
        };
        // A veth has no zero-copy: to ask for it brings a warning each time.
        CaptureConfig { strategy, mode, zero_copy: false, ..CaptureConfig::new(interface) }
    }
}

impl fmt::Display for Way {
    /// As `--only` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcap => "pcap",
            Self::Afpacket => "afpacket",
            Self::EbpfTap => "ebpf-tap",
            Self::EbpfMirror => "ebpf-mirror",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_called_as_it_is_asked_for() {
        for way in Way::ALL {
            assert_eq!(Way::from_str(&way.to_string(), false), Ok(way));
        }
        assert_eq!(Way::ALL.as_slice(), Way::value_variants());
    }

    #[test]
    fn the_lines_mean_what_the_library_is_told() {
        for way in Way::ALL {
            let text = format!("interface: x0\n{}\n", way.line().replace(", ", "\n"));
            let config = crate::config::Config::parse(&text).unwrap();
            let told = way.config("x0");
            assert_eq!((config.strategy, config.mode), (told.strategy, told.mode), "{way}");
        }
    }
}
