//! Users with more rows than their share, whose rows are claimed separately. Pure.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;
use uuid::Uuid;

use super::{OutboxMessage, relay::BATCH, shares::Shares};

/// Most throttled users at once. Rows of further users are published in the order of their ids.
const MAX_USERS: usize = 16;
/// Number of rows of one user in a batch from which on the user is throttled.
const THRESHOLD: usize = BATCH / 8;

/// The throttled users.
#[derive(Debug, Default)]
pub(super) struct ThrottledUsers(Vec<ThrottledUser>);

#[derive(Debug)]
struct ThrottledUser {
    user: Arc<str>,
    /// Lowest id that a row of the user may have.
    low: Uuid,
}

/// Claimed rows, split into those within and beyond the shares of their users.
#[derive(Debug, Default)]
pub(super) struct SplitRows {
    /// Rows to publish now.
    pub(super) publishable: Vec<OutboxMessage>,
    /// Ids of rows beyond the share of their user, whose leases are released.
    pub(super) beyond_share: Vec<Uuid>,
}

impl ThrottledUsers {
    /// Ids of the throttled users, which a claim leaves out.
    pub(super) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|throttled| &*throttled.user).collect()
    }

    /// Splits claimed rows by the shares of their users. A user with many rows, or with more than
    /// the share allows, is throttled from then on.
    pub(super) fn split_by_share(
        &mut self,
        rows: Vec<OutboxMessage>,
        shares: &mut Shares,
        now: Instant,
    ) -> SplitRows {
        let mut by_user = BTreeMap::<Arc<str>, Vec<OutboxMessage>>::new();
        for row in rows {
            if let Some(rows) = by_user.get_mut(row.user()) {
                rows.push(row);
            } else {
                by_user.insert(Arc::from(row.user()), vec![row]);
            }
        }
        let mut split = SplitRows::default();
        for (user, mut rows) in by_user {
            rows.sort_unstable_by_key(|row| row.event_id);
            let allowed = shares.take(&user, rows.len(), now);
            if self.0.len() < MAX_USERS && (allowed < rows.len() || rows.len() >= THRESHOLD) {
                let last = rows.last().map_or(Uuid::nil(), |row| row.event_id);
                let beyond = rows.split_off(allowed);
                let low =
                    beyond.first().map_or_else(|| after(last).unwrap_or(last), |row| row.event_id);
                split.beyond_share.extend(beyond.iter().map(|row| row.event_id));
                self.0.push(ThrottledUser { user, low });
            }
            split.publishable.extend(rows);
        }
        split
    }

    /// The throttled users with the tokens that each has now.
    pub(super) fn with_tokens(&self, shares: &mut Shares, now: Instant) -> Vec<(Arc<str>, usize)> {
        let tokens = |throttled: &ThrottledUser| {
            (Arc::clone(&throttled.user), shares.take_for_backlog(&throttled.user, usize::MAX, now))
        };
        self.0.iter().map(tokens).filter(|(_, tokens)| *tokens > 0).collect()
    }

    /// Lowest id that a row of the user may have; `None` if the user is not throttled.
    pub(super) fn low(&self, user: &str) -> Option<Uuid> {
        self.0.iter().find(|throttled| *throttled.user == *user).map(|throttled| throttled.low)
    }

    /// Records that all rows of a user up to an id were claimed.
    pub(super) fn advance_past(&mut self, user: &str, last: Uuid) {
        for throttled in self.0.iter_mut().filter(|throttled| *throttled.user == *user) {
            throttled.low = after(last).unwrap_or(last);
        }
    }

    /// Ends the throttling of a user who has no rows left.
    pub(super) fn remove(&mut self, user: &str) {
        self.0.retain(|throttled| *throttled.user != *user);
    }

    /// Starts again from the lowest id, as leases of earlier rows may have expired meanwhile.
    pub(super) fn reset(&mut self) {
        self.0.iter_mut().for_each(|throttled| throttled.low = Uuid::nil());
    }
}

/// Lowest id above another.
pub(super) fn after(id: Uuid) -> Option<Uuid> {
    id.as_u128().checked_add(1).map(Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bus::Message;

    use super::*;

    /// A row with this id.
    fn row(user: &str, id: u128) -> OutboxMessage {
        let attributes = BTreeMap::from([("userId".to_owned(), user.to_owned())]);
        OutboxMessage {
            event_id: Uuid::from_u128(id),
            message: Message { body: "{}".to_owned(), attributes },
        }
    }

    #[tokio::test]
    async fn throttles_user_beyond_share() {
        let now = Instant::now();
        let (mut throttled, mut shares) = (ThrottledUsers::default(), Shares::new(10, now));
        let rows = (0..30).rev().map(|id| row("mallory", id)).chain([row("ada", 100)]).collect();

        let split = throttled.split_by_share(rows, &mut shares, now);

        assert_eq!((split.publishable.len(), split.beyond_share.len()), (21, 10));
        assert_eq!(
            (throttled.names(), throttled.low("mallory")),
            (vec!["mallory"], Some(Uuid::from_u128(20)))
        );
        let later = now + Duration::from_secs(1);
        assert_eq!(throttled.with_tokens(&mut shares, later), [(Arc::from("mallory"), 10)]);
        throttled.advance_past("mallory", Uuid::from_u128(29));
        assert_eq!(throttled.low("mallory"), Some(Uuid::from_u128(30)));
        throttled.reset();
        assert_eq!(throttled.low("mallory"), Some(Uuid::nil()));
        throttled.remove("mallory");
        assert!(throttled.names().is_empty());
    }

    #[tokio::test]
    async fn throttles_user_with_many_rows_in_batch() {
        let now = Instant::now();
        let (mut throttled, mut shares) = (ThrottledUsers::default(), Shares::new(1_000, now));
        let rows = (0..THRESHOLD as u128)
            .map(|id| row("mallory", id))
            .chain([row("ada", 1_000)])
            .collect();
        let split = throttled.split_by_share(rows, &mut shares, now);
        assert_eq!((split.publishable.len(), split.beyond_share.len()), (THRESHOLD + 1, 0));
        assert_eq!(throttled.low("mallory"), Some(Uuid::from_u128(THRESHOLD as u128)));
    }

    #[tokio::test]
    async fn publishes_rows_beyond_max_users() {
        let now = Instant::now();
        let (mut throttled, mut shares) = (ThrottledUsers::default(), Shares::new(10, now));
        let rows = (0..20)
            .flat_map(|user| (0..25).map(move |id| row(&user.to_string(), user * 25 + id)))
            .collect();
        let split = throttled.split_by_share(rows, &mut shares, now);
        assert_eq!((throttled.names().len(), split.beyond_share.len()), (MAX_USERS, MAX_USERS * 5));
        assert_eq!(split.publishable.len(), 500 - MAX_USERS * 5);
    }
}
