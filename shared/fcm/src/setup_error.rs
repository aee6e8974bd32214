//! Errors of the set-up of the push channel.

/// Fault in the settings, found before anything is sent.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The endpoint, or the account's `token_uri`, is no http(s) URL.
    #[error("{0} is not an http(s) URL with a host")]
    Url(&'static str),
    /// The system's certificates could not be loaded.
    #[error("could not load the system's root certificates")]
    Roots(#[source] std::io::Error),
    /// The TLS library refused its own defaults.
    #[error("could not set up TLS")]
    Tls(#[source] rustls::Error),
}
