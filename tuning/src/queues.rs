//! The queues of an interface: those that are there (sysfs), and how many there could be (ETHTOOL_GCHANNELS).

use serde::Serialize;

use crate::TuningError;
use crate::error::interface_folder;
use crate::ethtool::{ask, buffer, word};

const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// struct ethtool_channels: command, four maxima, four counts.
const SIZE: usize = 9 * 4;

/// How many queues there are, and could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Queues {
    /// Receive queues.
    pub receive: u32,
    /// Transmit queues.
    pub transmit: u32,
    /// What `ethtool -L` may set; `None` where the driver's number is fixed.
    pub channels: Option<Channels>,
}

/// Channels of a device: interrupts with the queues that they serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Channels {
    /// Channels with a receive queue in use, combined ones among them.
    pub receive: u32,
    /// The most that the device has.
    pub receive_limit: u32,
}

/// Counts the queues of an interface.
///
/// # Errors
/// No such interface, or a driver that fails.
pub fn read(interface: &str) -> Result<Queues, TuningError> {
    let path = format!("{}/queues", interface_folder(interface)?);
    let entries = std::fs::read_dir(&path).map_err(|cause| TuningError::File { path, cause })?;
    let names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let count = |prefix| names.iter().filter(|name| name.starts_with(prefix)).count() as u32;
    let mut bytes = buffer(SIZE, &[ETHTOOL_GCHANNELS]);
    let channels = ask(interface, "channels", &mut bytes)?.then(|| parse(&bytes));
    Ok(Queues { receive: count("rx-"), transmit: count("tx-"), channels })
}

fn parse(bytes: &[u8]) -> Channels {
    let field = |number: usize| word(bytes, number * 4);
    // 1 to 4: maxima of rx, tx, other, combined; 5 to 8: what is set of them.
    Channels { receive: field(5).saturating_add(field(8)), receive_limit: field(1).max(field(4)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combined_channels_count_as_receiving_ones() {
        let bytes = buffer(SIZE, &[ETHTOOL_GCHANNELS, 0, 0, 1, 63, 0, 0, 1, 8]);
        assert_eq!(parse(&bytes), Channels { receive: 8, receive_limit: 63 });
        let bytes = buffer(SIZE, &[ETHTOOL_GCHANNELS, 4, 4, 0, 0, 2, 2, 0, 0]);
        assert_eq!(parse(&bytes), Channels { receive: 2, receive_limit: 4 });
    }

    #[test]
    fn loopback_has_a_queue_each_way() {
        let queues = read("lo").unwrap();
        assert!(queues.receive >= 1 && queues.transmit >= 1, "{queues:?}");
    }
}
