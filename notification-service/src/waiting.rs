//! Second thoughts about deliveries that wait: what follows from a change of their user's preferences.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use shared::{
    contract::{Channel, DeliveryState},
    outbox::OutboxMessage,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    delivery::{DeliveryKey, reason},
    events::{self, Ending},
    preferences::Preferences,
    store::waiting::{self, Waiting},
};

/// Why waiting deliveries were not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement failed.
    #[error("change what waits")]
    Sql(#[from] sqlx::Error),
    /// An event could not be written.
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
}

/// Looks at everything that waits for a user with other preferences: what they do not want any more ends, and what was
/// deferred waits for the end of the quiet hours that now are, or no longer. Answers what is to be told, which is not in the
/// outbox yet. Call it in the transaction of the change.
///
/// # Errors
/// When a statement fails or an event cannot be written.
pub async fn reconsider(
    transaction: &mut PgConnection,
    user_id: &str,
    preferences: &Preferences,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    let waiting = waiting::of_user(&mut *transaction, user_id).await?;
    let (wanted, unwanted): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|it| preferences.allows(it.key.channel));
    let mut messages = withdraw(&mut *transaction, &unwanted, reason::OPTED_OUT, now).await?;
    let deferred: Vec<_> = wanted.into_iter().filter(|it| it.state == DeliveryState::Deferred).collect();
    let until = preferences.quiet_hours.and_then(|quiet| quiet.until(now));
    messages.extend(defer(&mut *transaction, &deferred, until, now).await?);
    Ok(messages)
}

/// Ends deliveries; tells of those that nobody is just making.
async fn withdraw(
    transaction: &mut PgConnection,
    deliveries: &[Waiting],
    reason: &'static str,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    waiting::withdraw(&mut *transaction, &keys(deliveries), reason).await?;
    let mut messages = Vec::with_capacity(deliveries.len());
    for delivery in deliveries.iter().filter(|it| !it.leased) {
        let ending = Ending { attempts: delivery.attempts, ..Ending::suppressed(reason, now) };
        messages.extend(events::outcome(&delivery.dispatch, delivery.key, &ending)?);
        metrics::counter!("deliveries_total", "channel" => Channel::as_str(delivery.key.channel), "state" => "suppressed")
            .increment(1);
    }
    Ok(messages)
}

/// Puts deferred deliveries off anew; their time to live is kept from the new end on.
async fn defer(
    transaction: &mut PgConnection,
    deliveries: &[Waiting],
    until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Vec<OutboxMessage>, Error> {
    let moved: Vec<Waiting> = deliveries.iter().filter(|it| it.deferred_until != until).cloned().collect();
    if moved.is_empty() {
        return Ok(Vec::new());
    }
    waiting::defer(&mut *transaction, &keys(&moved), until).await?;
    let Some(until) = until else { return Ok(Vec::new()) };
    let mut expiries = BTreeMap::<Uuid, DateTime<Utc>>::new();
    let mut messages = Vec::with_capacity(moved.len());
    for delivery in &moved {
        let later = delivery.deferred_until.map_or(chrono::TimeDelta::zero(), |before| until - before);
        expiries.insert(delivery.key.occurrence_id, delivery.dispatch.send.expires_at + later);
        messages.extend(events::outcome(&delivery.dispatch, delivery.key, &Ending::deferred(until, now))?);
    }
    let expiries: Vec<_> = expiries.into_iter().collect();
    waiting::prolong(&mut *transaction, &expiries).await?;
    Ok(messages)
}

fn keys(deliveries: &[Waiting]) -> Vec<DeliveryKey> {
    deliveries.iter().map(|it| it.key).collect()
}
