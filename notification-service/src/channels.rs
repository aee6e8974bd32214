//! Delivery channels: push notifications over FCM HTTP v1 and e-mail over Amazon SES.
//!
//! A channel makes one attempt to send one message and returns its [`Outcome`](outcome::Outcome).
//! It does not know the queue, the ledger or the database. [`retry_policy`], a pure function,
//! decides what follows from an outcome.

pub mod email;
pub mod outcome;
pub mod push;
pub mod retry_policy;
pub mod templates;
pub mod translations;
