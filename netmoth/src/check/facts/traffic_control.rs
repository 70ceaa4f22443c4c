//! What stands at traffic control of an interface: tcx programs, and filters of clsact.

use std::fmt;
use std::io;

use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};

use crate::capture::netlink;

/// The two ways through an interface, with the parent of clsact's filters there (TC_H_MIN_INGRESS, TC_H_MIN_EGRESS).
const WAYS: [(Way, u16); 2] = [(Way::Ingress, 0xfff2), (Way::Egress, 0xfff3)];
/// Programs come and go while they are asked about.
const ATTEMPTS: u32 = 8;

/// Of received or of sent frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Received.
    Ingress,
    /// Sent.
    Egress,
}

/// A program or a filter, in the order in which frames meet them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcProgram {
    /// Where it stands.
    pub way: Way,
    /// `tcx`, or the kind of the filter: `bpf`, `matchall`, `flower`.
    pub kind: String,
    /// The kernel's number, as in `bpftool prog show id`; `None` for filters that are no programs.
    pub id: Option<u32>,
    /// The name that it was loaded with.
    pub name: Option<String>,
}

impl fmt::Display for TcProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, id, name, .. } = self;
        let way = match self.way {
            Way::Ingress => "ingress",
            Way::Egress => "egress",
        };
        match (name, id) {
            (Some(name), Some(id)) => write!(f, "`{name}` (id {id}, {kind} {way})"),
            (Some(name), None) => write!(f, "`{name}` ({kind} filter, {way})"),
            (None, Some(id)) => write!(f, "id {id} ({kind} {way})"),
            (None, None) => write!(f, "a {kind} filter ({way})"),
        }
    }
}

/// All of them; tcx programs first, as frames meet them first.
pub(super) fn read(interface: &str, index: u32) -> Result<Vec<TcProgram>, String> {
    let mut found = Vec::new();
    for (way, minor) in WAYS {
        found.extend(tcx(interface, way).map_err(|why| {
            format!(
                "the programs at traffic control of {interface} can't be asked for: {why}; run as root (CAP_SYS_ADMIN)"
            )
        })?);
        found.extend(filters(index, way, minor).map_err(|why| {
            format!("the filters at traffic control of {interface} can't be asked for: {why}; allow AF_NETLINK sockets")
        })?);
    }
    Ok(found)
}

fn tcx(interface: &str, way: Way) -> Result<Vec<TcProgram>, String> {
    let attach_type = match way {
        Way::Ingress => TcAttachType::Ingress,
        Way::Egress => TcAttachType::Egress,
    };
    let mut attempt = 0;
    let error = loop {
        attempt += 1;
        match SchedClassifier::query_tcx(interface, attach_type) {
            Ok((_, programs)) => {
                let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
                let programs = programs.iter().map(|program| TcProgram {
                    way,
                    kind: "tcx".into(),
                    id: Some(program.id()),
                    name: program.name_as_str().and_then(name),
                });
                return Ok(programs.collect());
            }
            Err(ProgramError::SyscallError(failed)) => match failed.io_error.raw_os_error() {
                // A kernel without tcx (before 6.6).
                Some(libc::EINVAL | libc::EOPNOTSUPP) => return Ok(Vec::new()),
                // One of those that were listed has gone.
                Some(libc::ENOENT) if attempt < ATTEMPTS => {}
                // Its number alone may be asked with CAP_NET_ADMIN.
                Some(libc::EPERM) if failed.call == "bpf_prog_get_fd_by_id" => {
                    break "some are there, and root alone may ask which".to_owned();
                }
                _ => break failed.io_error.to_string(),
            },
            Err(other) => break other.to_string(),
        }
    };
    Err(error)
}

fn filters(index: u32, way: Way, minor: u16) -> io::Result<Vec<TcProgram>> {
    let mut question = TcMessage::default();
    question.header.index = index as i32;
    question.header.parent = TcHandle { major: 0xffff, minor };
    let answers = match netlink::dump(RouteNetlinkMessage::GetTrafficFilter(question)) {
        // A kernel without traffic control has nothing there.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        answers => answers?,
    };
    Ok(answers.into_iter().filter_map(|answer| filter(answer, way)).collect())
}

/// A filter; `None` for the message that comes before those of one priority, and has no options.
fn filter(answer: RouteNetlinkMessage, way: Way) -> Option<TcProgram> {
    let RouteNetlinkMessage::NewTrafficFilter(message) = answer else { return None };
    let mut found = TcProgram { way, kind: String::new(), id: None, name: None };
    let mut has_options = false;
    for attribute in message.attributes {
        match attribute {
            TcAttribute::Kind(kind) => found.kind = kind,
            TcAttribute::Options(options) => {
                has_options = true;
                for option in options {
                    match option {
                        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => found.name = Some(name),
                        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => found.id = Some(id),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    has_options.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(attributes: Vec<TcAttribute>) -> RouteNetlinkMessage {
        let mut message = TcMessage::default();
        message.attributes = attributes;
        RouteNetlinkMessage::NewTrafficFilter(message)
    }

    #[test]
    fn a_filter_is_named_by_what_it_is() {
        let options = [TcFilterBpfOption::ProgName("cil_from_netdev".into()), TcFilterBpfOption::ProgId(77)];
        let options = TcAttribute::Options(options.into_iter().map(TcOption::Bpf).collect());
        let found = filter(answer(vec![TcAttribute::Kind("bpf".into()), options]), Way::Egress).unwrap();
        assert_eq!(found.to_string(), "`cil_from_netdev` (id 77, bpf egress)");
        let attributes = vec![TcAttribute::Kind("flower".into()), TcAttribute::Options(Vec::new())];
        assert_eq!(filter(answer(attributes), Way::Ingress).unwrap().to_string(), "a flower filter (ingress)");
    }

    #[test]
    fn the_head_of_a_priority_is_no_filter() {
        assert_eq!(filter(answer(vec![TcAttribute::Kind("bpf".into())]), Way::Ingress), None);
    }

    #[test]
    fn nothing_stands_at_loopback_of_a_plain_host() {
        // Without rights it is an error with a remedy.
        match read("lo", 1) {
            Ok(programs) => assert!(programs.iter().all(|program| !program.kind.is_empty()), "{programs:?}"),
            Err(why) => assert!(why.contains("root"), "{why}"),
        }
    }
}
