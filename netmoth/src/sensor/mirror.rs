//! The mirror's part of the sums: what stands before XDP where frames are cloned.

use netmoth_shared::mirror::Count;

use super::summary::{Balance, Labelled, total};
use crate::capture::MirrorCounts;

/// Frames at the host's interface, and what became of their clones on the way to XDP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorSide {
    /// Frames that the programs saw, by direction.
    pub seen: Labelled,
    /// Frames of which there is no clone, by reason.
    pub passed: Labelled,
    /// Frames that were cloned.
    pub mirrored: u64,
    /// Clones that were lost before XDP, by reason.
    pub dropped: Labelled,
}

impl From<&MirrorCounts> for MirrorSide {
    fn from(counts: &MirrorCounts) -> Self {
        let of = |kinds: [Count; 2]| kinds.map(|kind| (kind.label(), counts.of(kind)));
        let present = |(_, n): &(&str, u64)| *n > 0;
        Self {
            seen: of([Count::Ingress, Count::Egress]).to_vec(),
            passed: of([Count::NotMatched, Count::NotCloned]).into_iter().filter(present).collect(),
            mirrored: counts.mirrored(),
            dropped: counts.dropped().into_iter().filter(present).collect(),
        }
    }
}

/// The name of the first sum.
pub(super) const SEEN: &str = "frames seen by the mirror";
/// The name of the second.
pub(super) const MIRRORED: &str = "mirrored";

impl MirrorSide {
    /// The two sums, where XDP saw `seen_by_xdp` frames. A frame on the pair that is no clone makes the second one wrong.
    pub(super) fn balances(&self, seen_by_xdp: u64) -> [Balance; 2] {
        [
            Balance::new((SEEN, total(&self.seen)), vec![("passed", total(&self.passed)), (MIRRORED, self.mirrored)]),
            Balance::new(
                (MIRRORED, self.mirrored),
                vec![("seen by XDP", seen_by_xdp), ("lost in the pair", total(&self.dropped))],
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> MirrorCounts {
        let mut counts = MirrorCounts { refused: 3, ..MirrorCounts::default() };
        for (what, n) in [(Count::Ingress, 60), (Count::Egress, 40), (Count::Mirrored, 90), (Count::QueueFull, 8)] {
            counts.counts[what as usize] = n;
        }
        counts.counts[Count::NotCloned as usize] = 2;
        counts
    }

    #[test]
    fn every_frame_at_the_interface_has_one_fate() {
        let side = MirrorSide::from(&counts());
        assert_eq!(side.passed, [("not_cloned", 2)]);
        assert_eq!(side.dropped, [("queue_full", 8), ("ring_full_or_too_long", 3)]);
        assert!(side.balances(87).iter().all(|sum| sum.off_by() == 0), "{side:?}");
    }

    #[test]
    fn a_frame_of_somebody_else_on_the_pair_is_named_aloud() {
        let [_, clones] = MirrorSide::from(&counts()).balances(88);
        assert_eq!(clones.off_by(), -1);
    }
}
