//! Deletion of a calendar feed.

use uuid::Uuid;

use super::{Error, Resources};
use crate::store;

/// Deletes one of the caller's feeds; its address stops to work at once.
///
/// # Errors
/// [`Error`]: nothing was deleted.
pub async fn revoke_feed(resources: &Resources, user_id: &str, id: Uuid) -> Result<(), Error> {
    let is_revoked = store::revoke_feed(&resources.pool, user_id, id).await?;
    if is_revoked { Ok(()) } else { Err(Error::MissingFeed) }
}
