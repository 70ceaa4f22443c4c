//! What the kernel says over rtnetlink about an interface and the XDP program on it.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkInfo, LinkMessage, LinkXdp};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::{ProgramError, XdpMode};

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedProgram {
    /// The kernel's number of the program, as in `bpftool prog show id`.
    pub id: u32,
    /// The name that it was loaded with; None where it has none or this process may not ask (CAP_SYS_ADMIN).
    pub name: Option<String>,
    /// Where it runs (offloaded to the card counts as native).
    pub mode: XdpMode,
}

impl std::fmt::Display for AttachedProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "`{name}` (id {}, {} mode)", self.id, self.mode),
            None => write!(f, "id {} ({} mode)", self.id, self.mode),
        }
    }
}

/// The XDP program on an interface of this network namespace, if there is one.
///
/// # Errors
/// Where there is no such interface, or the kernel doesn't answer.
pub fn attached_program(interface: &str) -> Result<Option<AttachedProgram>, ProgramError> {
    Ok(interface_facts(interface)?.program.map(|(id, mode)| AttachedProgram { id, name: name_of(id), mode }))
}

/// What error messages say about an interface.
#[derive(Debug, Default)]
pub(super) struct InterfaceFacts {
    /// Largest IP packet in bytes.
    pub(super) mtu: u32,
    /// The driver, or the kind of a virtual device.
    pub(super) driver: Option<String>,
    program: Option<(u32, XdpMode)>,
}

pub(super) fn interface_facts(interface: &str) -> Result<InterfaceFacts, ProgramError> {
    let link = ask(interface).map_err(|source| match source.raw_os_error() {
        Some(libc::ENODEV | libc::ERANGE | libc::EINVAL) => {
            ProgramError::NoInterface { interface: interface.to_owned() }
        }
        _ => ProgramError::Netlink { interface: interface.to_owned(), source: source.into() },
    })?;
    let mut facts = InterfaceFacts { driver: sysfs_driver(interface), ..InterfaceFacts::default() };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => facts.mtu = *mtu,
            LinkAttribute::Xdp(xdp) => facts.program = program_of(xdp),
            LinkAttribute::LinkInfo(infos) if facts.driver.is_none() => {
                facts.driver = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Ok(facts)
}

/// With programs in several modes at once the kernel gives no single number: the native one is named then.
fn program_of(xdp: &[LinkXdp]) -> Option<(u32, XdpMode)> {
    let find = |pick: fn(&LinkXdp) -> Option<u32>| xdp.iter().find_map(pick).filter(|id| *id != 0);
    let native = find(|entry| match entry {
        LinkXdp::DrvProgId(id) | LinkXdp::HwProgId(id) => Some(*id),
        _ => None,
    });
    let generic = find(|entry| match entry {
        LinkXdp::SkbProgId(id) => Some(*id),
        _ => None,
    });
    native.map(|id| (id, XdpMode::Native)).or(generic.map(|id| (id, XdpMode::Generic)))
}

fn name_of(id: u32) -> Option<String> {
    let infos = aya::programs::loaded_programs();
    let info = infos.filter_map(Result::ok).find(|info| info.id() == id)?;
    info.name_as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The driver of a device that has hardware. Sysfs shows the network namespace that it was mounted in, so the name is
/// taken only where netlink knows the interface too, and a virtual one has no `device`.
fn sysfs_driver(interface: &str) -> Option<String> {
    let link = std::fs::read_link(format!("/sys/class/net/{interface}/device/driver")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

/// One RTM_GETLINK by name.
fn ask(interface: &str) -> io::Result<LinkMessage> {
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut question = LinkMessage::default();
    question.attributes.push(LinkAttribute::IfName(interface.to_owned()));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(question));
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut request = vec![0; message.buffer_len()];
    message.serialize(&mut request);
    socket.send(&request, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(link),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("the kernel answered something else than a link")),
    }
}
