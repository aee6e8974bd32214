//! Zone of local times that name none.

use reqwest::header::HeaderMap;

use super::{Error, Resources};
use crate::domain::reminder::TimeZone;

/// Reads the zone that the caller's preferences name. It is asked for each time, since a zone that
/// the user has just left would be wrong by hours. Returns `None` if the preferences name no zone,
/// or one that the time zone database in use does not know. `credentials` are the headers that
/// identify the caller to notification-service.
///
/// # Errors
/// [`Error::Peer`]: the preferences cannot be read now.
pub async fn read_default_zone(
    resources: &Resources,
    credentials: &HeaderMap,
) -> Result<Option<TimeZone>, Error> {
    let name = resources.peers.zone_of_caller(credentials).await?;
    Ok(name.and_then(|name| TimeZone::parse(&name).ok()))
}
