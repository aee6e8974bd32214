//! Client of Firebase Cloud Messaging (FCM), HTTP v1 API.
//!
//! [`Client::send`] makes one attempt to send a [`Message`] with finished texts and returns its
//! [`Outcome`], which says what failed (the token, the message, the account, the network) and if
//! FCM may have accepted the message all the same. The caller decides about further attempts.
//!
//! - Access tokens are fetched once for all requests, renewed before they expire, and replaced if
//!   FCM refuses them.
//! - Requests share a few HTTP/2 connections. A request is repeated only if the server certainly
//!   did not accept it.
//! - A message that is larger than FCM accepts is shortened; its ids are kept.
//!
//! The client runs on tokio. Requests for access tokens are signed by *ring* (`jwt-crypto`).
//!
//! # Example
//!
//! ```no_run
//! use std::collections::BTreeMap;
//! use std::time::{Duration, Instant};
//!
//! use chrono::{TimeDelta, Utc};
//! use fcm::{Client, Message, Outcome, Platform, Priority, ServiceAccount, Settings};
//!
//! # async fn example(key_file: &str, token: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let account = ServiceAccount::parse(key_file)?;
//! let client = Client::new(Settings::new(account, fcm::ENDPOINT.parse()?))?;
//! let message = Message {
//!     token,
//!     platform: Platform::Android,
//!     title: "Plants",
//!     body: "Water the ficus.",
//!     ids: &[("reminderId", "17")],
//!     url: Some("https://example.com/plants/17"),
//!     data: &BTreeMap::new(),
//!     collapse_key: "reminder-17",
//!     priority: Priority::Normal,
//!     expires_at: Utc::now() + TimeDelta::hours(1),
//! };
//! let deadline = Instant::now() + Duration::from_secs(60);
//! match client.send(&message, Utc::now(), deadline).await {
//!     Outcome::Sent { name } => println!("accepted as {name}"),
//!     Outcome::Gone { code } => println!("remove the device: {code}"),
//!     Outcome::Rejected { code } => println!("the message is invalid: {code}"),
//!     other => println!("{}: {}", other.class(), other.code().unwrap_or_default()),
//! }
//! # Ok(())
//! # }
//! ```

mod account;
mod auth;
mod error_table;
mod outcome;
pub mod payload;
mod setup_error;
mod single_flight;
mod transport;

pub use account::{AccountError, ServiceAccount};
use auth::{Auth, Bearer};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use error_table::AccessTokenRefused;
pub use outcome::{Code, MAX_RETRY_AFTER, Outcome};
pub use payload::{Message, Platform, Priority};
pub use setup_error::SetupError;
use std::time::{Duration, Instant};
use tokio::time::timeout_at;
use transport::{Target, Tls, Transport, TransportSettings};
use url::Url;

/// Google's own endpoint.
pub const ENDPOINT: &str = "https://fcm.googleapis.com";

/// Settings of the connection to FCM.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Service account, which also names the project.
    pub account: ServiceAccount,
    /// Base URL. An `http://` endpoint may speak h2c or HTTP/1.1. Google's is [`ENDPOINT`].
    pub endpoint: Url,
    /// Largest number of HTTP/2 connections, of about 100 streams each, opened on demand.
    pub connections: usize,
    /// Largest number of connections to an endpoint that speaks only HTTP/1.1.
    pub http1_connections: usize,
    /// Largest number of requests in flight. Others wait.
    pub max_in_flight: usize,
    /// Timeout for name resolution, TCP, TLS and protocol negotiation.
    pub connect_timeout: Duration,
    /// Timeout for one message, including the connection.
    pub request_timeout: Duration,
    /// Timeout for fetching an access token.
    pub oauth_timeout: Duration,
    /// Interval of HTTP/2 pings on a silent connection.
    pub ping_interval: Duration,
    /// Time after which a connection without a ping response is closed.
    pub ping_timeout: Duration,
}

impl Settings {
    /// Returns the default settings. A thousand messages in flight make 20,000 a second at 50 ms
    /// each; FCM allows about 100 streams on a connection.
    pub fn new(account: ServiceAccount, endpoint: Url) -> Self {
        Settings {
            account,
            endpoint,
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

/// Client of one FCM project: sends messages and validates tokens.
pub struct Client {
    auth: Auth,
    transport: Transport,
    target: Target,
    request_timeout: Duration,
    check_timeout: Duration,
}

impl Client {
    /// Creates a client. Connects to nothing yet: FCM may be down.
    ///
    /// # Errors
    /// If the endpoint is no http(s) URL, or if a root certificate is needed and the system has
    /// none.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let tls = Tls::for_urls(&[&settings.endpoint, settings.account.token_uri()])?;
        let transport = Transport::new(&settings.endpoint, &tls, settings.transport())?;
        let target =
            transport.target(&payload::path(&settings.endpoint, settings.account.project_id())?)?;
        let auth = Auth::new(settings.account, &tls, settings.oauth_timeout)?;
        Ok(Client {
            auth,
            transport,
            target,
            request_timeout: settings.request_timeout,
            check_timeout: settings.request_timeout.saturating_add(settings.oauth_timeout),
        })
    }

    /// Makes one attempt to send a message. The attempt ends before `deadline`: a message that
    /// cannot be sent early enough for that (no access token in time) is not sent at all. The time
    /// to live of the message counts from `now`.
    pub async fn send(
        &self,
        message: &Message<'_>,
        now: DateTime<Utc>,
        deadline: Instant,
    ) -> Outcome {
        self.deliver(payload::send(message, now), deadline).await
    }

    /// Asks FCM, without sending anything, if it would deliver to this token. `Sent`: it would.
    /// `Gone` or `Rejected`: the token is invalid or of another project. Anything else: FCM could
    /// not answer.
    pub async fn validate(&self, token: &str) -> Outcome {
        let now = Instant::now();
        let deadline = now.checked_add(self.check_timeout).unwrap_or(now);
        match self.deliver(payload::validate(token), deadline).await {
            // For a message, our key may be of another project. For a new token, the token is.
            Outcome::Refused { code } if code == "SENDER_ID_MISMATCH" => Outcome::Rejected { code },
            outcome => outcome,
        }
    }

    /// Posts a request, and repeats it once if the access token was stale. No request begins so
    /// late that it could outlast `deadline`: an interrupted request would leave open if the
    /// message was sent.
    async fn deliver(&self, body: Bytes, deadline: Instant) -> Outcome {
        let Some(latest_start) = deadline.checked_sub(self.request_timeout) else {
            return too_late();
        };
        let bearer = match timeout_at(latest_start.into(), self.auth.bearer()).await {
            Ok(Ok(bearer)) => bearer,
            Ok(Err(error)) => return error.into(),
            Err(_) => return too_late(),
        };
        if let Ok(outcome) = self.post(&bearer, body.clone(), latest_start).await {
            return outcome;
        }
        let fresh = match timeout_at(latest_start.into(), self.auth.replace(&bearer)).await {
            Ok(Some(Ok(bearer))) => bearer,
            Ok(Some(Err(error))) => return error.into(),
            Ok(None) => return unauthenticated(),
            Err(_) => return too_late(),
        };
        self.post(&fresh, body, latest_start)
            .await
            .unwrap_or_else(|AccessTokenRefused| unauthenticated())
    }

    async fn post(
        &self,
        bearer: &Bearer,
        body: Bytes,
        latest_start: Instant,
    ) -> Result<Outcome, AccessTokenRefused> {
        if Instant::now() > latest_start {
            return Ok(too_late());
        }
        match self.transport.post(&self.target, bearer.headers(), body, latest_start).await {
            Ok(response) => {
                let outcome = error_table::outcome(&response, Utc::now())?;
                bearer.mark_accepted();
                Ok(outcome)
            }
            Err(error) => Ok(Outcome::Unavailable {
                retry_after: None,
                code: error.code().into(),
                maybe_delivered: error.maybe_delivered(),
            }),
        }
    }
}

/// Outcome of an attempt whose deadline passed before anything was sent.
fn too_late() -> Outcome {
    Outcome::Unavailable {
        retry_after: None,
        code: "DEADLINE_EXCEEDED".into(),
        maybe_delivered: false,
    }
}

fn unauthenticated() -> Outcome {
    Outcome::Misconfigured { code: "UNAUTHENTICATED".into() }
}
