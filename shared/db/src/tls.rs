//! TLS of connections to PostgreSQL (libpq's `sslmode`).

use std::path::PathBuf;

use rustls::pki_types::{CertificateDer, pem::PemObject};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use env_config::{AppEnv, Reader, secret_file};

const MODES: &str = "is malformed: expected disable, prefer, require, verify-ca or verify-full";

/// TLS settings for connections whose URL has none.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    mode: Option<PgSslMode>,
    root: Option<Root>,
    /// `true` outside of `local`, where connections to other machines use TLS unless configured
    /// otherwise.
    is_shared: bool,
}

/// Certificates of the authorities that may have issued the one of the server.
#[derive(Debug, Clone)]
enum Root {
    /// A file, read for each connection.
    Path(PathBuf),
    /// The certificates themselves.
    Pem(String),
}

/// TLS settings in a URL.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct InUrl {
    pub(super) mode: Option<PgSslMode>,
    pub(super) has_root: bool,
}

impl Tls {
    /// Reads `DB_SSLMODE DB_SSLROOTCERT`, and libpq's `PGSSLMODE PGSSLROOTCERT` where they are not
    /// set.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let app_env = reader.or(
            "APP_ENV",
            "environment: local, development, staging or production",
            AppEnv::Local,
        );
        let modes = [
            mode(
                reader,
                "DB_SSLMODE",
                "TLS to PostgreSQL: disable, prefer, require, verify-ca or verify-full; unset: \
                 require, except with APP_ENV=local or to this machine",
            ),
            mode(reader, "PGSSLMODE", "the same, where DB_SSLMODE is not set"),
        ];
        let roots = [
            root(
                reader,
                "DB_SSLROOTCERT",
                "certificate authorities of PostgreSQL (PEM, or a path), in addition to the \
                system's",
            ),
            root(reader, "PGSSLROOTCERT", "the same, where DB_SSLROOTCERT is not set"),
        ];
        let [mode, libpq_mode] = modes;
        let [root, libpq_root] = roots;
        Some(Self {
            mode: mode?.or(libpq_mode?),
            root: root?.or(libpq_root?),
            is_shared: app_env? != AppEnv::Local,
        })
    }

    /// Completes options by the settings of the URL, then the variables, then the default.
    pub(super) fn apply(
        &self,
        options: PgConnectOptions,
        in_url: Option<InUrl>,
    ) -> PgConnectOptions {
        let InUrl { mode, has_root } = in_url.unwrap_or_default();
        if options.get_socket().is_some() || options.get_host().starts_with('/') {
            // As in libpq, there is no TLS over a Unix socket.
            return options.ssl_mode(PgSslMode::Disable);
        }
        let has_root = has_root || self.root.is_some();
        let mode = match (mode.or(self.mode), has_root) {
            (None, true) => PgSslMode::VerifyFull,
            (None, false) if self.is_shared && !is_this_machine(options.get_host()) => {
                PgSslMode::Require
            }
            (None, false) => PgSslMode::Prefer,
            // As in libpq, given certificates are verified.
            (Some(PgSslMode::Require), true) => PgSslMode::VerifyCa,
            (Some(mode), _) => mode,
        };
        let options = options.ssl_mode(mode);
        match (&self.root, in_url.is_some_and(|url| url.has_root)) {
            (Some(Root::Path(path)), false) => options.ssl_root_cert(path),
            (Some(Root::Pem(pem)), false) => {
                options.ssl_root_cert_from_pem(pem.clone().into_bytes())
            }
            _ => options,
        }
    }
}

/// Parses a mode. `allow`, which would try without TLS first, is read as `prefer`.
pub(super) fn parse_mode(text: &str) -> Option<PgSslMode> {
    let mode = text.parse().ok()?;
    Some(if matches!(mode, PgSslMode::Allow) { PgSslMode::Prefer } else { mode })
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Reads an optional mode. The outer option is `None` if it is malformed, which is a fault.
fn mode(
    reader: &mut Reader<'_>,
    name: &'static str,
    about: &'static str,
) -> Option<Option<PgSslMode>> {
    let Some(text) = reader.optional::<String>(name, about) else { return Some(None) };
    let mode = parse_mode(&text);
    if mode.is_none() {
        reader.fault(name, MODES);
    }
    mode.map(Some)
}

/// Reads optional certificates. The outer option is `None` if they cannot be used, which is a
/// fault.
fn root(reader: &mut Reader<'_>, name: &'static str, about: &'static str) -> Option<Option<Root>> {
    let Some(text) = reader.optional::<String>(name, about) else { return Some(None) };
    let (pem, root) = if text.contains("-----BEGIN") {
        (Ok(text.clone()), Root::Pem(text))
    } else {
        let path = PathBuf::from(text);
        (secret_file::read(&path), Root::Path(path))
    };
    match pem {
        Err(problem) => {
            reader.fault(name, format!("names a file that {problem}"));
            None
        }
        Ok(pem) if !holds_certificates(&pem) => {
            reader.fault(name, "holds no certificate in PEM form");
            None
        }
        Ok(_) => Some(Some(root)),
    }
}

fn holds_certificates(pem: &str) -> bool {
    let mut certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).peekable();
    certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok())
}
