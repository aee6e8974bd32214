//! Deletion of a reminder.

use uuid::Uuid;

use super::{Error, Resources};
use crate::{
    domain::{caller::Origin, events},
    store::{self, Unstamped},
};

/// Deletes one of the caller's reminders.
///
/// # Errors
/// [`Error`]: nothing was deleted.
pub async fn delete_reminder(
    resources: &Resources,
    origin: &Origin,
    id: Uuid,
) -> Result<(), Error> {
    let message = Unstamped::of(&events::deleted(origin, id))?;
    let deleted = store::delete(&resources.pool, &origin.caller.user_id, id, &message).await?;
    let (version, at) = deleted.ok_or(Error::MissingReminder)?;
    resources.relay_handle.after_commit([message.stamped(at, version)]);
    metrics::counter!("reminders_deleted_total").increment(1);
    Ok(())
}
