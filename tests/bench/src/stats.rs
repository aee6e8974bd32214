//! Arithmetic of the bench: rates, percentiles, medians.

use std::time::Duration;

/// Percentile of sorted values (nearest rank); `None` if there are none.
pub(crate) fn percentile<T: Copy>(sorted: &[T], percent: f64) -> Option<T> {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).or(sorted.last()).copied()
}

/// Median by `key` (the lower of the two middle values); `None` if there are none.
pub(crate) fn median_by<T>(mut values: Vec<T>, key: impl Fn(&T) -> f64) -> Option<T> {
    values.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let middle = values.len().checked_sub(1)? / 2;
    Some(values.swap_remove(middle))
}

/// Number per second; 0 if no time has passed.
pub(crate) fn rate(count: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

/// Microseconds per item of `count`.
pub(crate) fn micros_each(seconds: f64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { seconds * 1e6 / count as f64 }
}

/// Distribution of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Distribution of values in any order; `None` if there are none.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        Some(Self {
            min: *values.first()?,
            p50: percentile(&values, 50.0)?,
            p99: percentile(&values, 99.0)?,
            max: *values.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_percentile_by_nearest_rank() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 50.0), Some(50));
        assert_eq!(percentile(&hundred, 99.0), Some(99));
        assert_eq!(percentile(&hundred, 100.0), Some(100));
        assert_eq!(percentile(&hundred, 0.0), Some(1));
        assert_eq!(percentile(&[7], 99.0), Some(7));
        assert_eq!(percentile::<u32>(&[], 50.0), None);
    }

    #[test]
    fn takes_largest_as_99th_percentile_of_few() {
        assert_eq!(percentile(&[1, 2, 3], 99.0), Some(3));
    }

    #[test]
    fn takes_median_from_values() {
        assert_eq!(median_by(vec![3.0, 1.0, 2.0], |value| *value), Some(2.0));
        assert_eq!(median_by(vec![4.0, 1.0, 3.0, 2.0], |value| *value), Some(2.0));
        assert_eq!(median_by(Vec::<f64>::new(), |value| *value), None);
    }

    #[test]
    fn divides_count_by_seconds() {
        assert_eq!(rate(20_000, Duration::from_millis(2_500)), 8_000.0);
        assert_eq!(rate(5, Duration::ZERO), 0.0);
    }

    #[test]
    fn divides_seconds_into_microseconds_per_item() {
        assert_eq!(micros_each(0.5, 1_000), 500.0);
        assert_eq!(micros_each(0.5, 0), 0.0);
    }

    #[test]
    fn sorts_values_of_spread() {
        let spread = Spread::of(vec![5.0, -1.0, 3.0]);
        assert_eq!(spread, Some(Spread { min: -1.0, p50: 3.0, p99: 5.0, max: 5.0 }));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
