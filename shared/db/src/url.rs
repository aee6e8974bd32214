//! URL of a database, which may change while the process runs.

use env_config::LiveSecret;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use url::Url;

use super::tls::{self, Tls};

/// URL of a database (`postgres://user:password@host:port/name`), with the TLS settings to use if
/// the URL has none (`sslmode`, `sslrootcert`).
#[derive(Debug, Clone)]
pub struct DbUrl {
    url: LiveSecret,
    tls: Tls,
}

impl DbUrl {
    /// Creates a URL of a secret that may change, with the TLS settings to use.
    #[must_use]
    pub fn new(url: LiveSecret, tls: Tls) -> Self {
        Self { url, tls }
    }

    /// The URL as a secret.
    #[must_use]
    pub fn secret(&self) -> &LiveSecret {
        &self.url
    }

    /// Options of the current URL; `None` if it is malformed.
    #[must_use]
    pub fn options(&self) -> Option<PgConnectOptions> {
        let url = self.url.current();
        let parsed = Url::parse(url.expose_secret()).ok()?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return None;
        }
        let options: PgConnectOptions = url.expose_secret().parse().ok()?;
        let parameter = |names: &[&str]| {
            parsed.query_pairs().filter(|(name, _)| names.contains(&&**name)).last()
        };
        let mode = match parameter(&["sslmode", "ssl-mode"]) {
            Some((_, mode)) => Some(tls::parse_mode(&mode)?),
            None => None,
        };
        let has_root = parameter(&["sslrootcert", "ssl-root-cert", "ssl-ca"]).is_some();
        Some(self.tls.apply(options, Some(tls::InUrl { mode, has_root })))
    }
}

impl From<SecretString> for DbUrl {
    fn from(url: SecretString) -> Self {
        Self::new(LiveSecret::fixed(url), Tls::default())
    }
}

impl From<String> for DbUrl {
    fn from(url: String) -> Self {
        SecretString::from(url).into()
    }
}

impl From<&str> for DbUrl {
    fn from(url: &str) -> Self {
        url.to_owned().into()
    }
}
