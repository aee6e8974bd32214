//! Clients for calls to other HTTP services.

use std::time::Duration;

/// Creates a client whose calls, including connecting and the body, end within `timeout`.
///
/// # Errors
/// If the system's certificates cannot be used.
pub fn client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    Ok(builder(timeout).timeout(timeout).build()?)
}

/// Creates a client for bodies of any length: connecting, and each read of a body, end within
/// `timeout`.
///
/// # Errors
/// If the system's certificates cannot be used.
pub fn streaming_client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    Ok(builder(timeout).read_timeout(timeout).build()?)
}

fn builder(timeout: Duration) -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().connect_timeout(timeout.min(Duration::from_secs(5)))
}
