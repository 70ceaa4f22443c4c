//! Why the kernel gave no answer.

use std::io;

/// A question that failed.
#[derive(Debug, thiserror::Error)]
pub enum TuningError {
    /// No device of that name in this network namespace.
    #[error("there is no interface {name} in this network namespace; ip -br link lists those that are")]
    NoInterface {
        /// Its name.
        name: String,
    },
    /// A name that no device can have.
    #[error("{name:?} can't be an interface's name: it must have 1 to 15 bytes, without slash, colon or space")]
    InvalidName {
        /// What was given.
        name: String,
    },
    /// The driver was asked and failed.
    #[error("{name} does not tell its {what}: {cause}; ethtool shows whether the driver answers at all")]
    Ethtool {
        /// The interface.
        name: String,
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// A file of procfs or sysfs can't be read.
    #[error("{path} can't be read: {cause}; mount /proc and /sys, and let this process see them")]
    File {
        /// Which one.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
    /// A file of procfs or sysfs holds something else than expected.
    #[error("{path} holds {found:?}, which is not understood; please report it with the kernel's version")]
    Content {
        /// Which one.
        path: String,
        /// The part that is not understood.
        found: String,
    },
    /// A setting was refused.
    #[error("{what} can't be set: {cause}; run as root, and see what the driver allows (ethtool, dmesg)")]
    Set {
        /// Which one.
        what: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The file of remembered settings is not usable.
    #[error("{path}: {why}")]
    Memory {
        /// Which one.
        path: String,
        /// Why, with the remedy.
        why: String,
    },
    /// Generic netlink failed.
    #[error("the kernel does not answer over netlink: {0}; allow AF_NETLINK sockets to this process")]
    Netlink(io::Error),
}

impl TuningError {
    pub(crate) fn set(setting: &crate::setting::Setting, cause: io::Error) -> Self {
        Self::Set { what: setting.to_string(), cause }
    }
}

/// Reads a file of procfs or sysfs.
pub(crate) fn read(path: &str) -> Result<String, TuningError> {
    std::fs::read_to_string(path).map_err(|cause| TuningError::File { path: path.to_owned(), cause })
}

/// The path of an interface in sysfs, where the interface exists.
pub(crate) fn interface_folder(name: &str) -> Result<String, TuningError> {
    // dev_valid_name() in net/core/dev.c; it also keeps the path below /sys/class/net.
    let valid = !name.is_empty()
        && name.len() < 16
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| matches!(c, '/' | ':') || c.is_whitespace() || c == '\0');
    if !valid {
        return Err(TuningError::InvalidName { name: name.to_owned() });
    }
    let folder = format!("/sys/class/net/{name}");
    if std::path::Path::new(&folder).is_dir() {
        Ok(folder)
    } else {
        Err(TuningError::NoInterface { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_of_sysfs_are_refused() {
        for name in ["", "..", "a/b", "a b", "a\0", "sixteen-letters-x"] {
            assert!(matches!(interface_folder(name), Err(TuningError::InvalidName { .. })), "{name:?}");
        }
        assert!(matches!(interface_folder("nmf-absent"), Err(TuningError::NoInterface { .. })));
        assert_eq!(interface_folder("lo").unwrap(), "/sys/class/net/lo");
    }
}
