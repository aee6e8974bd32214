//! Stand-ins for FCM HTTP v1, Google's token endpoint and SES that speak the real protocols and
//! capture what arrives.
//!
//! One server, HTTP/1.1 and h2c on one port. The *address* of a message selects the answer, so that
//! a test states the provider's behaviour in its data: a push to the token `unregistered-1` is
//! answered 404 `UNREGISTERED`, an e-mail to `throttle@example.com` is throttled.
//! [`fcm::Behaviour`] and [`ses::Behaviour`] list all behaviours. A [`Mode`] changes a whole
//! provider: every answer is 503 or slow, no request is answered, or connections break.
//!
//! Accepted messages are kept in a bounded store, in order of arrival. Read them with
//! [`Sandbox::captured`] or [`Sandbox::wait_for`], or over HTTP below `/_sandbox/`.

mod admin;
pub mod capture;
mod environment;
pub mod fcm;
mod guard;
mod mode;
mod oauth;
mod sandbox;
mod server;
pub mod ses;

pub use capture::{Captured, Email, Kind, Push};
pub use environment::{fcm_variables, ses_variables};
pub use mode::{FcmMode, Mode, OAuthMode, SesMode};
pub use oauth::service_account;
pub use sandbox::{Error, Options, Sandbox, TimedOut};
