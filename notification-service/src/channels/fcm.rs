//! Push by FCM HTTP v1.
//!
//! [`Fcm::send`] makes one attempt and says what became of it; whether and when there is another is not decided here.

pub mod account;
mod auth;
mod classify;
pub mod payload;
mod setup;
mod single_flight;
mod transport;

use super::outcome::Outcome;
use super::templates::Templates;
use crate::device::DeviceType;
use account::ServiceAccount;
use auth::{Auth, Bearer};
use bytes::Bytes;
use chrono::Utc;
use classify::Meaning;
use payload::Push;
pub use setup::SetupError;
use std::sync::Arc;
use std::time::Duration;
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
    /// The defaults. A thousand messages in flight make 20,000 a second at 50 ms each; FCM allows about 100 on a
    /// connection.
    pub fn new(account: ServiceAccount, endpoint: Url, templates: Arc<Templates>) -> Self {
        Settings {
            account,
            endpoint,
            templates,
            connections: 12,
            http1_connections: 256,
            max_in_flight: 1_200,
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
            max_in_flight: self.max_in_flight,
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
}

impl Fcm {
    /// Nothing is contacted yet: FCM may be down.
    ///
    /// # Errors
    /// When the endpoint is no http(s) URL, or the system has no root certificates and one is needed.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let tls = Tls::for_urls(&[&settings.endpoint, settings.account.token_uri()])?;
        let transport = Transport::new(&settings.endpoint, &tls, settings.transport())?;
        let target = transport.target(&payload::path(&settings.endpoint, settings.account.project_id())?)?;
        let auth = Auth::new(settings.account, &tls, settings.oauth_timeout)?;
        Ok(Fcm { auth, transport, target, templates: settings.templates })
    }

    /// Makes one attempt to push to the device with this token. It ends within the request timeout, and that of an
    /// access token where one is needed, after it has its turn.
    pub async fn send(&self, token: &str, device: DeviceType, push: &Push<'_>) -> Outcome {
        let text = self.templates.texts(&push.notice(), None).push(push.message);
        self.deliver(payload::send(token, device, push, &text, Utc::now())).await
    }

    /// Asks whether FCM would deliver to this token, without sending anything. `Sent`: it would. `Gone` or `Rejected`:
    /// it is no token, or none of this project. Anything else: FCM could not be asked.
    pub async fn validate(&self, token: &str) -> Outcome {
        match self.deliver(payload::validate(token)).await {
            // For a message it means that our key is of another project; for a token that comes in, that the token is.
            Outcome::Misconfigured { reason } if reason == "SENDER_ID_MISMATCH" => Outcome::Rejected { reason },
            outcome => outcome,
        }
    }

    /// Posts, and once more if the access token was stale.
    async fn deliver(&self, body: Bytes) -> Outcome {
        let bearer = match self.auth.bearer().await {
            Ok(bearer) => bearer,
            Err(error) => return error.into(),
        };
        match self.post(&bearer, body.clone()).await {
            Meaning::Ended(outcome) => return outcome,
            Meaning::TokenRefused => {}
        }
        let fresh = match self.auth.replace(&bearer).await {
            Some(Ok(bearer)) => bearer,
            Some(Err(error)) => return error.into(),
            None => return unauthenticated(),
        };
        match self.post(&fresh, body).await {
            Meaning::Ended(outcome) => outcome,
            Meaning::TokenRefused => unauthenticated(),
        }
    }

    async fn post(&self, bearer: &Bearer, body: Bytes) -> Meaning {
        match self.transport.post(&self.target, bearer.headers(), body).await {
            Ok(answer) => {
                let meaning = classify::meaning(&answer, Utc::now());
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

fn unauthenticated() -> Outcome {
    Outcome::Misconfigured { reason: "UNAUTHENTICATED".into() }
}
