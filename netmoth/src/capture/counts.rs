//! What the kernel's side of capture has counted.

use netmoth_shared::fate::Fate;

use super::SocketStatistics;

/// Counts of the kernel's side, for the sums of the conservation law.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounts {
    /// Frames by fate in the XDP program, summed over queues; indexed by [`Fate`].
    pub fates: [u64; Fate::COUNT],
    /// What the kernel dropped after a redirect, summed over sockets.
    pub sockets: SocketStatistics,
}

/// The same counts of one receive queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Its number; `None` for all queues beyond those that the interface had at the start.
    pub queue: Option<u32>,
    /// Frames by fate in the XDP program; indexed by [`Fate`].
    pub fates: [u64; Fate::COUNT],
    /// What the kernel dropped after a redirect, summed over the queue's sockets.
    pub sockets: SocketStatistics,
}

impl CaptureCounts {
    /// All queues together.
    pub fn sum(queues: &[QueueCounts]) -> Self {
        let mut counts = Self::default();
        for row in queues {
            counts.fates.iter_mut().zip(row.fates).for_each(|(sum, n)| *sum += n);
            counts.sockets.add(row.sockets);
        }
        counts
    }
}
