//! What the service is told by its environment.

use std::{fmt::Display, ops::RangeInclusive, path::Path, str::FromStr, sync::Arc, time::Duration};

use chrono::TimeDelta;
use secrecy::ExposeSecret;
use shared::{
    bus::settings::AwsSettings,
    config::{self, Auth, BusConfig, Env, LiveSecret, Process, Reader, Report},
    db::DbSettings,
    http::{ApiSettings, ExportLimit},
};
use url::Url;

use crate::channels::{
    fcm::account::ServiceAccount,
    templates::{Faults, Templates},
};

/// The configuration of notification-service.
#[derive(Debug, Clone)]
pub struct Config {
    /// Environment, addresses, logs.
    pub process: Process,
    /// The devices database.
    pub database: DbSettings,
    /// The bus, the topic that facts are told on and the queue of what is due.
    pub bus: BusConfig,
    /// How callers are identified.
    pub auth: Auth,
    /// How the API is wrapped.
    pub api: ApiSettings,
    /// Push.
    pub fcm: FcmConfig,
    /// E-mail.
    pub ses: SesConfig,
    /// What pushes and e-mails say.
    pub templates: Arc<Templates>,
    /// How many pushes may be in flight.
    pub push_max_in_flight: usize,
    /// How many e-mails may be in flight.
    pub email_max_in_flight: usize,
    /// Devices that one user may have.
    pub max_devices_per_user: usize,
    /// Pushes to one user that are begun in a minute.
    pub push_per_user_per_minute: u32,
    /// E-mails to one user that are begun in a minute.
    pub email_per_user_per_minute: u32,
    /// After how long a delivery that a process claimed is claimed by others, if nothing was
    /// recorded of it.
    pub takeover: Duration,
    /// Number of registrations that may ask FCM about their token at once.
    pub device_checks_max_in_flight: usize,
    /// How long deliveries are kept.
    pub retention: TimeDelta,
    /// Exports that are written at once.
    pub exports: usize,
    /// Messages of one user that are published in a second.
    pub user_events: u32,
}

/// How pushes are sent.
#[derive(Debug, Clone)]
pub struct FcmConfig {
    /// In whose name.
    pub account: ServiceAccount,
    /// To whom.
    pub endpoint: Url,
    /// Number of messages that the project may send in a minute, by all processes together.
    pub max_per_minute: u32,
}

/// How e-mails are sent.
#[derive(Debug, Clone)]
pub struct SesConfig {
    /// How to reach SES, whichever bus is used.
    pub aws: AwsSettings,
    /// The sender.
    pub source: String,
    /// A template kept by SES; without it our own is used.
    pub template: Option<String>,
    /// The configuration set by which bounces and complaints come back.
    pub configuration_set: Option<String>,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A report that names every missing or malformed variable.
    pub fn read(env: &dyn Env) -> Result<Self, Report> {
        config::read(env, Self::parse)
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let process = Process::read(reader);
        let database = DbSettings::read(reader);
        let bus = BusConfig::read(reader, &["EVENT_TOPIC_ARN", "NOTIFICATION_QUEUE_URL"]);
        let auth = Auth::read(reader, process.as_ref().map(|process| process.app_env));
        let api = ApiSettings::read(reader);
        let fcm = FcmConfig::parse(reader);
        let ses = SesConfig::parse(reader);
        let templates = read_templates(reader);
        let push_max_in_flight = within(
            reader,
            "PUSH_MAX_IN_FLIGHT",
            "pushes on their way to FCM at once",
            1_000,
            1..=100_000,
        );
        let email_max_in_flight = within(
            reader,
            "EMAIL_MAX_IN_FLIGHT",
            "e-mails on their way to SES at once",
            50,
            1..=100_000,
        );
        let max_devices_per_user = within(
            reader,
            "MAX_DEVICES_PER_USER",
            "devices of one user; the least recently seen gives way",
            20,
            1..=100,
        );
        let push_per_user_per_minute = within(
            reader,
            "PUSH_PER_USER_PER_MINUTE",
            "pushes to one user begun in a minute; others wait",
            6_000,
            PACES,
        );
        let email_per_user_per_minute = within(
            reader,
            "EMAIL_PER_USER_PER_MINUTE",
            "e-mails to one user begun in a minute; others wait",
            600,
            PACES,
        );
        let takeover = within(
            reader,
            "TAKEOVER_SECONDS",
            "when others take over what a process claimed and lost",
            90,
            60..=900,
        );
        let checks = within(
            reader,
            "DEVICE_CHECKS_MAX_IN_FLIGHT",
            "registrations that ask FCM about their token at once",
            100,
            1..=1_000,
        );
        let retention = config::retention(reader);
        let exports = ExportLimit::read(reader);
        let user_events = config::user_events(reader);
        Some(Self {
            process: process?,
            database: database?,
            bus: bus?,
            auth: auth?,
            api: api?,
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

/// Reads the templates, and tries every one of them.
pub(crate) fn read_templates(reader: &mut Reader<'_>) -> Option<Arc<Templates>> {
    const FOLDER: &str = "TEMPLATES_DIR";
    let folder =
        reader.optional::<String>(FOLDER, "folder of templates and words in place of our own");
    let templates =
        folder.map_or_else(Templates::built_in, |folder| Templates::load(Path::new(&folder)));
    let faulty = |faults: Faults| reader.fault(FOLDER, format!("has {faults}"));
    templates.map(Arc::new).map_err(faulty).ok()
}

/// The paces of one user that may be set.
const PACES: RangeInclusive<u32> = 1..=1_000_000;

/// A number with a default, between two others.
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
            "service account of the Firebase project: its JSON, or a path to it",
        );
        let endpoint =
            reader.or(ENDPOINT, "where pushes are sent", "https://fcm.googleapis.com".to_owned());
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
            "messages that the Firebase project may send in a minute, by all replicas together",
            600_000,
            60..=1_000_000_000,
        );
        let max_per_minute = max.and_then(|max| u32::try_from(max).ok());
        Some(Self { account: account?, endpoint: endpoint?, max_per_minute: max_per_minute? })
    }
}

/// The account itself where it is one, else what is in the file that is named.
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
    ServiceAccount::live(source).map_err(|error| error.to_string())
}

impl SesConfig {
    fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        const SOURCE: &str = "SES_SOURCE_EMAIL";
        let aws = config::aws_settings(reader);
        let source =
            reader.required::<String>(SOURCE, "sender of e-mails, as address or Name <address>");
        let template =
            reader.optional("SES_EMAIL_TEMPLATE", "name of a template kept by SES; unset: our own");
        let configuration_set = reader.optional(
            "SES_CONFIGURATION_SET",
            "configuration set by which bounces and complaints come back",
        );
        let source = source.filter(|source| {
            let is_mailbox = source.parse::<lettre::message::Mailbox>().is_ok();
            if !is_mailbox {
                reader.fault(SOURCE, "is malformed: expected a mail address");
            }
            is_mailbox
        });
        Some(Self { aws: aws?, source: source?, template, configuration_set })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn deliveries_are_kept_for_a_day_to_ten_years() {
        let read = |days: &str| {
            let env = BTreeMap::from([("RETENTION_DAYS".to_owned(), days.to_owned())]);
            config::read(&env, config::retention).ok().map(|kept| kept.num_days())
        };
        assert_eq!(["", "1", "3650"].map(read), [Some(90), Some(1), Some(3_650)]);
        assert_eq!(["0", "3651", "-1", "a week"].map(read), [None; 4]);
    }
}
