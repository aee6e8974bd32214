//! The sandbox from outside: what a sender sees of FCM, Google's token endpoint and SES, and what a
//! test sees of it.

mod capture;
mod client;
mod fcm;
mod mode;
mod oauth;
mod program;
mod ses;
