//! Nanoseconds by how often: 64 buckets for each doubling, so that a percentile is exact to 1.6 %.

/// Bits that tell the buckets of a doubling apart.
const BITS: u32 = 6;
const PER_DOUBLING: usize = 1 << BITS;
const BUCKETS: usize = (65 - BITS as usize) * PER_DOUBLING;

/// Counts of values; its memory is taken at the start.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max: u64,
}

impl Histogram {
    /// Without a value.
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into(), total: 0, max: 0 }
    }

    /// Counts one value.
    #[inline]
    pub fn add(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// The value that this part of all does not exceed; 0 where there is none.
    pub fn percentile(&self, part: f64) -> u64 {
        let wanted = (self.total as f64 * part).ceil() as u64;
        let mut sum = 0;
        let reached = self.counts.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        reached.map_or(self.max, |bucket| largest_in(bucket).min(self.max))
    }

    /// How many values there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The largest value.
    pub fn max(&self) -> u64 {
        self.max
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_exact_to_a_sixty_fourth() {
        let mut histogram = Histogram::new();
        assert_eq!((histogram.percentile(0.5), histogram.total()), (0, 0));
        (1..=100_000).for_each(|value| histogram.add(value));
        for (part, exact) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.0001, 10.0)] {
            let found = histogram.percentile(part) as f64;
            assert!((found / exact - 1.0).abs() < 1.0 / 64.0, "{part}: {found} for {exact}");
        }
        assert_eq!((histogram.percentile(1.0), histogram.max(), histogram.total()), (100_000, 100_000, 100_000));
    }

    #[test]
    fn the_largest_numbers_have_their_bucket() {
        let mut histogram = Histogram::new();
        histogram.add(u64::MAX);
        assert_eq!(histogram.percentile(0.5), u64::MAX);
    }
}
