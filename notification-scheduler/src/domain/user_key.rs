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

/// Ranges of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRanges {
    /// First key of each range.
    pub first: Vec<i64>,
    /// Last key of each range.
    pub last: Vec<i64>,
}

impl KeyRanges {
    /// Returns the ranges between the keys of some users.
    #[must_use]
    pub fn between(users: &[UserKey]) -> Self {
        let mut users = users.to_vec();
        users.sort_unstable();
        users.dedup();
        let (mut first, mut last) = (vec![i64::MIN], Vec::with_capacity(users.len() + 1));
        for [high, normal] in users.into_iter().map(UserKey::by_priority) {
            match high.checked_sub(1) {
                Some(before) => last.push(before),
                None => drop(first.pop()),
            }
            match normal.checked_add(1) {
                Some(after) => first.push(after),
                None => return Self { first, last },
            }
        }
        last.push(i64::MAX);
        Self { first, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(users: &[i64]) -> Vec<(i64, i64)> {
        let users: Vec<UserKey> = users.iter().copied().map(UserKey::of_row).collect();
        let KeyRanges { first, last } = KeyRanges::between(&users);
        assert_eq!(first.len(), last.len());
        first.into_iter().zip(last).collect()
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
