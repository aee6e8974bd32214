//! Creation of several reminders in one transaction, each with its own result.

use contract::{Channel, new_id};
use serde::Serialize;
use service::{
    idempotency::{self, IdempotencyKey, Start},
    outbox::OutboxMessage,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Answer, Error, OK, Resources, accept_address::accept_address};
use crate::{
    domain::{
        caller::Origin,
        events,
        reminder::{Channels, Details},
    },
    store::{self, Unstamped},
};

/// Creates reminders in one transaction and once per idempotency key. `answer` makes the answer of
/// the results, which are in the order of `reminders`; the answer is stored for the key.
///
/// # Errors
/// [`Error`]: no reminder was created.
pub async fn create_reminders<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    reminders: Vec<Details>,
    answer: impl FnOnce(Vec<Result<Uuid, Error>>) -> A,
) -> Result<Answer<A>, Error> {
    let drafts: Vec<_> = reminders.into_iter().map(|details| Draft::of(details, origin)).collect();
    // Before the transaction begins, since this takes a connection of its own. A repeat is answered
    // even if the address is not accepted any more.
    let channels = drafts.iter().flatten().map(Draft::channels);
    let accepted = accept_addresses(resources, origin, channels).await;
    let user_id = &origin.caller.user_id;
    let mut once = match idempotency::once(&resources.pool, user_id, key).await? {
        Start::First(once) => once,
        Start::Repeat(replay) => return Ok(Answer::Repeat(replay)),
    };
    accepted?;
    let (results, messages) =
        write_drafts(once.connection(), user_id, drafts, resources.quota.max()).await?;
    let answer = answer(results);
    once.commit(OK, Some(&answer)).await?;
    metrics::counter!("reminders_created_total").increment(messages.len() as u64);
    resources.quota.invalidate(user_id);
    resources.relay_handle.after_commit(messages);
    Ok(Answer::First(answer))
}

/// A reminder to create, with its event.
pub(super) struct Draft {
    id: Uuid,
    details: Details,
    message: Unstamped,
}

impl Draft {
    pub(super) fn of(details: Details, origin: &Origin) -> Result<Self, Error> {
        origin.caller.check_channels(&details.channels)?;
        let id = new_id();
        let message = Unstamped::of(&events::created(origin, id, &details)?)?;
        Ok(Self { id, details, message })
    }

    /// Channels of the reminder.
    pub(super) fn channels(&self) -> &Channels {
        &self.details.channels
    }
}

/// Checks the e-mail address of the caller if some of the channels are e-mail.
pub(super) async fn accept_addresses(
    resources: &Resources,
    origin: &Origin,
    mut channels: impl Iterator<Item = &Channels> + Send,
) -> Result<(), Error> {
    match channels.find(|channels| channels.contains(Channel::Email)) {
        Some(channels) => accept_address(resources, &origin.caller, channels).await,
        None => Ok(()),
    }
}

/// Writes the valid drafts; returns a result for each draft, and the messages to publish after the
/// commit.
pub(super) async fn write_drafts(
    connection: &mut PgConnection,
    user_id: &str,
    drafts: Vec<Result<Draft, Error>>,
    max: u32,
) -> Result<(Vec<Result<Uuid, Error>>, Vec<OutboxMessage>), Error> {
    let valid = drafts.iter().flatten();
    let new: Vec<_> = valid.map(|draft| (draft.id, &draft.details, &draft.message)).collect();
    let created = store::create_many(connection, user_id, &new, max).await?;
    let mut messages = Vec::with_capacity(created.len());
    let mut result = |draft: Draft| match created.get(&draft.id) {
        Some(Some(created_at)) => {
            messages.push(draft.message.stamped(*created_at, 1));
            Ok(draft.id)
        }
        Some(None) => Err(Error::QuotaExceeded { max }),
        None => Err(Error::NoDeliveryAhead),
    };
    let results = drafts.into_iter().map(|draft| draft.and_then(&mut result)).collect();
    Ok((results, messages))
}
