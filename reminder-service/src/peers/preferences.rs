//! Preferences of a caller, which notification-service has.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::{
    Error, Peers,
    ask::{ask, unavailable},
    at,
};

/// Longest time until the answer, with the wait for a permit.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);
/// Calls of one process at the same time; further ones wait.
pub(super) const MAX_CALLS: usize = 64;
/// Largest answer. Preferences have less than 1 KiB.
const MAX_BYTES: usize = 64 * 1024;

/// The part of the preferences that says in which zone the caller lives. Other fields are ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preferences {
    time_zone: Option<String>,
    quiet_hours: Option<QuietHours>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuietHours {
    time_zone: Option<String>,
}

impl Preferences {
    fn zone(&self) -> Option<String> {
        let of_quiet_hours = self.quiet_hours.as_ref().and_then(|hours| hours.time_zone.as_deref());
        time_zone::preferred(self.time_zone.as_deref(), of_quiet_hours).map(str::to_owned)
    }
}

impl Peers {
    /// Returns `true` if the address of notification-service is set.
    pub(crate) fn knows_preferences(&self) -> bool {
        self.settings.notification_service.is_some()
    }

    /// Asks notification-service for the zone that the caller's preferences name; `None` if they
    /// name none, or the address of the service is not set. `credentials` are the headers that
    /// identify the caller.
    pub(crate) async fn zone_of_caller(
        &self,
        credentials: &HeaderMap,
    ) -> Result<Option<String>, Error> {
        let Some(base) = &self.settings.notification_service else { return Ok(None) };
        let request = self.client.get(at(base, &["preferences"])?).headers(credentials.clone());
        let answer = async {
            let _permit = self.calls.acquire().await.map_err(unavailable)?;
            ask::<Preferences>(request, MAX_BYTES).await
        };
        let answer = tokio::time::timeout(TIMEOUT, answer).await;
        let preferences: Preferences = answer.map_err(unavailable)??;
        Ok(preferences.zone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(body: &str) -> Option<String> {
        serde_json::from_str::<Preferences>(body).expect("preferences").zone()
    }

    #[test]
    fn prefers_zone_of_user_over_that_of_quiet_hours() {
        let quiet = r#""quietHours":{"start":"22:00","end":"07:00","timeZone":"Asia/Tokyo"}"#;
        let both = format!(r#"{{{quiet},"timeZone":"Europe/Berlin","new":1}}"#);
        assert_eq!(zone(&both).as_deref(), Some("Europe/Berlin"));
        assert_eq!(zone(&format!("{{{quiet}}}")).as_deref(), Some("Asia/Tokyo"));
    }

    #[test]
    fn knows_no_zone_when_preferences_name_none() {
        let by_default = r#"{"quietHours":{"start":"22:00","end":"07:00","timeZone":"UTC"}}"#;
        for body in ["{}", r#"{"quietHours":null,"locale":"de"}"#, by_default] {
            assert_eq!(zone(body), None, "{body}");
        }
    }
}
