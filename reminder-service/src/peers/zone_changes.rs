//! Changes of users' zones, which notification-service lists.

use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::{
    Error, Peers,
    ask::{ask, unavailable},
    at,
    preferences::TIMEOUT,
};

/// Largest number of changes of one answer.
const LIMIT: &str = "500";
/// Largest answer: a change has two texts of at most 255 bytes.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Changes in order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ZoneChanges {
    /// The changes.
    pub(crate) changes: Vec<ZoneChange>,
    /// Cursor of the next call.
    pub(crate) next: String,
    /// `true` if there are further changes now.
    pub(crate) has_more: bool,
}

/// Zone of a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ZoneChange {
    /// Id of the user.
    pub(crate) user_id: String,
    /// IANA name; `None` if the preferences name no zone.
    pub(crate) time_zone: Option<String>,
    /// E-mail address of the user at the change; `None` if it was not verified.
    pub(crate) email: Option<String>,
}

impl Peers {
    /// Asks notification-service for the changes of zones after a cursor; none if the address of
    /// the service is not set.
    pub(crate) async fn zone_changes(&self, after: Option<&str>) -> Result<ZoneChanges, Error> {
        let Some(base) = &self.settings.notification_service else {
            let next = after.unwrap_or_default().to_owned();
            return Ok(ZoneChanges { changes: Vec::new(), next, has_more: false });
        };
        let mut url = at(base, &["zone-changes"])?;
        url.query_pairs_mut()
            .append_pair("limit", LIMIT)
            .extend_pairs(after.map(|after| ("after", after)));
        let mut request = self.client.get(url);
        if let Some(token) = self.settings.operators.own() {
            request = request.bearer_auth(token.expose_secret());
        }
        tokio::time::timeout(TIMEOUT, ask(request, MAX_BYTES)).await.map_err(unavailable)?
    }
}
