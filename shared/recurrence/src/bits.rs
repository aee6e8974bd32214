//! Sets of small numbers as bits: days of a year, minutes of an hour, positions.

/// A set of the numbers 0 to 383.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bits([u64; 6]);

/// Index of the word and of the bit of a number.
fn position(number: i64) -> Option<(usize, u32)> {
    let number = usize::try_from(number).ok().filter(|number| *number < 384)?;
    Some((number / 64, u32::try_from(number % 64).unwrap_or(0)))
}

impl Bits {
    pub(crate) fn insert(&mut self, number: i64) {
        if let Some((word, bit)) = position(number)
            && let Some(word) = self.0.get_mut(word)
        {
            *word |= 1 << bit;
        }
    }

    pub(crate) fn has(&self, number: i64) -> bool {
        position(number)
            .is_some_and(|(word, bit)| self.0.get(word).is_some_and(|word| word >> bit & 1 == 1))
    }

    /// The smallest number that is not less than `from`.
    #[inline]
    pub(crate) fn at_or_after(&self, from: i64) -> Option<i64> {
        let (first, bit) = position(from.max(0))?;
        self.0.iter().enumerate().skip(first).find_map(|(index, word)| {
            let word = if index == first { word & (u64::MAX << bit) } else { *word };
            (word != 0).then(|| number(index, word.trailing_zeros()))
        })
    }

    /// The largest number that is not more than `to`.
    pub(crate) fn at_or_before(&self, to: i64) -> Option<i64> {
        let (last, bit) = position(to.min(383))?;
        self.0.iter().enumerate().take(last + 1).rev().find_map(|(index, word)| {
            let word = if index == last { word & (u64::MAX >> (63 - bit)) } else { *word };
            (word != 0).then(|| number(index, 63 - word.leading_zeros()))
        })
    }

    /// Counts the numbers that are less than `end`.
    pub(crate) fn count_below(&self, end: i64) -> i64 {
        let Some((last, bit)) = position(end.clamp(0, 383)) else { return 0 };
        let words = self.0.iter().enumerate().take(last + 1);
        let counted = words.map(|(index, word)| {
            let word = if index == last { word & !(u64::MAX << bit) } else { *word };
            i64::from(word.count_ones())
        });
        counted.sum()
    }

    /// The number of a zero-based rank.
    pub(crate) fn nth(&self, rank: i64) -> Option<i64> {
        let mut rank = u32::try_from(rank).ok()?;
        for (index, word) in self.0.iter().enumerate() {
            if rank < word.count_ones() {
                return Some(number(index, nth_bit(*word, rank)?));
            }
            rank -= word.count_ones();
        }
        None
    }
}

fn number(word: usize, bit: u32) -> i64 {
    i64::try_from(word * 64).unwrap_or(0) + i64::from(bit)
}

/// The bit of a zero-based rank in a word.
pub(crate) fn nth_bit(word: u64, rank: u32) -> Option<u32> {
    let mut left = word;
    for _ in 0..rank {
        left &= left.wrapping_sub(1);
    }
    (left != 0).then(|| left.trailing_zeros())
}

/// Numbers that a rule counts from either end, 1 to 366 each way: `BYMONTHDAY=1,-1`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signed {
    forward: Bits,
    backward: Bits,
}

impl Signed {
    pub(crate) fn insert(&mut self, value: i64) {
        if value > 0 {
            self.forward.insert(value);
        } else {
            self.backward.insert(-value);
        }
    }

    /// Membership of the `value`-th of `total`, counted from 1.
    pub(crate) fn has(&self, value: i64, total: i64) -> bool {
        self.forward.has(value) || self.backward.has(total + 1 - value)
    }

    /// The first zero-based rank, from `rank` on, that is in the set, of `total`.
    pub(crate) fn rank_at_or_after(&self, rank: i64, total: i64) -> Option<i64> {
        if rank >= total {
            return None;
        }
        let forward = self
            .forward
            .at_or_after(rank + 1)
            .map(|value| value - 1)
            .filter(|found| *found < total);
        let backward = self.backward.at_or_before(total - rank).map(|value| total - value);
        forward.into_iter().chain(backward).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_sorted_list(
            numbers in proptest::collection::btree_set(0..384i64, 0..40),
            at in 0..384i64,
        ) {
            let mut bits = Bits::default();
            numbers.iter().for_each(|number| bits.insert(*number));
            prop_assert_eq!(bits.at_or_after(at), numbers.range(at..).next().copied());
            prop_assert_eq!(bits.at_or_before(at), numbers.range(..=at).next_back().copied());
            prop_assert_eq!(bits.has(at), numbers.contains(&at));
            if at < 383 {
                let below = numbers.range(..at).count();
                prop_assert_eq!(bits.count_below(at), i64::try_from(below).expect("few"));
            }
            let nth = numbers.iter().nth(usize::try_from(at).expect("small")).copied();
            prop_assert_eq!(bits.nth(at), nth);
        }

        #[test]
        fn finds_ranks_from_both_ends(
            values in proptest::collection::vec((1..367i64, any::<bool>()), 0..8),
            rank in 0..500i64,
            total in 1..500i64,
        ) {
            let mut signed = Signed::default();
            for (value, is_negative) in values {
                signed.insert(if is_negative { -value } else { value });
            }
            let first = (rank..total).find(|rank| signed.has(rank + 1, total));
            prop_assert_eq!(signed.rank_at_or_after(rank, total), first);
        }
    }
}
