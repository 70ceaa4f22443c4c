//! What can be wrong with a capture file, in sentences for the person at the terminal.

use crate::cause::Cause;
use crate::filter::FilterError;

/// Why a capture file could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FileError {
    #[error("{name} can't be opened: {cause}; check the name and your permission to read it")]
    Open { name: String, cause: Cause },
    #[error("{name} is a folder; name the capture files in it, for example {name}/*.pcap")]
    Folder { name: String },
    #[error("{name} can't be read at byte {offset}: {cause}")]
    Read { name: String, offset: u64, cause: Cause },
    #[error("{name} is not a capture file: {what}. Netmoth reads pcap and pcapng, also compressed with gzip")]
    NotACapture { name: String, what: String },
    #[error("{name} is {what}, which Netmoth does not read; convert it: editcap -F pcapng {name} new.pcapng")]
    Unsupported { name: String, what: &'static str },
    #[error(
        "{name} ends in the middle of a record (byte {offset}): the {packets} packets before it were read. Was the capture cut off?"
    )]
    Truncated { name: String, packets: u64, offset: u64 },
    #[error(
        "{name} can't be filtered: {cause}; man pcap-filter describes the language, and not all of it fits every link layer"
    )]
    Filter { name: String, cause: FilterError },
    #[error("{name} makes no sense from byte {offset} on: {what}. What came before was read")]
    Damaged { name: String, offset: u64, what: &'static str },
}

impl FileError {
    /// Says what the first bytes look like instead.
    pub(super) fn not_a_capture(name: String, first: &[u8]) -> Self {
        let what = match first {
            [] => "it is empty".into(),
            [0xd4, 0xc3, 0xb2, 0xa1, ..] | [0xa1, 0xb2, 0xc3, 0xd4, ..] => "it ends inside its pcap header".into(),
            [0x4d, 0x3c, 0xb2, 0xa1, ..] | [0xa1, 0xb2, 0x3c, 0x4d, ..] => "it ends inside its pcap header".into(),
            [0x7f, b'E', b'L', b'F', ..] => "it is a program (ELF)".into(),
            [b'P', b'K', 3, 4, ..] => "it is a zip archive; unpack it first".into(),
            [0xfd, b'7', b'z', b'X', ..] => "it is compressed with xz; unpack it first: xz -d".into(),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is compressed with zstd; unpack it first: zstd -d".into(),
            [b'B', b'Z', b'h', ..] => "it is compressed with bzip2; unpack it first: bzip2 -d".into(),
            text if text.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
                "it begins like text".into()
            }
            other => {
                let bytes: Vec<String> = other.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                format!("it begins with the bytes {}", bytes.join(" "))
            }
        };
        Self::NotACapture { name, what }
    }

    /// Whether the file was read up to a cut or damaged end, and its packets count.
    pub fn is_about_the_rest(&self) -> bool {
        matches!(self, Self::Truncated { .. } | Self::Damaged { .. })
    }
}
