//! Push by FCM HTTP v1.
//!
//! [`Fcm::send`] makes one attempt and says what became of it; whether and when there is another is
//! not decided here.

pub mod account;
mod auth;
mod error_table;
pub mod payload;
mod setup_error;
mod single_flight;
mod token_check_permits;
mod transport;

use super::outcome::Outcome;
use super::templates::Templates;
use crate::device::DeviceType;
use account::ServiceAccount;
use auth::{Auth, Bearer};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use error_table::Meaning;
use payload::Push;
pub use setup_error::SetupError;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub use token_check_permits::CheckPermit;
use token_check_permits::Checks;
use tokio::time::timeout_at;
use transport::{Target, Tls, Transport, TransportSettings};
use url::Url;

/// Google's own endpoint.
pub const ENDPOINT: &str = "https://fcm.googleapis.com";

/// How FCM is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// In whose name, and in which project.
    pub account: ServiceAccount,
    /// Where; an `http://` one may speak h2c or HTTP/1.1. Google's is [`ENDPOINT`].
    pub endpoint: Url,
    /// What pushes say.
    pub templates: Arc<Templates>,
    /// The most HTTP/2 connections, of about 100 streams each; opened as the load asks for them.
    pub connections: usize,
    /// The most connections to an endpoint that speaks HTTP/1.1 only.
    pub http1_connections: usize,
    /// The most messages on their way at a time.
    pub max_in_flight: usize,
    /// The most token checks on their way at a time, beside the messages.
    pub max_checks: usize,
    /// For name, TCP, TLS and protocol.
    pub connect_timeout: Duration,
    /// For one message, connecting included.
    pub request_timeout: Duration,
    /// For one access token.
    pub oauth_timeout: Duration,
    /// How often a silent connection is asked for a sign of life.
    pub ping_interval: Duration,
    /// How long that sign may take before the connection is closed.
    pub ping_timeout: Duration,
}

impl Settings {
    /// The defaults. A thousand messages in flight make 20,000 a second at 50 ms each; FCM allows
    /// about 100 on a connection.
    pub fn new(account: ServiceAccount, endpoint: Url, templates: Arc<Templates>) -> Self {
        Settings {
            account,
            endpoint,
            templates,
            connections: 12,
            http1_connections: 256,
            max_in_flight: 1_200,
            max_checks: 100,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(15),
            oauth_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(5),
        }
    }

    fn transport(&self) -> TransportSettings {
        TransportSettings {
            http1_connections: self.http1_connections,
            max_in_flight: self.max_in_flight.saturating_add(self.max_checks),
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            ping_interval: self.ping_interval,
            ping_timeout: self.ping_timeout,
            ..TransportSettings::with_connections(self.connections)
        }
    }
}

/// A project of FCM, to send to and to ask about tokens.
pub struct Fcm {
    auth: Auth,
    transport: Transport,
    target: Target,
    templates: Arc<Templates>,
    checks: Arc<Checks>,
    request_timeout: Duration,
    check_timeout: Duration,
}

impl Fcm {
    /// Nothing is contacted yet: FCM may be down.
    ///
    /// # Errors
    /// When the endpoint is no http(s) URL, or the system has no root certificates and one is
    /// needed.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let tls = Tls::for_urls(&[&settings.endpoint, settings.account.token_uri()])?;
        let transport = Transport::new(&settings.endpoint, &tls, settings.transport())?;
        let target =
            transport.target(&payload::path(&settings.endpoint, settings.account.project_id())?)?;
        let auth = Auth::new(settings.account, &tls, settings.oauth_timeout)?;
        Ok(Fcm {
            auth,
            transport,
            target,
            templates: settings.templates,
            checks: Checks::new(settings.max_checks),
            request_timeout: settings.request_timeout,
            check_timeout: settings.request_timeout.saturating_add(settings.oauth_timeout),
        })
    }

    /// Makes one attempt to push to the device with this token, which ends before `deadline`: what
    /// cannot be sent early enough for that (no access token came in time) is not sent at all.
    /// `now` is the database's time, from which the time to live is counted.
    pub async fn send(
        &self,
        token: &str,
        device: DeviceType,
        push: &Push<'_>,
        now: DateTime<Utc>,
        deadline: Instant,
    ) -> Outcome {
        let text = self.templates.texts(&push.notice(), None).push(push.message);
        self.deliver(payload::send(token, device, push, &text, now), deadline).await
    }

    /// Takes a permit to ask about one token for a user; `None` at once when too many are being
    /// asked about.
    #[must_use]
    pub fn check_permit(&self, user_id: &str) -> Option<CheckPermit> {
        self.checks.permit(user_id)
    }

    /// Asks whether FCM would deliver to this token, without sending anything. `Sent`: it would.
    /// `Gone` or `Rejected`: it is no token, or none of this project. Anything else: FCM could not
    /// be asked.
    pub async fn validate(&self, token: &str, _permit: &CheckPermit) -> Outcome {
        let now = Instant::now();
        let deadline = now.checked_add(self.check_timeout).unwrap_or(now);
        match self.deliver(payload::validate(token), deadline).await {
            // For a message it may mean that our key is of another project; for a token that comes
            // in, that the token is.
            Outcome::Refused { reason } if reason == "SENDER_ID_MISMATCH" => {
                Outcome::Rejected { reason }
            }
            outcome => outcome,
        }
    }

    /// Posts, and once more if the access token was stale. No request begins so late that it could
    /// outlast `deadline`: cut off, it would leave in doubt whether the message was sent.
    async fn deliver(&self, body: Bytes, deadline: Instant) -> Outcome {
        let Some(latest_start) = deadline.checked_sub(self.request_timeout) else {
            return too_late();
        };
        let bearer = match timeout_at(latest_start.into(), self.auth.bearer()).await {
            Ok(Ok(bearer)) => bearer,
            Ok(Err(error)) => return error.into(),
            Err(_) => return too_late(),
        };
        match self.post(&bearer, body.clone(), latest_start).await {
            Meaning::Ended(outcome) => return outcome,
            Meaning::TokenRefused => {}
        }
        let fresh = match timeout_at(latest_start.into(), self.auth.replace(&bearer)).await {
            Ok(Some(Ok(bearer))) => bearer,
            Ok(Some(Err(error))) => return error.into(),
            Ok(None) => return unauthenticated(),
            Err(_) => return too_late(),
        };
        match self.post(&fresh, body, latest_start).await {
            Meaning::Ended(outcome) => outcome,
            Meaning::TokenRefused => unauthenticated(),
        }
    }

    async fn post(&self, bearer: &Bearer, body: Bytes, latest_start: Instant) -> Meaning {
        if Instant::now() > latest_start {
            return Meaning::Ended(too_late());
        }
        match self.transport.post(&self.target, bearer.headers(), body, latest_start).await {
            Ok(answer) => {
                let meaning = error_table::meaning(&answer, Utc::now());
                if meaning != Meaning::TokenRefused {
                    bearer.has_worked();
                }
                meaning
            }
            Err(error) => Meaning::Ended(Outcome::Unavailable {
                retry_after: None,
                reason: error.reason().into(),
                maybe_delivered: error.maybe_delivered(),
            }),
        }
    }
}

/// Outcome of an attempt whose time ran out before anything was sent.
fn too_late() -> Outcome {
    Outcome::Unavailable {
        retry_after: None,
        reason: "DEADLINE_EXCEEDED".into(),
        maybe_delivered: false,
    }
}

fn unauthenticated() -> Outcome {
    Outcome::Misconfigured { reason: "UNAUTHENTICATED".into() }
}
