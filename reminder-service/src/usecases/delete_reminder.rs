//! Deletion of a reminder.

use super::{Error, Resources};
use crate::{
    domain::{caller::Origin, events, precondition::Target},
    store::{self, Unstamped},
};

/// Deletes one of the caller's reminders.
///
/// # Errors
/// [`Error`]: nothing was deleted.
pub async fn delete_reminder(
    resources: &Resources,
    origin: &Origin,
    target: &Target,
) -> Result<(), Error> {
    let (pool, user_id) = (&resources.pool, &origin.caller.user_id);
    let message = Unstamped::of(&events::deleted(origin, target.id))?;
    let Some((version, at)) = store::delete(pool, user_id, target, &message).await? else {
        let seen = store::get(pool, user_id, target.id).await?.ok_or(Error::MissingReminder)?;
        target.check(seen.value.version)?;
        // It got an expected version after the deletion was refused.
        return Err(Error::Contended);
    };
    resources.relay_handle.after_commit([message.stamped(at, version)]);
    metrics::counter!("reminders_deleted_total").increment(1);
    Ok(())
}
