//! Client of the other services: their parts of an export, the preferences of a caller, and the
//! outcomes of occurrences.

mod ask;
mod breaker;
mod outcomes;
mod preferences;
mod zone_changes;

use std::{error::Error as StdError, sync::Arc, time::Duration};

use env_config::{AppEnv, Reader};
use reqwest::header::HeaderMap;
use rest::Operators;
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;
use url::Url;

use breaker::Breaker;

pub use outcomes::Outcome;
pub(crate) use zone_changes::ZoneChange;

/// Longest time until a service answers, and between two chunks of its answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes at the end of a part that are inspected.
const TAIL: usize = 32;
/// Largest size of a part.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Addresses of the other services, and the token for event-service.
#[derive(Debug, Clone, Default)]
pub struct PeerSettings {
    /// `NOTIFICATION_SERVICE_URL`.
    pub notification_service: Option<Url>,
    /// `EVENT_SERVICE_URL`.
    pub event_service: Option<Url>,
    /// `OPERATOR_TOKEN`, which event-service requires unless `APP_ENV=local`.
    pub operators: Operators,
}

impl PeerSettings {
    pub(crate) fn read(reader: &mut Reader<'_>, app_env: Option<AppEnv>) -> Option<Self> {
        let notification_service = url(
            reader,
            "NOTIFICATION_SERVICE_URL",
            "URL of notification-service, for its part of GET /me/export, the default zone of \
            users and the lastOutcome of reminders; unset: the export names the part as missing, \
            local times need a timeZone, and reminders have no lastOutcome",
        );
        let event_service = url(
            reader,
            "EVENT_SERVICE_URL",
            "URL of event-service, for its part of GET /me/export; unset: the export names the \
            part as missing",
        );
        let operators = Operators::read_optional(reader, app_env);
        Some(Self {
            notification_service: notification_service?,
            event_service: event_service?,
            operators,
        })
    }
}

/// Reads an optional URL; the outer option is `None` if it is malformed, which is reported.
fn url(reader: &mut Reader<'_>, name: &'static str, about: &'static str) -> Option<Option<Url>> {
    let Some(text) = reader.optional::<String>(name, about) else { return Some(None) };
    let url = Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if url.is_none() {
        reader.fault(name, "is malformed: expected an http or https URL");
    }
    url.map(Some)
}

/// Client of the other services.
#[derive(Debug, Clone)]
pub struct Peers {
    settings: PeerSettings,
    client: reqwest::Client,
    /// Permits of calls for preferences.
    calls: Arc<Semaphore>,
    /// Permits of calls for outcomes.
    outcome_calls: Arc<Semaphore>,
    /// Circuit breaker of calls for outcomes.
    breaker: Arc<Breaker>,
}

impl Peers {
    /// Builds a client.
    ///
    /// # Errors
    /// If the HTTP client cannot be built.
    pub fn new(settings: PeerSettings) -> anyhow::Result<Self> {
        let client = service::http::streaming_client(TIMEOUT)?;
        let calls = Arc::new(Semaphore::new(preferences::MAX_CALLS));
        let outcome_calls = Arc::new(Semaphore::new(outcomes::MAX_CALLS));
        Ok(Self { settings, client, calls, outcome_calls, breaker: Arc::default() })
    }

    /// Services whose data cannot be requested, each with the reason.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let PeerSettings { notification_service, event_service, .. } = &self.settings;
        let known = [
            (
                "notification-service (NOTIFICATION_SERVICE_URL is not set)",
                notification_service.is_some(),
            ),
            ("event-service (EVENT_SERVICE_URL is not set)", event_service.is_some()),
            (
                "event-service (OPERATOR_TOKEN is not set)",
                event_service.is_none() || self.may_ask_event_service(),
            ),
        ];
        known
            .into_iter()
            .filter(|(_, is_known)| !is_known)
            .map(|(text, _)| text.to_owned())
            .collect()
    }

    fn may_ask_event_service(&self) -> bool {
        let operators = &self.settings.operators;
        operators.own().is_some() || !operators.is_required()
    }

    /// Requests the caller's data from notification-service; `None` if its address is not set.
    /// `credentials` are the headers that identify the caller.
    pub(crate) async fn of_notification_service(
        &self,
        credentials: &HeaderMap,
    ) -> Result<Option<Part>, Error> {
        let Some(base) = &self.settings.notification_service else { return Ok(None) };
        let request = self.client.get(at(base, &["me", "export"])?).headers(credentials.clone());
        Part::open("notification-service", request).await.map(Some)
    }

    /// Requests a user's data from event-service; `None` if its address or token is not set.
    pub(crate) async fn of_event_service(&self, user_id: &str) -> Result<Option<Part>, Error> {
        let Some(base) =
            self.settings.event_service.as_ref().filter(|_| self.may_ask_event_service())
        else {
            return Ok(None);
        };
        let mut request = self.client.get(at(base, &["users", user_id, "export"])?);
        if let Some(token) = self.settings.operators.own() {
            request = request.bearer_auth(token.expose_secret());
        }
        Part::open("event-service", request).await.map(Some)
    }
}

fn at(base: &Url, path: &[&str]) -> Result<Url, Error> {
    let mut url = base.clone();
    let mut segments = url.path_segments_mut().map_err(|()| Error::NoPath)?;
    segments.pop_if_empty().extend(path);
    drop(segments);
    Ok(url)
}

/// A service's part of an export, which is streamed and not held in memory.
#[derive(Debug)]
pub struct Part {
    service: &'static str,
    response: reqwest::Response,
    /// Bytes that were read.
    bytes: usize,
    /// The last bytes that were read.
    tail: Vec<u8>,
}

/// Error of a request to another service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service did not answer in time, or answered with an error.
    #[error("{service} is unavailable")]
    Unavailable {
        /// Name of the service.
        service: &'static str,
        /// Cause.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The caller makes too many requests to notification-service.
    #[error("too many requests; the time zone of your preferences cannot be read now")]
    RateLimited {
        /// Time after which the call may be repeated.
        retry_after: Duration,
    },
    /// The address of a service cannot have a path.
    #[error("the address of a service has no path")]
    NoPath,
}

/// Error of a part that cannot be copied completely. The JSON written so far is incomplete, so the
/// connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The connection to the service failed, or the next chunk took too long.
    #[error("{service}: the connection failed")]
    Broken {
        /// Name of the service.
        service: &'static str,
        /// Cause.
        #[source]
        source: reqwest::Error,
    },
    /// The body ended early.
    #[error("{service}: the body is incomplete")]
    Incomplete {
        /// Name of the service.
        service: &'static str,
    },
    /// The body is larger than 256 MiB.
    #[error("{service}: the body is too large")]
    TooLarge {
        /// Name of the service.
        service: &'static str,
    },
}

/// End of every part, with its flag `truncated`.
const ENDS: [(&[u8], bool); 2] =
    [(br#""truncated":true}"#, true), (br#""truncated":false}"#, false)];

impl Part {
    async fn open(service: &'static str, request: reqwest::RequestBuilder) -> Result<Self, Error> {
        let unavailable = |source| Error::Unavailable { service, source };
        let answer = tokio::time::timeout(TIMEOUT, request.send()).await;
        let answer = answer.map_err(|error| unavailable(error.into()))?;
        let response = answer.and_then(reqwest::Response::error_for_status);
        let response = response.map_err(|error| unavailable(error.without_url().into()))?;
        Ok(Self { service, response, bytes: 0, tail: Vec::new() })
    }

    /// Reads the next chunk of the part; `None` after the last one.
    ///
    /// # Errors
    /// [`PartError`]: the export cannot be completed.
    pub async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, PartError> {
        let service = self.service;
        let chunk = self.response.chunk().await;
        let broken =
            |error: reqwest::Error| PartError::Broken { service, source: error.without_url() };
        let Some(chunk) = chunk.map_err(broken)? else {
            return if self.end().is_some() {
                Ok(None)
            } else {
                Err(PartError::Incomplete { service })
            };
        };
        self.bytes += chunk.len();
        if self.bytes > MAX_BYTES {
            return Err(PartError::TooLarge { service });
        }
        self.tail.extend_from_slice(&chunk[chunk.len().saturating_sub(TAIL)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        Ok(Some(chunk))
    }

    /// Returns `true` if the part was read and older rows were left out of it.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.end().is_some_and(|is_truncated| is_truncated)
    }

    /// Value of `truncated` at the end of the part; `None` if it is not read completely.
    fn end(&self) -> Option<bool> {
        let end = ENDS.into_iter().find(|(end, _)| self.tail.ends_with(end));
        end.map(|(_, is_truncated)| is_truncated)
    }
}
