//! What a driver can do for XDP, as the driver itself says: family `netdev` of generic netlink, since Linux 6.3
//! (Documentation/netlink/specs/netdev.yaml).

use std::io;

use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use serde::Serialize;

use crate::{TuningError, link};

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
/// struct nlmsghdr, and struct genlmsghdr behind it.
const HEADER: usize = 16;
const PAYLOAD: usize = HEADER + 4;
/// Flags in an attribute's type (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
const TYPE_MASK: u16 = 0x3fff;

/// The driver's word on XDP (enum netdev_xdp_act).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct XdpFeatures {
    /// Native mode: the program runs in the driver.
    pub native: bool,
    /// The program may redirect frames, which AF_XDP needs.
    pub redirect: bool,
    /// AF_XDP without a copy.
    pub zero_copy: bool,
    /// Frames of more than one buffer, so of more than a page.
    pub multi_buffer: bool,
}

/// Asks about an interface; `None` where the kernel is older than the question.
///
/// # Errors
/// No such interface, or no netlink.
pub fn read(interface: &str) -> Result<Option<XdpFeatures>, TuningError> {
    let index = link::read(interface)?.index;
    let socket = open().map_err(TuningError::Netlink)?;
    let name = attribute(CTRL_ATTR_FAMILY_NAME, b"netdev\0");
    let family = ask(&socket, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name).map_err(TuningError::Netlink)?;
    let family = family.as_deref().and_then(|answer| find(answer, CTRL_ATTR_FAMILY_ID));
    let Some(family) = family.and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes) else { return Ok(None) };
    let device = attribute(NETDEV_A_DEV_IFINDEX, &index.to_ne_bytes());
    let answer = ask(&socket, family, NETDEV_CMD_DEV_GET, &device).map_err(TuningError::Netlink)?;
    Ok(answer.as_deref().and_then(features))
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// One question, one answer: its attributes. `None` where the kernel knows no such family, command or device.
fn ask(socket: &Socket, family: u16, command: u8, attributes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    socket.send(&message(family, command, attributes), 0)?;
    let (datagram, _) = socket.recv_from_full()?;
    answer(&datagram)
}

fn message(family: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PAYLOAD + attributes.len());
    bytes.extend(((PAYLOAD + attributes.len()) as u32).to_ne_bytes());
    bytes.extend(family.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence and port: one question is under way at a time, and the kernel knows the port.
    bytes.extend([0; 8]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend(attributes);
    bytes
}

fn answer(datagram: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "an answer was cut short");
    let length = datagram.get(..4).and_then(|four| four.try_into().ok()).map(u32::from_ne_bytes).ok_or_else(cut)?;
    let kind = datagram.get(4..6).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes).ok_or_else(cut)?;
    let body = datagram.get(HEADER..length as usize).ok_or_else(cut)?;
    if kind == NLMSG_ERROR {
        let code = body.get(..4).and_then(|four| four.try_into().ok()).map(i32::from_ne_bytes).ok_or_else(cut)?;
        return match code.saturating_neg() {
            libc::ENOENT | libc::EOPNOTSUPP | libc::EINVAL | libc::ENODEV => Ok(None),
            errno => Err(io::Error::from_raw_os_error(errno)),
        };
    }
    Ok(Some(body.get(PAYLOAD - HEADER..).ok_or_else(cut)?.to_vec()))
}

/// struct nlattr with its value, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The value of the first attribute of a kind.
fn find(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let found = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let value = attributes.get(4..length)?;
        if found == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn features(attributes: &[u8]) -> Option<XdpFeatures> {
    let bits = u64::from_ne_bytes(find(attributes, NETDEV_A_DEV_XDP_FEATURES)?.try_into().ok()?);
    let bit = |number: u32| bits >> number & 1 == 1;
    Some(XdpFeatures { native: bit(0), redirect: bit(1), zero_copy: bit(3), multi_buffer: bit(5) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let mut attributes = attribute(NETDEV_A_DEV_IFINDEX, &7_u32.to_ne_bytes());
        attributes.extend(attribute(NETDEV_A_DEV_XDP_FEATURES, &0b10_1011_u64.to_ne_bytes()));
        let body = answer(&message(0x20, NETDEV_CMD_DEV_GET, &attributes)).unwrap().unwrap();
        let expected = XdpFeatures { native: true, redirect: true, zero_copy: true, multi_buffer: true };
        assert_eq!(features(&body), Some(expected));
        assert_eq!(features(&attribute(NETDEV_A_DEV_IFINDEX, &[0; 4])), None);
    }

    #[test]
    fn a_kernel_that_does_not_know_the_question_says_nothing() {
        let refusal = |code: i32| {
            let mut bytes = message(NLMSG_ERROR, 0, &[0; 16]);
            bytes[HEADER..HEADER + 4].copy_from_slice(&code.to_ne_bytes());
            answer(&bytes)
        };
        assert!(matches!(refusal(-libc::ENOENT), Ok(None)));
        assert!(refusal(-libc::EPERM).is_err());
    }

    #[test]
    fn answers_that_are_cut_short_are_errors_or_empty() {
        let whole = message(0x20, 1, &attribute(NETDEV_A_DEV_XDP_FEATURES, &[1; 8]));
        for length in 0..whole.len() {
            assert!(answer(&whole[..length]).is_err(), "{length}");
        }
        for bytes in [&[][..], &[0; 4], &[255; 8], &[3, 0, 3, 0]] {
            assert_eq!(find(bytes, NETDEV_A_DEV_XDP_FEATURES), None, "{bytes:?}");
        }
    }

    #[test]
    fn loopback_has_no_native_mode() {
        assert!(read("lo").unwrap().is_none_or(|features| !features.native));
    }
}
