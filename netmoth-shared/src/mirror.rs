//! The mirror: programs at the host interface's traffic control that send clones of its frames into a private veth pair.
//!
//! Their sums: `ingress + egress = not matched + not cloned + queue full + mirrored`, all in frames.

use crate::walk::Bytes;
#[cfg(doc)]
use crate::{STAGE_FILTER, STAGE_MATCHED, STAGE_UNMATCHED};

/// The program at ingress.
pub const INGRESS: &str = "netmoth_ingress";
/// The program at egress.
pub const EGRESS: &str = "netmoth_egress";
/// The program of slot [`STAGE_MATCHED`]: mirrors.
pub const MATCHED: &str = "netmoth_mirror";
/// The program of slot [`STAGE_UNMATCHED`]: counts, and lets pass.
pub const UNMATCHED: &str = "netmoth_unmirrored";

/// The program behind XDP at the pair's far end: drops.
pub const DROP: &str = "netmoth_drop";

/// One-element array of [`MirrorSettings`].
pub const MIRROR_SETTINGS_MAP: &str = "MIRROR_SETTINGS";
/// Per-CPU array of `u64`, indexed by [`Count`].
pub const MIRROR_COUNTS_MAP: &str = "MIRROR_COUNTS";
/// Program array of the [stages](crate::STAGES).
pub const MIRROR_STAGES_MAP: &str = "MIRROR_STAGES";

/// What the sensor tells the programs once, before they are attached.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MirrorSettings {
    /// Index of the end of the pair that clones are sent out of.
    pub ifindex: u32,
    /// 1 where a filter stands at [`STAGE_FILTER`].
    pub filtered: u32,
    /// 1 where that end has a queue of its own (a qdisc): a send that the kernel calls dropped never entered it then. Without
    /// one the same word speaks of a frame that the device itself counts as dropped.
    pub queued: u32,
    /// Always 0; makes the tail of the layout explicit.
    pub reserved: u32,
}

const _: () = assert!(size_of::<MirrorSettings>() == 16 && align_of::<MirrorSettings>() == 4);

/// What the programs count, in frames: a buffer that the kernel cuts later (GSO) or has joined before (GRO) counts as the
/// frames that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Count {
    /// Seen on their way in.
    Ingress = 0,
    /// Seen on their way out.
    Egress = 1,
    /// A clone went into the pair.
    Mirrored = 2,
    /// The filter doesn't ask for them.
    NotMatched = 3,
    /// The kernel made no clone: no memory, or no pair.
    NotCloned = 4,
    /// Cloned, but the pair's queue was full.
    QueueFull = 5,
}

impl Count {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// All of them; each stands at the index of its number.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Ingress, Self::Egress, Self::Mirrored, Self::NotMatched, Self::NotCloned, Self::QueueFull];

    /// The name in metrics and summaries.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Mirrored => "mirrored",
            Self::NotMatched => "not_matched",
            Self::NotCloned => "not_cloned",
            Self::QueueFull => "queue_full",
        }
    }
}

/// What became of a clone, by the return value of `bpf_clone_redirect` (that of `dev_queue_xmit`, net/core/dev.c): negative
/// where it never got there, positive (NET_XMIT_DROP) where it was dropped there.
#[inline(always)]
pub const fn fate(returned: i64, queued: bool) -> Count {
    if returned < 0 {
        Count::NotCloned
    } else if returned > 0 && queued {
        Count::QueueFull
    } else {
        Count::Mirrored
    }
}

/// How many frames a socket buffer of `length` bytes stands for, by its `gso_segs` and `gso_size`. A buffer from a virtual
/// machine or a tun device has a size but no number yet (SKB_GSO_DODGY); it is what the kernel will find when it cuts it
/// (net/core/dev.c, qdisc_pkt_len_init).
#[inline(always)]
pub fn frames(segments: u32, size: u32, length: u32, bytes: &impl Bytes) -> u32 {
    if size == 0 {
        1
    } else if segments > 0 {
        segments
    } else {
        let payload = length.saturating_sub(headers(bytes));
        let cut = payload.wrapping_add(size).wrapping_sub(1) / size;
        if cut > 0 { cut } else { 1 }
    }
}

/// Bytes before the payload of TCP or UDP.
#[inline(always)]
fn headers(bytes: &impl Bytes) -> u32 {
    const ETHERNET: usize = 14;
    let first = u32::from(bytes.u16(ETHERNET).unwrap_or(0));
    let (network, protocol) = if first >> 12 == 6 {
        (40, bytes.u16(ETHERNET + 6).unwrap_or(0) >> 8)
    } else {
        ((first >> 8 & 0x0f) * 4, bytes.u16(ETHERNET + 8).unwrap_or(0) & 0xff)
    };
    let transport =
        if protocol == 6 { u32::from(bytes.u16(ETHERNET + network as usize + 12).unwrap_or(0) >> 12) * 4 } else { 8 };
    ETHERNET as u32 + network + transport
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_stands_at_its_number_and_has_a_label_of_its_own() {
        for (index, count) in Count::ALL.iter().enumerate() {
            assert_eq!(*count as usize, index);
            assert!(Count::ALL.iter().all(|other| other == count || other.label() != count.label()));
        }
    }

    #[test]
    fn a_clone_has_one_fate() {
        assert_eq!([fate(0, true), fate(0, false), fate(1, false)], [Count::Mirrored; 3]);
        assert_eq!(
            (fate(1, true), fate(-12, true), fate(-12, false)),
            (Count::QueueFull, Count::NotCloned, Count::NotCloned)
        );
    }

    #[test]
    fn a_buffer_that_is_not_cut_is_one_frame() {
        let none: &[u8] = &[];
        assert_eq!(frames(0, 0, 60, &none), 1);
        assert_eq!(frames(1, 0, 1514, &none), 1);
        assert_eq!(frames(45, 1448, 65_226, &none), 45);
    }

    #[test]
    fn a_buffer_without_a_number_is_counted_by_its_payload() {
        let mut v4 = [0_u8; 128];
        (v4[14], v4[23], v4[14 + 20 + 12]) = (0x45, 6, 0x80);
        assert_eq!(frames(0, 1448, 66 + 2 * 1448, &v4.as_slice()), 2);
        assert_eq!(frames(0, 1448, 66 + 2 * 1448 + 1, &v4.as_slice()), 3);
        let mut v6 = [0_u8; 128];
        (v6[14], v6[20]) = (0x60, 17);
        assert_eq!(frames(0, 1000, 62 + 1000, &v6.as_slice()), 1);
        assert_eq!(frames(0, 1000, 62 + 1001, &v6.as_slice()), 2);
        assert_eq!(frames(0, 1000, 10, &v6.as_slice()), 1, "a length that can't be is one frame");
    }
}
