//! Environments of the services. The suite sets the variables that an operator would set, with the
//! private PostgreSQL and the sandbox; all others come from the environment of its process.

use std::{collections::BTreeMap, net::SocketAddr};

use env_config::{Env, ProcessEnv};
use service::http::guard::AllowedHosts;

type Variables = BTreeMap<String, String>;

/// Default sender of the e-mails.
const SENDER: &str = "reminders@example.com";
/// Variables that the suite does not pass on, beside those that it sets: they would connect a
/// service to something outside of this process.
const BLOCKED: [&str; 18] = [
    "DB_HOST",
    "DB_PORT",
    "DB_NAME",
    "DB_USER",
    "DB_PASS",
    "DB_SSLMODE",
    "DB_SSLROOTCERT",
    "EVENT_TOPIC_ARN",
    "NOTIFICATION_TOPIC_ARN",
    "EVENT_QUEUE_URL",
    "NOTIFICATION_QUEUE_URL",
    "SES_FEEDBACK_QUEUE_URL",
    "AWS_ENDPOINT_URL_SNS",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_SES",
    "AWS_SESSION_TOKEN",
    "SES_EMAIL_TEMPLATE",
    "SES_CONFIGURATION_SET",
];

/// Variables that all services have in common.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// Variables that the suite sets.
    own: Variables,
    /// Defaults of variables that the environment of the process may set.
    defaults: Variables,
}

/// Environment of one service.
#[derive(Debug, Clone)]
pub(crate) struct ServiceEnv<P = ProcessEnv> {
    environment: Environment,
    process: P,
}

impl Environment {
    /// Builds the common variables from the URL of the bus, the URL of the sandbox, and the origin
    /// whose pages may call the APIs.
    pub(crate) fn new(bus_url: String, sandbox_url: &str, origin: String) -> Self {
        let own = [
            ("APP_ENV", "local".to_owned()),
            ("ADMIN_PORT", "0".to_owned()),
            ("BUS", "postgres".to_owned()),
            ("BUS_DATABASE_URL", bus_url),
        ];
        let own = own
            .into_iter()
            .chain(sandbox::fcm_variables(sandbox_url))
            .chain(sandbox::ses_variables(sandbox_url));
        let defaults = [
            ("BIND_ADDRESS", "127.0.0.1".to_owned()),
            ("ALLOWED_HOSTS", AllowedHosts::loopback().to_string()),
            ("CORS_ALLOWED_ORIGINS", origin),
            ("SES_SOURCE_EMAIL", SENDER.to_owned()),
        ];
        let named = |(name, value): (&str, String)| (name.to_owned(), value);
        Self { own: own.map(named).collect(), defaults: defaults.map(named).into() }
    }

    /// Returns a copy with the addresses of two services, from which reminder-service collects an
    /// export.
    pub(crate) fn with_peers(&self, event: SocketAddr, notification: SocketAddr) -> Self {
        let peers = [("EVENT_SERVICE_URL", event), ("NOTIFICATION_SERVICE_URL", notification)];
        let mut environment = self.clone();
        environment
            .own
            .extend(peers.map(|(name, address)| (name.to_owned(), format!("http://{address}"))));
        environment
    }

    /// Returns the environment of one service.
    pub(crate) fn of_service(&self, port: u16, database_url: String) -> ServiceEnv {
        let mut environment = self.clone();
        let own = [("PORT", port.to_string()), ("DATABASE_URL", database_url)];
        environment.own.extend(own.map(|(name, value)| (name.to_owned(), value)));
        ServiceEnv { environment, process: ProcessEnv }
    }

    /// Returns the variables that are set for the process and not used, because the suite has its
    /// own values.
    pub(crate) fn ignored(&self) -> Vec<String> {
        let per_service = ["PORT", "DATABASE_URL", "EVENT_SERVICE_URL", "NOTIFICATION_SERVICE_URL"];
        let names = self.own.keys().map(String::as_str).chain(per_service).chain(BLOCKED);
        let names = names.flat_map(|name| [name.to_owned(), format!("{name}_FILE")]);
        names.filter(|name| ProcessEnv.get(name).is_some()).collect()
    }
}

impl<P: Env> Env for ServiceEnv<P> {
    fn get(&self, name: &str) -> Option<String> {
        let Environment { own, defaults } = &self.environment;
        if let Some(value) = own.get(name) {
            return Some(value.clone());
        }
        let plain = name.strip_suffix("_FILE").unwrap_or(name);
        if own.contains_key(plain) || BLOCKED.contains(&plain) {
            return None;
        }
        let default = || {
            defaults
                .get(name)
                .filter(|_| self.process.get(&format!("{name}_FILE")).is_none())
                .cloned()
        };
        self.process.get(name).or_else(default)
    }
}

/// Environment of the suite's own logging, with defaults for a terminal: few messages, readable.
pub(crate) struct LogEnv {
    /// `true` if `--verbose` was given.
    pub(crate) verbose: bool,
}

impl Env for LogEnv {
    fn get(&self, name: &str) -> Option<String> {
        let default = match (name, self.verbose) {
            ("LOG_FORMAT", _) => Some("pretty"),
            ("RUST_LOG", true) => Some("info"),
            // A download takes minutes, so it is always logged. Slow statements are not: they are
            // frequent on a desktop.
            ("RUST_LOG", false) => Some("warn,sqlx=error,private_postgres::fetch=info"),
            _ => None,
        };
        ProcessEnv.get(name).or_else(|| default.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(process: &[(&str, &str)]) -> ServiceEnv<Variables> {
        let environment = Environment::new("bus".into(), "http://sandbox", "http://console".into());
        let ServiceEnv { environment, .. } = environment.of_service(3000, "database".into());
        let process =
            process.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ServiceEnv { environment, process }
    }

    #[test]
    fn passes_variables_of_process_on() {
        let env =
            env(&[("RETENTION_DAYS", "7"), ("CORS_ALLOWED_ORIGINS", "https://app.example.com")]);
        assert_eq!(env.get("RETENTION_DAYS").as_deref(), Some("7"));
        assert_eq!(env.get("CORS_ALLOWED_ORIGINS").as_deref(), Some("https://app.example.com"));
        assert_eq!(env.get("BIND_ADDRESS").as_deref(), Some("127.0.0.1"));
        assert_eq!(env.get("ALLOWED_HOSTS").as_deref(), Some("127.0.0.1,localhost,[::1]"));
    }

    #[test]
    fn keeps_variables_that_suite_sets() {
        let env = env(&[
            ("DATABASE_URL", "other"),
            ("DB_HOST", "other"),
            ("AWS_REGION", "eu-west-1"),
            ("BUS_FILE", "x"),
        ]);
        assert_eq!(env.get("DATABASE_URL").as_deref(), Some("database"));
        assert_eq!(env.get("AWS_REGION").as_deref(), Some("us-east-1"));
        assert_eq!((env.get("DB_HOST"), env.get("BUS_FILE")), (None, None));
    }

    #[test]
    fn prefers_file_variable_to_default() {
        let env = env(&[("SES_SOURCE_EMAIL_FILE", "/run/sender")]);
        assert_eq!(env.get("SES_SOURCE_EMAIL"), None);
        assert_eq!(env.get("SES_SOURCE_EMAIL_FILE").as_deref(), Some("/run/sender"));
    }
}
