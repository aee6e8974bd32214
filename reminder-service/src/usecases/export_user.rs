//! Export of all data of a user, from every service.

use reqwest::header::HeaderMap;

use super::{Error, ReminderPages, Resources};
use crate::{domain::feed::Feed, peers::Part, store};

/// Largest number of reminders of one export, the newest.
const MAX_REMINDERS: usize = 100_000;

/// Data of a user in every service, which is read while the export is written.
#[derive(Debug)]
pub struct UserExport {
    /// Data of notification-service; `None` if its address is not configured.
    pub notification_service: Option<Part>,
    /// Data of event-service; `None` if its address or token is not configured.
    pub event_service: Option<Part>,
    /// The newest 100,000 reminders.
    pub reminders: ReminderPages,
    /// Calendar feeds, without their addresses.
    pub feeds: Vec<Feed>,
    /// Parts that are missing, each with the reason.
    pub missing: Vec<String>,
}

/// Begins an export of the caller's data. `credentials` are the headers that identify the caller to
/// notification-service. Everything that may be unreachable is asked before the export is written.
///
/// # Errors
/// [`Error::Sql`] or [`Error::Peer`].
pub async fn export_user(
    resources: &Resources,
    user_id: &str,
    credentials: &HeaderMap,
) -> Result<UserExport, Error> {
    let Resources { pool, peers, .. } = resources;
    let mut reminders = ReminderPages::new(pool.clone(), user_id.to_owned(), MAX_REMINDERS);
    let ((), feeds, notification_service, event_service) = tokio::try_join!(
        async { Ok::<_, Error>(reminders.read_ahead().await?) },
        async { Ok(store::feeds(pool, user_id).await?) },
        async { Ok(peers.of_notification_service(credentials).await?) },
        async { Ok(peers.of_event_service(user_id).await?) },
    )?;
    let missing = peers.missing();
    Ok(UserExport { notification_service, event_service, reminders, feeds, missing })
}
