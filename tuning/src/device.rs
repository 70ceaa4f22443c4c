//! The settings of a real interface, over the ethtool ioctl, sysfs and procfs.

use std::io;

use crate::TuningError;
use crate::error::interface_folder;
use crate::ethtool::{ask, buffer, change, word};
use crate::features;
use crate::setting::{Backend, RssValue, Setting, Value};

const GRINGPARAM: u32 = 0x10;
const SRINGPARAM: u32 = 0x11;
const GCHANNELS: u32 = 0x3c;
const SCHANNELS: u32 = 0x3d;
const GRXFH: u32 = 0x29;
const SRXFH: u32 = 0x2a;
const GRSSH: u32 = 0x46;
const SRSSH: u32 = 0x47;
const NINE_WORDS: usize = 36;
/// struct ethtool_rxfh before the table.
const RSS_HEADER: usize = 24;
/// More entries than any device has.
const LARGEST: u32 = 65_536;
/// struct ethtool_rxnfc: command, flow type, 64-bit data (the fields), a rule of 168 bytes, a count.
const FLOW: usize = 192;

/// An interface of this host.
#[derive(Clone, Debug)]
pub struct Device {
    name: String,
}

impl Device {
    /// An interface by name.
    ///
    /// # Errors
    /// No such interface.
    pub fn open(name: &str) -> Result<Self, TuningError> {
        interface_folder(name)?;
        Ok(Self { name: name.to_owned() })
    }

    /// The most that there can be of channels (rx, tx, other, combined) or of ring descriptors (rx, mini, jumbo, tx).
    ///
    /// # Errors
    /// A driver that fails.
    pub fn limits(&self, setting: &Setting) -> Result<Option<[u32; 4]>, TuningError> {
        Ok(self.words(setting)?.map(|bytes| [1, 2, 3, 4].map(|n| word(&bytes, n * 4))))
    }

    /// struct ethtool_channels and struct ethtool_ringparam are both a command, four limits and four counts.
    fn words(&self, setting: &Setting) -> Result<Option<Vec<u8>>, TuningError> {
        let (command, what) = match setting {
            Setting::Rings => (GRINGPARAM, "ring sizes"),
            _ => (GCHANNELS, "channels"),
        };
        let mut bytes = buffer(NINE_WORDS, &[command]);
        Ok(ask(&self.name, what, &mut bytes)?.then_some(bytes))
    }

    fn rss(&self) -> Result<Option<Value>, TuningError> {
        let mut head = buffer(RSS_HEADER, &[GRSSH]);
        if !ask(&self.name, "RSS sizes", &mut head)? {
            return Ok(None);
        }
        let (entries, key) = (word(&head, 8).min(LARGEST), word(&head, 12).min(LARGEST));
        let mut bytes = buffer(RSS_HEADER + entries as usize * 4 + key as usize, &[GRSSH, 0, entries, key]);
        if !ask(&self.name, "RSS table and key", &mut bytes)? {
            return Ok(None);
        }
        let key_at = RSS_HEADER + entries as usize * 4;
        Ok(Some(Value::Rss(RssValue {
            function: bytes[16],
            transform: bytes[17],
            key: bytes[key_at..].to_vec(),
            table: (0..entries as usize).map(|n| word(&bytes, RSS_HEADER + n * 4)).collect(),
        })))
    }

    fn set_rss(&self, rss: &RssValue) -> io::Result<()> {
        let table = if rss.table.is_empty() { u32::MAX } else { rss.table.len() as u32 };
        let mut bytes = buffer(RSS_HEADER, &[SRSSH, 0, table, rss.key.len() as u32]);
        (bytes[16], bytes[17]) = (rss.function, rss.transform);
        bytes.extend(rss.table.iter().flat_map(|queue| queue.to_ne_bytes()));
        bytes.extend(&rss.key);
        change(&self.name, &mut bytes)
    }
}

fn flow_type(name: &str) -> u32 {
    // UDP_V4_FLOW and UDP_V6_FLOW
    if name == "udp6" { 0x06 } else { 0x02 }
}

/// What a file says: where it lists choices, the one in brackets.
fn chosen(text: &str) -> String {
    let bracketed = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    bracketed.map_or(text.trim(), |(word, _)| word).to_owned()
}

impl Backend for Device {
    fn get(&self, setting: &Setting) -> Result<Option<Value>, TuningError> {
        Ok(match setting {
            Setting::Channels | Setting::Rings => {
                self.words(setting)?.map(|bytes| Value::Counts([5, 6, 7, 8].map(|n| word(&bytes, n * 4))))
            }
            Setting::Feature(name) => {
                features::read(&self.name)?.and_then(|list| list.get(name)).map(|feature| Value::Switch(feature.active))
            }
            Setting::Rss => self.rss()?,
            Setting::FlowHash(name) => {
                let mut bytes = buffer(FLOW, &[GRXFH, flow_type(name)]);
                let told = ask(&self.name, "flow hash fields", &mut bytes)?;
                told.then(|| Value::Fields(word(&bytes, 8) | word(&bytes, 12)))
            }
            Setting::File(path) => std::fs::read_to_string(path).ok().map(|text| Value::Text(chosen(&text))),
        })
    }

    fn set(&mut self, setting: &Setting, value: &Value) -> Result<(), TuningError> {
        let done = match (setting, value) {
            (Setting::Channels | Setting::Rings, Value::Counts(counts)) => {
                let Some(mut bytes) = self.words(setting)? else {
                    return Err(TuningError::set(setting, io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
                };
                let command = if *setting == Setting::Rings { SRINGPARAM } else { SCHANNELS };
                bytes[..4].copy_from_slice(&command.to_ne_bytes());
                for (place, count) in bytes[20..].chunks_exact_mut(4).zip(counts) {
                    place.copy_from_slice(&count.to_ne_bytes());
                }
                change(&self.name, &mut bytes)
            }
            (Setting::Feature(name), Value::Switch(on)) => features::set(&self.name, name, *on)?,
            (Setting::Rss, Value::Rss(rss)) => self.set_rss(rss),
            (Setting::FlowHash(name), Value::Fields(bits)) => {
                let mut bytes = buffer(FLOW, &[SRXFH, flow_type(name)]);
                bytes[8..16].copy_from_slice(&u64::from(*bits).to_ne_bytes());
                change(&self.name, &mut bytes)
            }
            (Setting::File(path), Value::Text(text)) => std::fs::write(path, text),
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        done.map_err(|cause| TuningError::set(setting, cause))
    }
}
