//! Stand-ins for FCM HTTP v1, Google's token endpoint and SES that speak the real protocols and
//! capture what arrives.
//!
//! One server, HTTP/1.1 and h2c on one port. What a provider would answer is chosen by the
//! *address*, so that a test says in its data what shall happen: a push to the token
//! `unregistered-1` is answered 404 `UNREGISTERED`, a mail to `throttle@example.com` is throttled.
//! [`fcm::Behaviour`] and [`ses::Behaviour`] list them all. A [`Mode`] changes a whole provider:
//! everything 503, slow, silent, or down.
//!
//! What was accepted lies in a bounded store, in order of arrival: [`Sandbox::captured`],
//! [`Sandbox::wait_for`], or over HTTP below `/_sandbox/`.

mod admin;
pub mod capture;
pub mod fcm;
mod guard;
mod mode;
mod oauth;
mod sandbox;
mod server;
pub mod ses;

pub use capture::{Captured, Email, Kind, Push};
pub use mode::{FcmMode, Mode, OAuthMode, SesMode};
pub use oauth::service_account;
pub use sandbox::{Error, Options, Sandbox, TimedOut};
