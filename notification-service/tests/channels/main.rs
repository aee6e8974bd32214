//! The channels against providers that speak the real protocols.

mod email;
mod fcm_auth;
mod fcm_connections;
mod fcm_outcomes;
mod phone;
mod servers;
