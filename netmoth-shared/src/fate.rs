//! The fates of a frame in the XDP program. Their sum is the number of frames that the program saw.

/// What became of a frame; every frame has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Fate {
    /// Handed to an AF_XDP socket. Whether the socket had room for it is in its XDP_STATISTICS.
    Redirected = 0,
    /// Passed to the host: it came in on a queue that isn't captured.
    QueueNotCaptured = 1,
    /// Passed to the host: the queue is captured, but no socket stands at the index chosen (start-up and shutdown).
    NoSocket = 2,
    /// Passed to the host: the capture filter doesn't ask for it.
    NotMatched = 3,
}

impl Fate {
    /// How many fates there are.
    pub const COUNT: usize = 4;
    /// All fates; each stands at the index of its number.
    pub const ALL: [Self; Self::COUNT] = [Self::Redirected, Self::QueueNotCaptured, Self::NoSocket, Self::NotMatched];

    /// The name in metrics and summaries.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::QueueNotCaptured => "queue_not_captured",
            Self::NoSocket => "no_socket",
            Self::NotMatched => "not_matched",
        }
    }

    /// Whether the frame went on to the host's own stack.
    pub const fn is_pass(self) -> bool {
        !matches!(self, Self::Redirected)
    }
}

/// Slots of the map of fates: a row for each of `queues`, and one for all queues beyond. None where that overflows.
pub const fn slots(queues: u32) -> Option<u32> {
    match queues.checked_add(1) {
        Some(rows) => rows.checked_mul(Fate::COUNT as u32),
        None => None,
    }
}

/// The slot of the map of fates that counts `fate` on `queue`, where there are rows for `queues`.
#[inline(always)]
pub const fn slot(queue: u32, queues: u32, fate: Fate) -> u32 {
    let row = if queue < queues { queue } else { queues };
    row.wrapping_mul(Fate::COUNT as u32).wrapping_add(fate as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_stands_at_its_number_and_has_a_label_of_its_own() {
        for (index, fate) in Fate::ALL.iter().enumerate() {
            assert_eq!(*fate as usize, index);
            assert!(Fate::ALL.iter().all(|other| other == fate || other.label() != fate.label()));
        }
    }

    #[test]
    fn slots_of_two_queues_never_overlap_and_stay_inside_the_map() {
        let mut seen = [false; 12];
        for queue in 0..3 {
            for fate in Fate::ALL {
                let slot = slot(queue, 2, fate) as usize;
                assert!(!core::mem::replace(&mut seen[slot], true));
            }
        }
        assert_eq!(slots(2), Some(12));
        assert_eq!(slot(77, 2, Fate::NoSocket), 10);
        assert_eq!(slots(u32::MAX), None);
    }
}
