//! The link: what sysfs says of an interface.

use serde::Serialize;

use crate::TuningError;
use crate::error::{interface_folder, read as read_file};

const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_PROMISC: u32 = 0x100;

/// The state of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// A cable with somebody at its end; `None` while the interface is down and does not say.
    pub carrier: Option<bool>,
    /// RFC 2863's operational state: `up`, `down`, `unknown`, `lowerlayerdown`, …
    pub operstate: String,
    /// Takes frames for others already.
    pub promiscuous: bool,
    /// Loopback, on which XDP in the driver does not exist.
    pub loopback: bool,
    /// The bridge or bond that it belongs to.
    pub master: Option<String>,
    /// Speed in Mbit/s; `None` for virtual devices and without a carrier.
    pub speed_mbps: Option<u32>,
    /// NUMA node of the device; `None` for virtual devices and on machines with one node.
    pub numa_node: Option<u32>,
}

/// Reads the state of an interface.
///
/// # Errors
/// No such interface, or sysfs that can't be read.
pub fn read(interface: &str) -> Result<Link, TuningError> {
    let folder = interface_folder(interface)?;
    let number = |file: &str| {
        let path = format!("{folder}/{file}");
        let text = read_file(&path)?;
        text.trim().parse::<u32>().map_err(|_| TuningError::Content { path, found: text.trim().to_owned() })
    };
    let path = format!("{folder}/flags");
    let text = read_file(&path)?;
    let flags = flags(&text).ok_or_else(|| TuningError::Content { path, found: text.trim().to_owned() })?;
    let master = std::fs::read_link(format!("{folder}/master")).ok();
    Ok(Link {
        index: number("ifindex")?,
        mtu: number("mtu")?,
        up: flags & IFF_UP != 0,
        // Reading it of an interface that is down is an error (EINVAL).
        carrier: number("carrier").ok().map(|carrier| carrier == 1),
        operstate: read_file(&format!("{folder}/operstate"))?.trim().to_owned(),
        promiscuous: flags & IFF_PROMISC != 0,
        loopback: flags & IFF_LOOPBACK != 0,
        master: master.and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned())),
        // -1 where it is unknown, or no file content at all.
        speed_mbps: number("speed").ok().filter(|speed| *speed > 0),
        numa_node: number("device/numa_node").ok(),
    })
}

fn flags(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_hexadecimal() {
        assert_eq!(flags("0x1103\n"), Some(0x1103));
        assert_eq!((flags("1103"), flags("0x")), (None, None));
    }

    #[test]
    fn loopback_is_read() {
        let link = read("lo").unwrap();
        assert!(link.loopback && link.master.is_none() && link.mtu > 0 && link.index == 1, "{link:?}");
        assert!(matches!(read("nmf-absent"), Err(TuningError::NoInterface { .. })));
    }
}
