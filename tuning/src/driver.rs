//! The driver of an interface: ETHTOOL_GDRVINFO, what `ethtool -i` prints.

use serde::Serialize;

use crate::TuningError;
use crate::ethtool::{ask, buffer, text};

const ETHTOOL_GDRVINFO: u32 = 0x03;
/// struct ethtool_drvinfo: command, five texts of 32 bytes, 12 reserved, five counts.
const SIZE: usize = 4 + 5 * 32 + 12 + 5 * 4;

/// Who drives the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Driver {
    /// Its name: `veth`, `ixgbe`, `mlx5_core`.
    pub name: String,
    /// Its version; for drivers of the kernel's tree, the kernel's.
    pub version: Option<String>,
    /// The device's firmware.
    pub firmware: Option<String>,
    /// Where the device is: a PCI address such as `0000:03:00.0`.
    pub bus: Option<String>,
}

/// Asks an interface's driver who it is; `None` where there is none to ask (loopback).
///
/// # Errors
/// No such interface, or a driver that fails.
pub fn read(interface: &str) -> Result<Option<Driver>, TuningError> {
    let mut bytes = buffer(SIZE, &[ETHTOOL_GDRVINFO]);
    Ok(if ask(interface, "driver", &mut bytes)? { parse(&bytes) } else { None })
}

fn parse(bytes: &[u8]) -> Option<Driver> {
    let field = |number: usize| text(bytes, 4 + 32 * number, 32).filter(|text| text != "N/A");
    Some(Driver { name: field(0)?, version: field(1), firmware: field(2), bus: field(3) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let mut bytes = buffer(SIZE, &[ETHTOOL_GDRVINFO]);
        for (number, field) in ["ixgbe", "6.1.0", "0x800003e1", "0000:03:00.0"].iter().enumerate() {
            bytes[4 + 32 * number..][..field.len()].copy_from_slice(field.as_bytes());
        }
        let driver = parse(&bytes).unwrap();
        assert_eq!((driver.name.as_str(), driver.bus.as_deref()), ("ixgbe", Some("0000:03:00.0")));
        assert_eq!((driver.version.as_deref(), driver.firmware.as_deref()), (Some("6.1.0"), Some("0x800003e1")));
        assert_eq!(parse(&buffer(SIZE, &[])), None);
    }

    #[test]
    fn loopback_is_asked_without_an_error() {
        assert!(read("lo").is_ok());
        assert!(matches!(read("nmf-absent"), Err(TuningError::NoInterface { .. })));
    }
}
