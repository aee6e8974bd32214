//! Replacement of the secret of a calendar feed.

use serde::Serialize;
use service::idempotency::{self, IdempotencyKey, Start};
use uuid::Uuid;

use super::{Answer, Error, OK, Resources};
use crate::{
    domain::feed::{Feed, Secret},
    store,
};

/// Replaces the secret of a feed once per idempotency key; the earlier one stops to work at once.
/// The answer of `answer` is stored for the key: it must not contain the secret, which is returned
/// beside the feed and never again.
///
/// # Errors
/// [`Error`]: the secret was not replaced.
pub async fn rotate_feed<A: Serialize>(
    resources: &Resources,
    user_id: &str,
    key: Option<&IdempotencyKey>,
    id: Uuid,
    answer: impl FnOnce(Feed) -> A,
) -> Result<Answer<(Feed, Secret)>, Error> {
    let mut once = match idempotency::once(&resources.pool, user_id, key).await? {
        Start::First(once) => once,
        Start::Repeat(replay) => return Ok(Answer::Repeat(replay)),
    };
    let secret = Secret::new(rand::random());
    let rotated = store::rotate_feed(once.connection(), user_id, id, &secret.digest()).await?;
    let feed = rotated.ok_or(Error::MissingFeed)?;
    once.commit(OK, Some(&answer(feed))).await?;
    Ok(Answer::First((feed, secret)))
}
