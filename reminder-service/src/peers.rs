//! The other services' parts of an export, asked for in the caller's name.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::Value;
use shared::{
    config::{AppEnv, Operators, Reader},
    http::{ApiError, Credentials},
};
use url::Url;

/// How long a service may take to gather its part.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The largest part.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Where the other services are.
#[derive(Debug, Clone, Default)]
pub struct PeerSettings {
    /// `NOTIFICATION_SERVICE_URL`
    pub notification_service: Option<Url>,
    /// `EVENT_SERVICE_URL`
    pub event_service: Option<Url>,
    /// `OPERATOR_TOKEN`, which event-service asks for outside of `local`.
    pub operators: Operators,
}

impl PeerSettings {
    pub(crate) fn read(reader: &mut Reader<'_>, app_env: Option<AppEnv>) -> Option<Self> {
        let notification_service = url(
            reader,
            "NOTIFICATION_SERVICE_URL",
            "address of notification-service, whose part GET /me/export holds; unset: it says that the part is missing",
        );
        let event_service = url(
            reader,
            "EVENT_SERVICE_URL",
            "address of event-service, whose part GET /me/export holds; unset: it says that the part is missing",
        );
        let operators = Operators::read_optional(reader, app_env);
        Some(Self { notification_service: notification_service?, event_service: event_service?, operators })
    }
}

/// An optional address; the outer option is empty when it is malformed, which is a fault.
fn url(reader: &mut Reader<'_>, name: &'static str, about: &'static str) -> Option<Option<Url>> {
    let Some(text) = reader.optional::<String>(name, about) else { return Some(None) };
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if url.is_none() {
        reader.fault(name, "is malformed: expected an http or https URL");
    }
    url.map(Some)
}

/// The way to the other services.
#[derive(Debug, Clone)]
pub struct Peers {
    settings: PeerSettings,
    client: reqwest::Client,
}

impl Peers {
    /// A way to the services of some settings.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn new(settings: PeerSettings) -> anyhow::Result<Self> {
        let client = shared::http::client(TIMEOUT)?;
        Ok(Self { settings, client })
    }

    /// What cannot be asked for, and why.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let PeerSettings { notification_service, event_service, .. } = &self.settings;
        let known = [
            ("notification-service (NOTIFICATION_SERVICE_URL is not set)", notification_service.is_some()),
            ("event-service (EVENT_SERVICE_URL is not set)", event_service.is_some()),
            ("event-service (OPERATOR_TOKEN is not set)", event_service.is_none() || self.may_ask_event_service()),
        ];
        known.into_iter().filter(|(_, is_known)| !is_known).map(|(text, _)| text.to_owned()).collect()
    }

    fn may_ask_event_service(&self) -> bool {
        let operators = &self.settings.operators;
        operators.own().is_some() || !operators.is_required()
    }

    /// What notification-service holds of the caller; none when it is not known where it is.
    pub(crate) async fn of_notification_service(&self, caller: &Credentials) -> Result<Option<Value>, ApiError> {
        let Some(base) = &self.settings.notification_service else { return Ok(None) };
        let request = self.client.get(at(base, &["me", "export"])?).headers(caller.0.clone());
        part("notification-service", request).await.map(Some)
    }

    /// What event-service holds of a user; none when it is not known where it is.
    pub(crate) async fn of_event_service(&self, user_id: &str) -> Result<Option<Value>, ApiError> {
        let Some(base) = self.settings.event_service.as_ref().filter(|_| self.may_ask_event_service()) else {
            return Ok(None);
        };
        let mut request = self.client.get(at(base, &["users", user_id, "export"])?);
        if let Some(token) = self.settings.operators.own() {
            request = request.bearer_auth(token.expose_secret());
        }
        part("event-service", request).await.map(Some)
    }
}

fn at(base: &Url, path: &[&str]) -> Result<Url, ApiError> {
    let mut url = base.clone();
    let mut segments = url.path_segments_mut().map_err(|()| ApiError::unexpected("the peer's address has no path"))?;
    segments.pop_if_empty().extend(path);
    drop(segments);
    Ok(url)
}

async fn part(service: &'static str, request: reqwest::RequestBuilder) -> Result<Value, ApiError> {
    let unavailable = |error: reqwest::Error| ApiError::unavailable(service, error.without_url());
    let mut response = request.send().await.and_then(reqwest::Response::error_for_status).map_err(unavailable)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            return Err(ApiError::unexpected("a service's part of an export is larger than 256 MiB"));
        }
    }
    serde_json::from_slice(&body).map_err(|_| ApiError::unexpected("a service's part of an export is no JSON"))
}
