//! The environments the services are started with: what an operator would set, pointing at the private PostgreSQL and
//! the sandbox.

use std::{collections::BTreeMap, net::SocketAddr};

use shared::config::{Env, ProcessEnv};

/// A service's variables.
pub(crate) type Variables = BTreeMap<String, String>;

/// The name of the sender of the sandbox's e-mail.
const SENDER: &str = "reminders@example.com";

/// What all services have in common.
#[derive(Debug, Clone)]
pub(crate) struct Environment(Variables);

impl Environment {
    /// The common variables: the bus, the providers, and the origin whose pages may call the APIs.
    pub(crate) fn new(bus_url: String, providers_url: &str, fcm_project: String, origin: String) -> Self {
        let variables = [
            ("APP_ENV", "local".to_owned()),
            ("BIND_ADDRESS", "127.0.0.1".to_owned()),
            ("ADMIN_PORT", "0".to_owned()),
            ("BUS", "postgres".to_owned()),
            ("BUS_DATABASE_URL", bus_url),
            ("FCM_ENDPOINT", providers_url.to_owned()),
            ("FCM_PROJECT_CONFIG", fcm_project),
            ("AWS_ENDPOINT_URL", providers_url.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "sandbox".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "sandbox".to_owned()),
            ("SES_SOURCE_EMAIL", SENDER.to_owned()),
            ("CORS_ALLOWED_ORIGINS", origin),
        ];
        Self(variables.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// The same, and where two of the services are: reminder-service gathers an export from them.
    pub(crate) fn with_peers(&self, event: SocketAddr, notification: SocketAddr) -> Self {
        let peers = [("EVENT_SERVICE_URL", event), ("NOTIFICATION_SERVICE_URL", notification)];
        let peers = peers.map(|(name, address)| (name.to_owned(), format!("http://{address}")));
        Self(self.0.clone().into_iter().chain(peers).collect())
    }

    /// The variables of one service.
    pub(crate) fn of(&self, port: u16, database_url: String) -> Variables {
        let own = [("PORT", port.to_string()), ("DATABASE_URL", database_url)];
        self.0.clone().into_iter().chain(own.map(|(name, value)| (name.to_owned(), value))).collect()
    }
}

/// What the suite itself reads of the process's environment, with its own defaults: quiet, for a terminal.
pub(crate) struct LogEnv {
    /// Whether `--verbose` was given.
    pub(crate) verbose: bool,
}

impl Env for LogEnv {
    fn get(&self, name: &str) -> Option<String> {
        let default = match (name, self.verbose) {
            ("LOG_FORMAT", _) => Some("pretty"),
            ("RUST_LOG", true) => Some("info"),
            // A download takes minutes: it is told of without being asked. That a statement is slow is no news on a desk.
            ("RUST_LOG", false) => Some("warn,sqlx=error,private_postgres::fetch=info"),
            _ => None,
        };
        ProcessEnv.get(name).or_else(|| default.map(str::to_owned))
    }
}
