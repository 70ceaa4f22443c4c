//! Why a filter can't be had.

use crate::libpcap::LibpcapError;

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// libpcap refuses the expression, or there is no libpcap.
    #[error("{0}")]
    Libpcap(#[from] LibpcapError),
    /// A program that could run out of its own bounds; libpcap makes none.
    #[error("the compiled filter is not a program that can be run: {0}")]
    Malformed(&'static str),
    /// The kernel does not take the translation.
    #[error("the kernel does not take the filter: {cause}; {log}")]
    Refused {
        /// What it answered.
        cause: String,
        /// The end of the verifier's log.
        log: String,
    },
}
