//! Erasure of a user. The other services follow by an event.

use chrono::{DateTime, Utc};
use contract::new_id;
use uuid::Uuid;

use super::{Error, Resources};
use crate::{
    domain::{caller::Origin, events},
    store::{self, Unstamped},
};

/// Receipt of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Id of the erasure.
    pub receipt_id: Uuid,
    /// Time up to which all data is erased.
    pub erased_at: DateTime<Utc>,
}

/// Deletes all data of the caller, and writes the event by which the other services do the same.
///
/// # Errors
/// [`Error`]: nothing was erased.
pub async fn erase_user(resources: &Resources, origin: &Origin) -> Result<Erased, Error> {
    let receipt_id = new_id();
    let message = Unstamped::of(&events::erased(origin, receipt_id))?;
    let mut transaction = resources.pool.begin().await?;
    let erased_at = store::erase(&mut transaction, &origin.caller.user_id, &message).await?;
    transaction.commit().await?;
    resources.relay_handle.after_commit([message.stamped(erased_at, 1)]);
    metrics::counter!("reminders_users_erased_total").increment(1);
    tracing::info!(receipt.id = %receipt_id.simple(), "user data was erased");
    Ok(Erased { receipt_id, erased_at })
}
