//! The median of several rounds, and how far they lie apart.

use serde::Serialize;

/// What several rounds of one measurement gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The round in the middle; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// How many rounds there were.
    pub rounds: usize,
}

impl Spread {
    /// The spread of `values`, in any order. Of no value at all, every figure is not a number.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        Self { median: median(&sorted), min: end(sorted.first()), max: end(sorted.last()), rounds: sorted.len() }
    }

    /// The same rounds in another unit: `change` must only rise or only fall, such as from ns per packet to packets
    /// per second.
    #[must_use]
    pub fn map(self, change: impl Fn(f64) -> f64) -> Self {
        let (one, other) = (change(self.min), change(self.max));
        Self { median: change(self.median), min: one.min(other), max: one.max(other), rounds: self.rounds }
    }
}

/// The middle of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0, rounds: 3 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of(&[7.0]), Spread { median: 7.0, min: 7.0, max: 7.0, rounds: 1 });
        let none = Spread::of(&[]);
        assert!(none.median.is_nan() && none.min.is_nan() && none.rounds == 0);
    }

    #[test]
    fn another_unit_turns_smallest_and_largest_where_it_falls() {
        let rate = Spread::of(&[100.0, 200.0, 125.0]).map(|ns| 1e9 / ns);
        assert_eq!(rate, Spread { median: 8e6, min: 5e6, max: 1e7, rounds: 3 });
    }
}
