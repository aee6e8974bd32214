//! Creation of a calendar feed.

use contract::new_id;
use serde::Serialize;
use service::idempotency::{self, IdempotencyKey, Start};

use super::{Answer, Error, Resources};
use crate::{
    domain::feed::{Feed, MAX_FEEDS, Secret},
    store,
};

/// Status that is stored with the answer.
const CREATED: u16 = 201;

/// Creates a feed once per idempotency key. The answer of `answer` is stored for the key: it must
/// not contain the secret, which is returned beside the feed and never again.
///
/// # Errors
/// [`Error`]: nothing was created.
pub async fn create_feed<A: Serialize>(
    resources: &Resources,
    user_id: &str,
    key: Option<&IdempotencyKey>,
    answer: impl FnOnce(Feed) -> A,
) -> Result<Answer<(Feed, Secret)>, Error> {
    let mut once = match idempotency::once(&resources.pool, user_id, key).await? {
        Start::First(once) => once,
        Start::Repeat(replay) => return Ok(Answer::Repeat(replay)),
    };
    let secret = Secret::new(rand::random());
    let created =
        store::create_feed(once.connection(), user_id, new_id(), &secret.digest()).await?;
    let feed = created.ok_or(Error::TooManyFeeds { max: MAX_FEEDS })?;
    once.commit(CREATED, Some(&answer(feed))).await?;
    Ok(Answer::First((feed, secret)))
}
