//! Users whom the sweep passes over, and serves by claims of their own. Pure.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;
use uuid::Uuid;

use super::{OutboxMessage, relay::BATCH, shares::Shares};

/// Users who are passed over at once; others beyond these are served in the order of their rows.
const MOST: usize = 16;
/// Rows of one user in a batch from which on the user is passed over.
const MANY: usize = BATCH / 8;

/// The users who are passed over.
#[derive(Debug, Default)]
pub(super) struct LateUsers(Vec<Late>);

#[derive(Debug)]
struct Late {
    user: Arc<str>,
    /// The lowest id that a row of the user may have.
    low: Uuid,
}

/// Claimed rows, sorted out.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Rows that are published now.
    pub(super) published: Vec<OutboxMessage>,
    /// Ids of rows beyond their user's share.
    pub(super) put_back: Vec<Uuid>,
}

impl LateUsers {
    /// The users, as a claim passes over them.
    pub(super) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|late| &*late.user).collect()
    }

    /// Sorts out a claim's rows. A user of whom there are many, or more than the share allows, is
    /// passed over from then on.
    pub(super) fn sort_out(
        &mut self,
        rows: Vec<OutboxMessage>,
        shares: &mut Shares,
        now: Instant,
    ) -> Sorted {
        let mut by_user = BTreeMap::<Arc<str>, Vec<OutboxMessage>>::new();
        for row in rows {
            if let Some(rows) = by_user.get_mut(row.user()) {
                rows.push(row);
            } else {
                by_user.insert(Arc::from(row.user()), vec![row]);
            }
        }
        let mut sorted = Sorted::default();
        for (user, mut rows) in by_user {
            rows.sort_unstable_by_key(|row| row.event_id);
            let allowed = shares.take(&user, rows.len(), now);
            if self.0.len() < MOST && (allowed < rows.len() || rows.len() >= MANY) {
                let last = rows.last().map_or(Uuid::nil(), |row| row.event_id);
                let beyond = rows.split_off(allowed);
                let low =
                    beyond.first().map_or_else(|| after(last).unwrap_or(last), |row| row.event_id);
                sorted.put_back.extend(beyond.iter().map(|row| row.event_id));
                self.0.push(Late { user, low });
            }
            sorted.published.extend(rows);
        }
        sorted
    }

    /// The users, each with the tokens that there are for now.
    pub(super) fn turns(&self, shares: &mut Shares, now: Instant) -> Vec<(Arc<str>, usize)> {
        let tokens = |late: &Late| {
            (Arc::clone(&late.user), shares.take_for_late(&late.user, usize::MAX, now))
        };
        self.0.iter().map(tokens).filter(|(_, tokens)| *tokens > 0).collect()
    }

    /// The lowest id that a row of the user may have; none when the user is not passed over.
    pub(super) fn low(&self, user: &str) -> Option<Uuid> {
        self.0.iter().find(|late| *late.user == *user).map(|late| late.low)
    }

    /// Notes that all rows of a user up to an id were claimed.
    pub(super) fn go_on_after(&mut self, user: &str, last: Uuid) {
        for late in self.0.iter_mut().filter(|late| *late.user == *user) {
            late.low = after(last).unwrap_or(last);
        }
    }

    /// Passes over a user no more: no rows are left.
    pub(super) fn end(&mut self, user: &str) {
        self.0.retain(|late| *late.user != *user);
    }

    /// Looks for rows from the lowest id on: the leases of earlier ones may have run out meanwhile.
    pub(super) fn start_over(&mut self) {
        self.0.iter_mut().for_each(|late| late.low = Uuid::nil());
    }
}

/// The lowest id above another.
pub(super) fn after(id: Uuid) -> Option<Uuid> {
    id.as_u128().checked_add(1).map(Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bus::Message;

    /// A row with this id.
    fn row(user: &str, id: u128) -> OutboxMessage {
        let attributes = BTreeMap::from([("userId".to_owned(), user.to_owned())]);
        OutboxMessage {
            event_id: Uuid::from_u128(id),
            message: Message { body: "{}".to_owned(), attributes },
        }
    }

    #[tokio::test]
    async fn passes_over_user_beyond_share() {
        let now = Instant::now();
        let (mut late, mut shares) = (LateUsers::default(), Shares::new(10, now));
        let rows = (0..30).rev().map(|id| row("mallory", id)).chain([row("ada", 100)]).collect();

        let sorted = late.sort_out(rows, &mut shares, now);

        assert_eq!((sorted.published.len(), sorted.put_back.len()), (21, 10));
        assert_eq!(
            (late.names(), late.low("mallory")),
            (vec!["mallory"], Some(Uuid::from_u128(20)))
        );
        let later = now + Duration::from_secs(1);
        assert_eq!(late.turns(&mut shares, later), [(Arc::from("mallory"), 10)]);
        late.go_on_after("mallory", Uuid::from_u128(29));
        assert_eq!(late.low("mallory"), Some(Uuid::from_u128(30)));
        late.start_over();
        assert_eq!(late.low("mallory"), Some(Uuid::nil()));
        late.end("mallory");
        assert!(late.names().is_empty());
    }

    #[tokio::test]
    async fn passes_over_user_with_many_rows_in_batch() {
        let now = Instant::now();
        let (mut late, mut shares) = (LateUsers::default(), Shares::new(1_000, now));
        let rows =
            (0..MANY as u128).map(|id| row("mallory", id)).chain([row("ada", 1_000)]).collect();
        let sorted = late.sort_out(rows, &mut shares, now);
        assert_eq!((sorted.published.len(), sorted.put_back.len()), (MANY + 1, 0));
        assert_eq!(late.low("mallory"), Some(Uuid::from_u128(MANY as u128)));
    }

    #[tokio::test]
    async fn lets_users_pass_beyond_most_late() {
        let now = Instant::now();
        let (mut late, mut shares) = (LateUsers::default(), Shares::new(10, now));
        let rows = (0..20)
            .flat_map(|user| (0..25).map(move |id| row(&user.to_string(), user * 25 + id)))
            .collect();
        let sorted = late.sort_out(rows, &mut shares, now);
        assert_eq!((late.names().len(), sorted.put_back.len()), (MOST, MOST * 5));
        assert_eq!(sorted.published.len(), 500 - MOST * 5);
    }
}
