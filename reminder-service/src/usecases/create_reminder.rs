//! Creation of one reminder.

use contract::new_id;
use serde::Serialize;
use service::idempotency::{self, IdempotencyKey, Known};
use uuid::Uuid;

use super::{Answer, Error, Resources, accept_address::accept_address};
use crate::{
    domain::{caller::Origin, events, reminder::Details},
    store::{self, Created, Unstamped},
};

/// Creates a reminder once per idempotency key. `answer` makes the answer of the new id, which is
/// stored for the key.
///
/// # Errors
/// [`Error`]: nothing was created.
pub async fn create_reminder<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    details: &Details,
    answer: impl FnOnce(Uuid) -> A,
) -> Result<Answer<A>, Error> {
    let caller = &origin.caller;
    caller.check_channels(&details.channels)?;
    accept_address(resources, caller, &details.channels).await?;
    let id = new_id();
    let message = Unstamped::of(&events::created(origin, id, details)?)?;
    let answer = answer(id);
    let quota = &resources.quota;
    let new = store::NewReminder {
        count_up_to: (!quota.take(&caller.user_id)).then_some(quota.max()),
        id,
        user_id: &caller.user_id,
        details,
        message: &message,
        key,
        answer: &serde_json::to_value(&answer)?,
    };
    match store::create(&resources.pool, new).await? {
        Created::At { created_at, stored } => {
            if let Some(stored) = stored {
                quota.record_count(&caller.user_id, stored + 1);
            }
            resources.relay_handle.after_commit([message.stamped(created_at, 1)]);
            metrics::counter!("reminders_created_total").increment(1);
            Ok(Answer::First(answer))
        }
        Created::Refused { stored } => refused(resources, &caller.user_id, key, stored).await,
    }
}

/// Answers a creation that wrote nothing: with the first answer to the key, or with the quota or
/// the past due date as the reason. The statement of the creation has counted the reminders; they
/// are not counted again.
async fn refused<A>(
    resources: &Resources,
    user_id: &str,
    key: Option<&IdempotencyKey>,
    stored: Option<u32>,
) -> Result<Answer<A>, Error> {
    if let Some(key) = key {
        let mut connection = resources.pool.acquire().await?;
        if let Known::Answered(replay) = idempotency::lookup(&mut connection, user_id, key).await? {
            return Ok(Answer::Repeat(replay));
        }
    }
    let max = resources.quota.max();
    if stored.is_some_and(|stored| stored >= max) {
        return Err(Error::QuotaExceeded { max });
    }
    Err(Error::NoDeliveryAhead)
}
