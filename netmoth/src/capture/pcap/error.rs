//! What keeps a capture by libpcap from starting, with what to do about it.

use crate::libpcap::LibpcapError;

/// Why libpcap doesn't do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// There is none.
    #[error("{0}; strategy: afpacket does without it")]
    Absent(LibpcapError),
    /// It has not the rights.
    #[error("libpcap may not open {0}: run as root, or give the process CAP_NET_RAW (scripts/netmoth.service does)")]
    NotPermitted(String),
    /// It says why.
    #[error("libpcap can't capture on {name}: {cause}; strategy: afpacket does without it")]
    Refused {
        /// The interface.
        name: String,
        /// libpcap's words.
        cause: LibpcapError,
    },
    /// An expression that is none.
    #[error("bpf: {expression:?} is no filter: {cause}; man pcap-filter describes the language")]
    Filter {
        /// What was to be compiled.
        expression: String,
        /// libpcap's words.
        cause: LibpcapError,
    },
}

impl PcapError {
    /// What an answer of libpcap on an interface means.
    pub(super) fn of(name: &str, cause: LibpcapError) -> Self {
        match cause {
            LibpcapError::Absent(_) => Self::Absent(cause),
            // The words of PCAP_ERROR_PERM_DENIED and PCAP_ERROR_PROMISC_PERM_DENIED.
            LibpcapError::Said(words) if words.contains("permission") => Self::NotPermitted(name.into()),
            cause => Self::Refused { name: name.into(), cause },
        }
    }
}
