//! Groups of variables that several services share.

use std::{fmt, net::IpAddr, net::Ipv4Addr, str::FromStr, time::Duration};

use bus::{
    BusSettings, Packing, SharedBus,
    settings::{AwsCredentials, AwsSettings, PostgresSettings},
};
use db::{DbUrl, Tls};
use env_config::{AppEnv, Reader};

use crate::{outbox::USER_EVENTS_PER_SECOND, telemetry::TelemetrySettings};

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a terminal.
    Pretty,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err("expected pretty or json"),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
        })
    }
}

/// Settings of every process: its environment, its addresses, its logs.
#[derive(Debug, Clone)]
pub struct Process {
    /// The environment.
    pub app_env: AppEnv,
    /// The address that both listeners bind to.
    pub bind: IpAddr,
    /// The REST port; 0 selects a free one.
    pub port: u16,
    /// The port of health and metrics; 0 selects a free one.
    pub admin_port: u16,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
}

impl Process {
    /// Reads `APP_ENV BIND_ADDRESS PORT ADMIN_PORT LOG_FORMAT RUST_LOG
    /// OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let app_env = reader.or(
            "APP_ENV",
            "environment: local, development, staging or production",
            AppEnv::Local,
        );
        let bind = reader.or(
            "BIND_ADDRESS",
            "address that both listeners bind to",
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        );
        let port = reader.or("PORT", "port of the REST API", 3000);
        let admin_port = reader.or("ADMIN_PORT", "port of /healthz, /readyz and /metrics", 9090);
        let telemetry = TelemetrySettings::read(reader);
        Some(Self {
            app_env: app_env?,
            bind: bind?,
            port: port?,
            admin_port: admin_port?,
            telemetry: telemetry?,
        })
    }
}

/// Settings of the bus, and the names of its topics and queues.
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// Selected adapter with its settings.
    pub settings: BusSettings,
    /// Topics whose events are packed (`BUS_PACKING`).
    pub packing: Packing,
    /// The topic of facts (`EVENT_TOPIC_ARN`).
    pub event_topic: String,
    /// The topic of due notifications (`NOTIFICATION_TOPIC_ARN`).
    pub notification_topic: String,
    /// event-service's queue (`EVENT_QUEUE_URL`).
    pub event_queue: String,
    /// notification-service's queue (`NOTIFICATION_QUEUE_URL`).
    pub notification_queue: String,
    /// Bounces and complaints (`SES_FEEDBACK_QUEUE_URL`); without it none are read on aws.
    pub ses_feedback_queue: Option<String>,
    /// Retention of dead letters on the postgres bus (`DEAD_LETTER_DAYS`); on aws the queues have
    /// their own.
    pub dead_letters_kept: Duration,
}

impl BusConfig {
    /// Creates the configured bus. Opens no connection.
    ///
    /// # Errors
    /// If the settings are malformed, or this build lacks the adapter.
    pub async fn connect(&self) -> Result<SharedBus, bus::Error> {
        bus::connect(&self.settings, &self.packing).await
    }

    /// Reads `BUS` and the variables of the selected bus. `used` names the topic and queue
    /// variables that this service requires on aws (on the postgres bus each has a default).
    pub fn read(reader: &mut Reader<'_>, used: &[&'static str]) -> Option<Self> {
        let bus: Option<String> =
            reader.required("BUS", "message bus: aws (SNS and SQS) or postgres (pgmq)");
        let url = reader.live_secret(
            "BUS_DATABASE_URL",
            "PostgreSQL of the bus, as a URL; required with BUS=postgres",
        );
        let tls = Tls::read(reader);
        let connections = reader.or(
            "BUS_MAX_CONNECTIONS",
            "largest number of connections to the PostgreSQL of the bus",
            8,
        );
        let packing = reader.or(
            "BUS_PACKING",
            "packing of several events in one message: on, off, or topic=off for a topic with \
             subscribers that read single events, separated by commas",
            Packing::default(),
        );
        let aws = aws_settings(reader);
        let settings = match bus.as_deref() {
            Some("aws") => aws.map(BusSettings::Aws),
            Some("postgres") => {
                if url.is_none() {
                    reader.fault("BUS_DATABASE_URL", "is not set, and BUS=postgres needs it");
                }
                let url = url.zip(tls).map(|(url, tls)| DbUrl::new(url, tls));
                if url.as_ref().is_some_and(|url| url.options().is_none()) {
                    reader.fault(
                        "BUS_DATABASE_URL",
                        "is malformed: expected postgres://user:password@host:port/name",
                    );
                }
                url.zip(connections).map(|(url, max_connections)| {
                    BusSettings::Postgres(PostgresSettings { url, max_connections })
                })
            }
            Some(_) => {
                reader.fault("BUS", "is malformed: expected aws or postgres");
                None
            }
            None => None,
        };
        let on_aws = bus.as_deref() == Some("aws");
        let mut name = |variable, about, default: &str| {
            let given = reader.optional::<String>(variable, about);
            if given.is_none() && on_aws && used.contains(&variable) {
                reader.fault(variable, "is not set, and BUS=aws needs it");
            }
            given.unwrap_or_else(|| default.to_owned())
        };
        let event_topic = name("EVENT_TOPIC_ARN", "topic of events", "event-topic");
        let notification_topic =
            name("NOTIFICATION_TOPIC_ARN", "topic of due notifications", "notification-topic");
        let event_queue = name("EVENT_QUEUE_URL", "queue of event-service", "event-queue");
        let notification_queue =
            name("NOTIFICATION_QUEUE_URL", "queue of notification-service", "notification-queue");
        let feedback =
            reader.optional::<String>("SES_FEEDBACK_QUEUE_URL", "queue of bounces and complaints");
        let ses_feedback_queue =
            feedback.or_else(|| (!on_aws).then(|| "ses-feedback-queue".to_owned()));
        let dead_letters_kept = dead_letters_kept(reader);
        Some(Self {
            settings: settings?,
            packing: packing?,
            event_topic,
            notification_topic,
            event_queue,
            notification_queue,
            ses_feedback_queue,
            dead_letters_kept: dead_letters_kept?,
        })
    }
}

/// Reads `DEAD_LETTER_DAYS`. The default is the longest retention of SQS.
fn dead_letters_kept(reader: &mut Reader<'_>) -> Option<Duration> {
    const NAME: &str = "DEAD_LETTER_DAYS";
    let days: u64 = reader.or(NAME, "retention of dead letters in days (BUS=postgres)", 14)?;
    if (1..=3650).contains(&days) {
        return Some(Duration::from_secs(days * 24 * 60 * 60));
    }
    reader.fault(NAME, "is malformed: expected 1 to 3650");
    None
}

/// Reads `AWS_REGION AWS_ENDPOINT_URL AWS_ENDPOINT_URL_{SNS,SQS,SES} AWS_ACCESS_KEY_ID
/// AWS_SECRET_ACCESS_KEY`; without keys the default chain of the SDK (web identity, profile,
/// instance role) is used.
pub fn aws_settings(reader: &mut Reader<'_>) -> Option<AwsSettings> {
    let region = reader.or("AWS_REGION", "region of SNS, SQS and SES", "us-east-1".to_owned());
    let endpoint_url = reader.optional(
        "AWS_ENDPOINT_URL",
        "endpoint in place of AWS's for SNS, SQS and SES (an emulator)",
    );
    let sns_endpoint_url =
        reader.optional("AWS_ENDPOINT_URL_SNS", "endpoint in place of AWS's for SNS alone");
    let sqs_endpoint_url =
        reader.optional("AWS_ENDPOINT_URL_SQS", "endpoint in place of AWS's for SQS alone");
    let ses_endpoint_url =
        reader.optional("AWS_ENDPOINT_URL_SES", "endpoint in place of AWS's for SES alone");
    let key_id = reader
        .live_value("AWS_ACCESS_KEY_ID", "static AWS credentials; unset: the SDK's default chain");
    let secret = reader.live_secret(
        "AWS_SECRET_ACCESS_KEY",
        "static AWS credentials; unset: the SDK's default chain",
    );
    let token = reader.secret("AWS_SESSION_TOKEN", "session token of temporary AWS credentials");
    // The SDK itself reads temporary credentials and everything else that is not a plain pair.
    let key = key_id.zip(secret).filter(|_| token.is_none());
    let credentials = key.map(|(key_id, secret)| AwsCredentials { key_id, secret });
    Some(AwsSettings {
        region: region?,
        endpoint_url,
        credentials,
        sns_endpoint_url,
        sqs_endpoint_url,
        ses_endpoint_url,
    })
}

/// Reads `RETENTION_DAYS`, the retention of events and deliveries that have ended.
pub fn retention(reader: &mut Reader<'_>) -> Option<chrono::TimeDelta> {
    const NAME: &str = "RETENTION_DAYS";
    let days: i64 =
        reader.or(NAME, "retention of events, and of deliveries that have ended, in days", 90)?;
    if (1..=3650).contains(&days) {
        return Some(chrono::TimeDelta::days(days));
    }
    reader.fault(NAME, "is malformed: expected 1 to 3650");
    None
}

/// Reads `USER_EVENTS_PER_SECOND`, the number of messages of one user that a process publishes per
/// second; further ones wait in its outbox.
pub fn user_events(reader: &mut Reader<'_>) -> Option<u32> {
    const NAME: &str = "USER_EVENTS_PER_SECOND";
    let share = reader.or(
        NAME,
        "messages of one user published per second; the others wait in the outbox",
        USER_EVENTS_PER_SECOND,
    )?;
    if (10..=1_000_000).contains(&share) {
        return Some(share);
    }
    reader.fault(NAME, "is malformed: expected 10 to 1000000");
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn bounds_user_events_per_second() {
        let read = |value: &str| {
            let env = BTreeMap::from([("USER_EVENTS_PER_SECOND".to_owned(), value.to_owned())]);
            env_config::read(&env, user_events).ok()
        };
        assert_eq!(
            env_config::read(&BTreeMap::new(), user_events).ok(),
            Some(USER_EVENTS_PER_SECOND)
        );
        assert_eq!((read("10"), read("1000000")), (Some(10), Some(1_000_000)));
        assert_eq!((read("9"), read("1000001"), read("many")), (None, None, None));
    }
}
