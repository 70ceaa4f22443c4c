//! What can be set on a host for capture, its values, and who reads and sets them.

use serde::{Deserialize, Serialize};

use crate::TuningError;

/// One thing that can be set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// Channels: `ethtool -L`.
    Channels,
    /// Descriptors of the rings: `ethtool -G`.
    Rings,
    /// An offload by the kernel's name: `ethtool -K`.
    Feature(String),
    /// Hash function, key, indirection table and input transform: `ethtool -X`.
    Rss,
    /// The fields that a kind of flow (`udp4`, `udp6`) is hashed over: `ethtool -N IFACE rx-flow-hash`.
    FlowHash(String),
    /// A file of procfs or sysfs with one value.
    File(String),
}

impl std::fmt::Display for Setting {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Channels => out.pad("channels"),
            Self::Rings => out.pad("rings"),
            Self::Rss => out.pad("rss"),
            Self::Feature(name) => out.pad(name),
            Self::FlowHash(name) => out.pad(&format!("rx-flow-hash {name}")),
            Self::File(path) => out.pad(path),
        }
    }
}

/// What a setting stands at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Channels: rx, tx, other, combined. Rings: rx, mini, jumbo, tx.
    Counts([u32; 4]),
    /// An offload.
    Switch(bool),
    /// Everything of RSS.
    Rss(RssValue),
    /// RXH_* bits.
    Fields(u32),
    /// What a file says, without its line's end.
    Text(String),
}

/// RSS as ETHTOOL_GRSSH gives it and ETHTOOL_SRSSH takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RssValue {
    /// ETH_RSS_HASH_* bit; 0 where the driver has no choice.
    pub function: u8,
    /// RXH_XFRM_* bits; 0xff where the driver tells of none.
    pub transform: u8,
    /// The key.
    pub key: Vec<u8>,
    /// The queue for each value of the hash's low bits.
    pub table: Vec<u32>,
}

impl std::fmt::Display for Value {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Counts([rx, tx, 0, 0]) => format!("rx {rx} tx {tx}"),
            Self::Counts([0, 0, _, combined]) if *combined > 0 => format!("combined {combined}"),
            Self::Counts([a, b, c, d]) => format!("{a}/{b}/{c}/{d}"),
            Self::Switch(on) => if *on { "on" } else { "off" }.into(),
            Self::Rss(rss) => {
                let mut queues = rss.table.clone();
                queues.sort_unstable();
                queues.dedup();
                let key: String = rss.key.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                let xor = if rss.transform != 0xff && rss.transform & 3 != 0 { " symmetric-xor" } else { "" };
                format!("key {key}… over {} queues{xor}", queues.len())
            }
            Self::Fields(bits) => {
                let names = [(1_u32, 'm'), (2, 'v'), (3, 't'), (4, 's'), (5, 'd'), (6, 'f'), (7, 'n')];
                names.iter().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| *name).collect()
            }
            Self::Text(text) => text.clone(),
        };
        out.pad(&text)
    }
}

/// Reads and sets. The real one is [`Device`](crate::device::Device).
pub trait Backend {
    /// The value now; `None` where there is no such setting here.
    ///
    /// # Errors
    /// The kernel or driver fails.
    fn get(&self, setting: &Setting) -> Result<Option<Value>, TuningError>;

    /// Sets it.
    ///
    /// # Errors
    /// The kernel or driver refuses.
    fn set(&mut self, setting: &Setting, value: &Value) -> Result<(), TuningError>;
}
