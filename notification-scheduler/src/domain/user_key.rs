//! Keys of users in the claim index.

/// Ordering key of a user in the claim index: a hash of the user's id whose lowest bit is clear for
/// priority `high` (the SQL function `occurrence_user_key`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(i64);

impl UserKey {
    /// Returns the key of a row.
    #[must_use]
    pub const fn of_row(key: i64) -> Self {
        Self(key | 1)
    }

    /// Returns the keys of the user's occurrences of priority `high` and `normal`, in that order.
    #[must_use]
    pub const fn by_priority(self) -> [i64; 2] {
        [self.0 & !1, self.0]
    }
}

/// Returns the ranges of keys, both bounds included, between those of some users.
pub(crate) fn ranges_between(users: &[UserKey]) -> (Vec<i64>, Vec<i64>) {
    let mut users = users.to_vec();
    users.sort_unstable();
    users.dedup();
    let (mut above, mut below) = (vec![i64::MIN], Vec::with_capacity(users.len() + 1));
    for [high, normal] in users.into_iter().map(UserKey::by_priority) {
        match high.checked_sub(1) {
            Some(last) => below.push(last),
            None => drop(above.pop()),
        }
        match normal.checked_add(1) {
            Some(first) => above.push(first),
            None => return (above, below),
        }
    }
    below.push(i64::MAX);
    (above, below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(users: &[i64]) -> Vec<(i64, i64)> {
        let users: Vec<UserKey> = users.iter().copied().map(UserKey::of_row).collect();
        let (above, below) = ranges_between(&users);
        assert_eq!(above.len(), below.len());
        above.into_iter().zip(below).collect()
    }

    #[test]
    fn covers_all_keys_but_those_of_users() {
        assert_eq!(ranges(&[]), [(i64::MIN, i64::MAX)]);
        assert_eq!(ranges(&[10]), [(i64::MIN, 9), (12, i64::MAX)]);
        assert_eq!(ranges(&[11, -4, 10]), [(i64::MIN, -5), (-2, 9), (12, i64::MAX)]);
    }

    #[test]
    fn covers_keys_next_to_the_limits() {
        assert_eq!(ranges(&[i64::MIN]), [(i64::MIN + 2, i64::MAX)]);
        assert_eq!(ranges(&[i64::MAX]), [(i64::MIN, i64::MAX - 2)]);
    }
}
