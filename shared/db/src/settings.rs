//! Settings of the database of a service.

use std::time::Duration;

use env_config::{LiveSecret, Reader};
use secrecy::ExposeSecret;
use sqlx::{PgPool, postgres::PgConnectOptions};

use super::{DbUrl, follow_changes, pool_options, tls::Tls};

/// Longest wait of a statement for a connection. A request ends earlier if its database is found to
/// be unreachable ([`super::Probe`]); other callers retry.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of a database.
#[derive(Debug, Clone)]
pub struct DbSettings {
    source: Source,
    /// Most connections that this process opens.
    pub max_connections: u32,
}

#[derive(Debug, Clone)]
enum Source {
    Url(DbUrl),
    Parts {
        host: String,
        port: u16,
        name: String,
        user: LiveSecret,
        password: Option<LiveSecret>,
        tls: Tls,
    },
}

impl Source {
    /// Options with the current secrets; `None` if the URL became malformed.
    fn options(&self) -> Option<PgConnectOptions> {
        match self {
            Self::Url(url) => url.options(),
            Self::Parts { host, port, name, user, password, tls } => {
                let options =
                    PgConnectOptions::new_without_pgpass().host(host).port(*port).database(name);
                let options = options.username(user.current().expose_secret());
                let options = password.iter().fold(options, |options, password| {
                    options.password(password.current().expose_secret())
                });
                Some(tls.apply(options, None))
            }
        }
    }

    fn secrets(&self) -> Vec<&LiveSecret> {
        match self {
            Self::Url(url) => vec![url.secret()],
            Self::Parts { user, password, .. } => std::iter::once(user).chain(password).collect(),
        }
    }
}

impl DbSettings {
    /// Reads `DATABASE_URL`, or `DB_HOST DB_PORT DB_NAME DB_USER DB_PASS`; `DB_MAX_CONNECTIONS`;
    /// and how TLS is used, `DB_SSLMODE DB_SSLROOTCERT`.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let url = reader.live_secret(
            "DATABASE_URL",
            "PostgreSQL, as postgres://user:password@host:port/name; this or DB_HOST is required",
        );
        let host = reader.optional::<String>(
            "DB_HOST",
            "host of PostgreSQL, in place of DATABASE_URL; needs DB_NAME and DB_USER",
        );
        let port = reader.or("DB_PORT", "port of PostgreSQL, with DB_HOST", 5432);
        let name = reader.optional::<String>("DB_NAME", "name of the database, with DB_HOST");
        let user = reader.live_value("DB_USER", "user of the database, with DB_HOST");
        let password = reader.live_secret("DB_PASS", "password of the database user, with DB_HOST");
        let tls = Tls::read(reader);
        let max_connections =
            reader.or("DB_MAX_CONNECTIONS", "largest number of connections to the database", 10)?;
        let source = match url {
            Some(url) => {
                let url = DbUrl::new(url, tls?);
                if url.options().is_none() {
                    reader.fault(
                        "DATABASE_URL",
                        "is malformed: expected postgres://user:password@host:port/name",
                    );
                    return None;
                }
                Source::Url(url)
            }
            None => {
                if host.is_none() {
                    reader.fault("DATABASE_URL", "is not set, and neither is DB_HOST");
                } else {
                    for (variable, is_missing) in
                        [("DB_NAME", name.is_none()), ("DB_USER", user.is_none())]
                    {
                        if is_missing {
                            reader.fault(variable, "is not set, and DB_HOST needs it");
                        }
                    }
                }
                Source::Parts {
                    host: host?,
                    port: port?,
                    name: name?,
                    user: user?,
                    password,
                    tls: tls?,
                }
            }
        };
        Some(Self { source, max_connections })
    }

    /// Creates a pool that connects on first use, so that a process starts while its database is
    /// unreachable.
    #[must_use]
    pub fn pool(&self, application: &str) -> PgPool {
        self.pool_with(application, &[])
    }

    /// Creates a pool with further session settings. Within a tokio runtime it follows changes of
    /// user, password and URL if they come from files.
    #[must_use]
    pub fn pool_with(&self, application: &str, session: &[(&'static str, &'static str)]) -> PgPool {
        let (source, application, session) =
            (self.source.clone(), application.to_owned(), session.to_vec());
        let options = move || {
            let options = source.options()?.application_name(&application).options([
                ("statement_timeout", "30s"),
                ("idle_in_transaction_session_timeout", "30s"),
                ("timezone", "UTC"),
            ]);
            Some(options.options(session.iter().copied()))
        };
        let first = options().unwrap_or_else(PgConnectOptions::new_without_pgpass);
        let pool = pool_options(self.max_connections, ACQUIRE_TIMEOUT).connect_lazy_with(first);
        follow_changes(
            &pool,
            self.source.secrets().into_iter().filter_map(LiveSecret::changes),
            options,
        );
        pool
    }
}
