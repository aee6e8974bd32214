//! The client for calls to other HTTP services.

use std::time::Duration;

/// A client whose calls, connecting and body included, end within `timeout`.
///
/// # Errors
/// When the system's certificates cannot be used.
pub fn client(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().timeout(timeout).connect_timeout(timeout.min(Duration::from_secs(5))).build()?)
}
