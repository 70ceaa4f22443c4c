//! Nanoseconds by how often: 64 buckets for each doubling, so that a percentile is exact to 1.6 %.

/// Bits that tell the buckets of a doubling apart.
const BITS: u32 = 6;
const PER_DOUBLING: usize = 1 << BITS;
const BUCKETS: usize = (65 - BITS as usize) * PER_DOUBLING;

/// Counts of values; its memory is taken at the start.
pub(crate) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into(), total: 0, max: 0 }
    }

    /// Counts one value.
    #[inline]
    pub(crate) fn add(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// The value that this part of all does not exceed; 0 where there is none.
    pub(crate) fn percentile(&self, part: f64) -> u64 {
        let wanted = (self.total as f64 * part).ceil() as u64;
        let mut sum = 0;
        let reached = self.counts.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        reached.map_or(self.max, |bucket| largest_in(bucket).min(self.max))
    }

    /// The largest value.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }
}

/// Values below 64 have a bucket each; above, the highest seven bits choose it.
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    shift as usize * PER_DOUBLING + (value >> shift) as usize
}

/// The largest value that is counted in a bucket.
fn largest_in(bucket: usize) -> u64 {
    if bucket < 2 * PER_DOUBLING {
        return bucket as u64;
    }
    let shift = bucket / PER_DOUBLING - 1;
    let first = (bucket - shift * PER_DOUBLING) as u64;
    (first << shift) + ((1 << shift) - 1)
}
