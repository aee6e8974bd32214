//! Configuration of the service, read from the environment.

use std::{fmt::Display, ops::RangeInclusive, path::Path, str::FromStr, sync::Arc, time::Duration};

use bus::settings::AwsSettings;
use chrono::TimeDelta;
use db::DbSettings;
use env_config::{Env, LiveSecret, Reader, Report};
use fcm::ServiceAccount;
use rest::{ApiSettings, Auth, ExportLimit, Operators};
use secrecy::ExposeSecret;
use service::settings::{BusConfig, Process};
use url::Url;

use crate::channels::templates::{Faults, Templates};

/// Configuration of notification-service.
#[derive(Debug, Clone)]
pub struct Config {
    /// Environment, addresses and logs.
    pub process: Process,
    /// Devices database.
    pub database: DbSettings,
    /// Bus, topic of events and queue of due occurrences.
    pub bus: BusConfig,
    /// Identification of callers.
    pub auth: Auth,
    /// Settings of the REST API.
    pub api: ApiSettings,
    /// `OPERATOR_TOKEN`, with which reminder-service reads the changes of zones.
    pub operators: Operators,
    /// Push notifications.
    pub fcm: FcmConfig,
    /// E-mail.
    pub ses: SesConfig,
    /// Templates of pushes and e-mails.
    pub templates: Arc<Templates>,
    /// Largest number of pushes in flight.
    pub push_max_in_flight: usize,
    /// Largest number of e-mails in flight.
    pub email_max_in_flight: usize,
    /// Largest number of devices of one user.
    pub max_devices_per_user: usize,
    /// Largest number of pushes to one user in a minute.
    pub push_per_user_per_minute: u32,
    /// Largest number of e-mails to one user in a minute.
    pub email_per_user_per_minute: u32,
    /// Time after which a claimed delivery without a recorded outcome is claimed by other
    /// processes.
    pub takeover: Duration,
    /// Largest number of token checks in flight.
    pub device_checks_max_in_flight: usize,
    /// Retention of deliveries.
    pub retention: TimeDelta,
    /// Largest number of concurrent exports.
    pub exports: usize,
    /// Largest number of messages of one user that are published in a second.
    pub user_events: u32,
}

/// Configuration of push notifications.
#[derive(Debug, Clone)]
pub struct FcmConfig {
    /// Service account of the Firebase project.
    pub account: ServiceAccount,
    /// Base URL of FCM.
    pub endpoint: Url,
    /// Largest number of messages of the project in a minute, by all processes together.
    pub max_per_minute: u32,
}

/// Configuration of e-mail.
#[derive(Debug, Clone)]
pub struct SesConfig {
    /// Connection to SES, independent of the bus.
    pub aws: AwsSettings,
    /// Sender.
    pub source: String,
    /// Name of a template stored with SES. `None`: the templates above.
    pub template: Option<String>,
    /// Configuration set that publishes bounces and complaints.
    pub configuration_set: Option<String>,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A report that names every missing or malformed variable.
    pub fn read(env: &dyn Env) -> Result<Self, Report> {
        env_config::read(env, Self::parse)
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let process = Process::read(reader);
        let database = DbSettings::read(reader);
        let bus = BusConfig::read(reader, &["EVENT_TOPIC_ARN", "NOTIFICATION_QUEUE_URL"]);
        let app_env = process.as_ref().map(|process| process.app_env);
        let auth = Auth::read(reader, app_env);
        let operators = Operators::read_optional(reader, app_env);
        let api = ApiSettings::read(reader);
        let fcm = FcmConfig::parse(reader);
        let ses = SesConfig::parse(reader);
        let templates = read_templates(reader);
        let push_max_in_flight =
            within(reader, "PUSH_MAX_IN_FLIGHT", "pushes in flight to FCM", 1_000, 1..=100_000);
        let email_max_in_flight =
            within(reader, "EMAIL_MAX_IN_FLIGHT", "e-mails in flight to SES", 50, 1..=100_000);
        let max_devices_per_user = within(
            reader,
            "MAX_DEVICES_PER_USER",
            "devices of one user; a new one replaces the least recently registered",
            20,
            1..=100,
        );
        let push_per_user_per_minute = within(
            reader,
            "PUSH_PER_USER_PER_MINUTE",
            "pushes to one user in a minute; further ones wait",
            6_000,
            PER_MINUTE_RANGE,
        );
        let email_per_user_per_minute = within(
            reader,
            "EMAIL_PER_USER_PER_MINUTE",
            "e-mails to one user in a minute; further ones wait",
            600,
            PER_MINUTE_RANGE,
        );
        let takeover = within(
            reader,
            "TAKEOVER_SECONDS",
            "seconds after which other processes take over deliveries of a lost process",
            90,
            60..=900,
        );
        let checks = within(
            reader,
            "DEVICE_CHECKS_MAX_IN_FLIGHT",
            "token checks of registrations in flight to FCM",
            100,
            1..=1_000,
        );
        let retention = service::settings::retention(reader);
        let exports = ExportLimit::read(reader);
        let user_events = service::settings::user_events(reader);
        Some(Self {
            process: process?,
            database: database?,
            bus: bus?,
            auth: auth?,
            api: api?,
            operators,
            fcm: fcm?,
            ses: ses?,
            templates: templates?,
            push_max_in_flight: push_max_in_flight?,
            email_max_in_flight: email_max_in_flight?,
            max_devices_per_user: max_devices_per_user?,
            push_per_user_per_minute: push_per_user_per_minute?,
            email_per_user_per_minute: email_per_user_per_minute?,
            takeover: Duration::from_secs(takeover?),
            device_checks_max_in_flight: checks?,
            retention: retention?,
            exports: exports?,
            user_events: user_events?,
        })
    }
}

/// Reads the templates, and tests each of them.
pub(crate) fn read_templates(reader: &mut Reader<'_>) -> Option<Arc<Templates>> {
    const FOLDER: &str = "TEMPLATES_DIR";
    let folder = reader.optional::<String>(
        FOLDER,
        "folder of templates and translations that replace the built-in ones",
    );
    let templates =
        folder.map_or_else(Templates::built_in, |folder| Templates::load(Path::new(&folder)));
    let faulty = |faults: Faults| reader.fault(FOLDER, format!("has {faults}"));
    templates.map(Arc::new).map_err(faulty).ok()
}

/// Accepted range of the limits for one user in a minute.
const PER_MINUTE_RANGE: RangeInclusive<u32> = 1..=1_000_000;

/// Reads a number with a default and a range.
fn within<T>(
    reader: &mut Reader<'_>,
    name: &'static str,
    about: &'static str,
    default: T,
    range: RangeInclusive<T>,
) -> Option<T>
where
    T: FromStr<Err: Display> + Display + PartialOrd,
{
    let value = reader.or(name, about, default)?;
    if range.contains(&value) {
        return Some(value);
    }
    reader.fault(name, format!("is malformed: expected {} to {}", range.start(), range.end()));
    None
}

impl FcmConfig {
    fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        const ACCOUNT: &str = "FCM_PROJECT_CONFIG";
        const ENDPOINT: &str = "FCM_ENDPOINT";
        let account = reader.required_live_secret(
            ACCOUNT,
            "service account of the Firebase project, as JSON or as a path to it",
        );
        let endpoint = reader.or(ENDPOINT, "base URL of FCM", fcm::ENDPOINT.to_owned());
        let account = account.and_then(|account| match parse_account(account) {
            Ok(account) => Some(account),
            Err(problem) => {
                reader.fault(ACCOUNT, format!("is malformed: {problem}"));
                None
            }
        });
        let endpoint = endpoint.and_then(|text| {
            let url = Url::parse(&text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if url.is_none() {
                reader.fault(ENDPOINT, "is malformed: expected an http or https URL");
            }
            url
        });
        let max = within(
            reader,
            "FCM_MAX_PER_MINUTE",
            "messages of the Firebase project in a minute, by all replicas together",
            600_000,
            60..=1_000_000_000,
        );
        let max_per_minute = max.and_then(|max| u32::try_from(max).ok());
        Some(Self { account: account?, endpoint: endpoint?, max_per_minute: max_per_minute? })
    }
}

/// Parses a service account that is given as JSON or as the path of a file.
fn parse_account(given: LiveSecret) -> Result<ServiceAccount, String> {
    let text = given.current();
    let text = text.expose_secret().trim();
    let source = if text.starts_with('{') {
        given
    } else {
        let opened = LiveSecret::open("FCM_PROJECT_CONFIG", text.into());
        opened.map_err(|problem| {
            format!("neither JSON nor the path of a usable file, which {problem}")
        })?
    };
    ServiceAccount::live(move || source.current()).map_err(|error| error.to_string())
}

impl SesConfig {
    fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        const SOURCE: &str = "SES_SOURCE_EMAIL";
        let aws = service::settings::aws_settings(reader);
        let source =
            reader.required::<String>(SOURCE, "sender of e-mails, as address or Name <address>");
        let template = reader.optional(
            "SES_EMAIL_TEMPLATE",
            "name of a template stored with SES; unset: our own templates",
        );
        let configuration_set = reader.optional(
            "SES_CONFIGURATION_SET",
            "configuration set that publishes bounces and complaints",
        );
        let source = source.filter(|source| {
            let is_mailbox = source.parse::<lettre::message::Mailbox>().is_ok();
            if !is_mailbox {
                reader.fault(SOURCE, "is malformed: expected an e-mail address");
            }
            is_mailbox
        });
        Some(Self { aws: aws?, source: source?, template, configuration_set })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    #[test]
    fn reads_retention_of_a_day_to_ten_years() {
        let read = |days: &str| {
            let env = BTreeMap::from([("RETENTION_DAYS".to_owned(), days.to_owned())]);
            env_config::read(&env, service::settings::retention).ok().map(|kept| kept.num_days())
        };
        assert_eq!(["", "1", "3650"].map(read), [Some(90), Some(1), Some(3_650)]);
        assert_eq!(["0", "3651", "-1", "a week"].map(read), [None; 4]);
    }
}
