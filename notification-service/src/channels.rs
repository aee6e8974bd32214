//! The ways a notification reaches a person: push by FCM HTTP v1 and e-mail by SES.
//!
//! A channel turns one plain message into one [`Outcome`](outcome::Outcome) and knows nothing of
//! queues, ledgers or databases; what follows from an outcome is decided by [`retry_policy`], a pure
//! function.

pub mod email;
pub mod fcm;
pub mod outcome;
pub mod retry_policy;
pub mod templates;
pub mod translations;
