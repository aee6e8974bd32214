//! Zone of the caller's preferences.

use reqwest::header::HeaderMap;

use super::{Error, Resources};
use crate::domain::reminder::{TimeZone, UserZone};

/// Reads the zone that the caller's preferences name, if a request needs it. It is asked for each
/// time, since a zone that the user has just left would be wrong by hours. It is not known if the
/// address of notification-service is not set, or the time zone database in use does not have it.
/// `credentials` are the headers that identify the caller to notification-service.
///
/// # Errors
/// [`Error::Peer`]: the preferences cannot be read now.
pub async fn read_user_zone(
    resources: &Resources,
    credentials: &HeaderMap,
    is_needed: bool,
) -> Result<UserZone, Error> {
    if !is_needed || !resources.peers.knows_preferences() {
        return Ok(UserZone::Unknown);
    }
    let name = resources.peers.zone_of_caller(credentials).await?;
    Ok(match name.map(|name| TimeZone::parse(&name)) {
        None => UserZone::Unnamed,
        Some(Ok(zone)) => UserZone::Named(zone),
        Some(Err(_)) => UserZone::Unknown,
    })
}
