//! E-mail over Amazon SES.
//!
//! [`Ses::send`] makes one attempt and returns its outcome. The SDK makes exactly one request for
//! it, because SES has no idempotency key: the ledger decides about further attempts.
//! [`Ses::watch_account`] keeps reading the account's quota, and [`Ses::quota`] publishes it for
//! the rate limit of the dispatcher.

mod compose;
mod error_table;
mod quota;
mod stored_template;

use super::outcome::Outcome;
use super::templates::{Notice, Templates};
use crate::domain::email_address::in_ascii;
use aws_config::SdkConfig;
use aws_sdk_ses::Client;
use aws_sdk_ses::config::retry::RetryConfig;
use aws_sdk_ses::config::timeout::TimeoutConfig;
use aws_sdk_ses::primitives::Blob;
use aws_sdk_ses::types::{Destination, MessageTag, RawMessage};
use chrono::{DateTime, Utc};
use compose::Composer;
pub use compose::SetupError;
use contract::Reason;
use lettre::Address;
use lettre::message::Mailbox;
pub use quota::{DEFAULT_RATE, Quota};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use time_zone::Zone;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Interval of reading the account's quota and the stored template.
const WATCH_INTERVAL: Duration = Duration::from_secs(3 * 60);
/// Interval after a failure.
const WATCH_RETRY: Duration = Duration::from_secs(20);
/// Interval while the account's quota of 24 hours is used up.
const WATCH_QUOTA_USED_UP: Duration = Duration::from_secs(60);
/// Name of the tag that holds the id of the occurrence in SES's events.
const OCCURRENCE_TAG: &str = "occurrence";

/// Settings of sending e-mail.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Sender, as `address` or `Name <address>`.
    pub source: String,
    /// Templates of the e-mails.
    pub templates: Arc<Templates>,
    /// Name of a template stored with SES. `None`: the templates above.
    pub template: Option<String>,
    /// Configuration set that publishes bounces and complaints.
    pub configuration_set: Option<String>,
    /// URL that unsubscribes the reader. Must accept the one-click POST of RFC 8058.
    pub unsubscribe_url: Option<String>,
    /// Largest number of e-mails in flight.
    pub max_in_flight: usize,
    /// Timeout for name resolution, TCP and TLS.
    pub connect_timeout: Duration,
    /// Timeout for one e-mail, including the connection.
    pub attempt_timeout: Duration,
}

impl Settings {
    /// Returns the default settings for a sender.
    pub fn new(source: impl Into<String>, templates: Arc<Templates>) -> Self {
        Settings {
            source: source.into(),
            templates,
            template: None,
            configuration_set: None,
            unsubscribe_url: None,
            max_in_flight: 64,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(12),
        }
    }
}

/// E-mail to one reader.
#[derive(Debug, Clone, Copy)]
pub struct Email<'a> {
    /// Id of the occurrence.
    pub occurrence_id: Uuid,
    /// Address of the reader.
    pub to: &'a str,
    /// Subject and heading. `None`: the word for a reminder in the reader's language.
    pub title: Option<&'a str>,
    /// Text.
    pub message: &'a str,
    /// URL that the reminder links to.
    pub url: Option<&'a str>,
    /// Date of the reminder, which may be long after the delivery.
    pub date: DateTime<Utc>,
    /// Time zone in which the date is formatted.
    pub time_zone: Zone,
    /// BCP 47 locale of the texts around the message and of the date.
    pub locale: Option<&'a str>,
}

impl<'a> Email<'a> {
    fn notice(&self) -> Notice<'a> {
        Notice {
            title: self.title,
            message: self.message,
            url: self.url,
            date: self.date,
            time_zone: self.time_zone,
            locale: self.locale,
        }
    }
}

/// Client of one SES account.
pub struct Ses {
    client: Client,
    source: Mailbox,
    templates: Arc<Templates>,
    template: Option<String>,
    template_is_wrong: AtomicBool,
    configuration_set: Option<String>,
    composer: Composer,
    quota: watch::Sender<Option<Quota>>,
    permits: Semaphore,
}

impl Ses {
    /// Creates a client without connecting. `sdk` provides region, endpoint, credentials and HTTP
    /// client; its retries and timeouts are not used.
    ///
    /// # Errors
    /// If the sender is no e-mail address, or if the unsubscribe URL does not fit into a header.
    pub fn new(sdk: &SdkConfig, settings: Settings) -> Result<Self, SetupError> {
        let Mailbox { name, email } = settings.source.parse().map_err(|_| SetupError::Source)?;
        let email = in_ascii(email.as_ref()).map_err(|_| SetupError::Source)?;
        let source = Mailbox::new(name, email.parse().map_err(|_| SetupError::Source)?);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(settings.connect_timeout)
            .operation_attempt_timeout(settings.attempt_timeout)
            .operation_timeout(settings.attempt_timeout)
            .build();
        let config = aws_sdk_ses::config::Builder::from(sdk)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Ok(Ses {
            client: Client::from_conf(config),
            composer: Composer::new(
                source.clone(),
                settings.unsubscribe_url,
                Arc::clone(&settings.templates),
            )?,
            templates: settings.templates,
            source,
            template: settings.template,
            template_is_wrong: AtomicBool::new(false),
            configuration_set: settings.configuration_set,
            quota: watch::Sender::new(None),
            permits: Semaphore::new(settings.max_in_flight.clamp(1, Semaphore::MAX_PERMITS)),
        })
    }

    /// Makes one attempt to send an e-mail.
    pub async fn send(&self, email: &Email<'_>) -> Outcome {
        let parsed = in_ascii(email.to)
            .and_then(|address| address.parse::<Address>().map_err(|_| Reason::InvalidAddress));
        let to = match parsed {
            Ok(to) => to,
            Err(reason) => return Outcome::Rejected { reason },
        };
        if self.template_is_wrong.load(Ordering::Relaxed) {
            return Outcome::Misconfigured { reason: Reason::TemplateVariableUnknown };
        }
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        match &self.template {
            None => self.send_built_in(email, to).await,
            Some(template) => self.send_stored(email, &to, template).await,
        }
    }

    /// Returns the account's quota as last read, `None` before the first reading.
    #[must_use]
    pub fn quota(&self) -> watch::Receiver<Option<Quota>> {
        self.quota.subscribe()
    }

    /// Reads the account's quota and the variables of the stored template, now and every few
    /// minutes, until cancelled.
    pub async fn watch_account(&self, shutdown: CancellationToken) {
        loop {
            let known = self.read_quota().await;
            if let Some(template) = &self.template {
                self.check_template(template).await;
            }
            let pause = match known {
                Some(Quota { day_left: Some(..=0), .. }) => WATCH_QUOTA_USED_UP,
                Some(_) => WATCH_INTERVAL,
                None => WATCH_RETRY,
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn send_built_in(&self, email: &Email<'_>, to: Address) -> Outcome {
        let destination = to.to_string();
        let message = match self.composer.compose(email, to) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "e-mail could not be composed, the delivery fails"
                );
                return Outcome::Rejected { reason: Reason::NotWritable };
            }
        };
        let Ok(raw) = RawMessage::builder().data(Blob::new(message)).build() else {
            return Outcome::Rejected { reason: Reason::NotWritable };
        };
        let sent = self
            .client
            .send_raw_email()
            .source(self.source.to_string())
            .destinations(destination)
            .set_configuration_set_name(self.configuration_set.clone())
            .set_tags(tag(email.occurrence_id))
            .raw_message(raw)
            .send()
            .await;
        match sent {
            Ok(sent) => error_table::accepted(sent.message_id),
            Err(error) => error_table::failure(&error, self.source.email.as_ref()),
        }
    }

    async fn send_stored(&self, email: &Email<'_>, to: &Address, template: &str) -> Outcome {
        let sent = self
            .client
            .send_templated_email()
            .source(self.source.to_string())
            .destination(Destination::builder().to_addresses(to.to_string()).build())
            .set_configuration_set_name(self.configuration_set.clone())
            .set_tags(tag(email.occurrence_id))
            .template(template)
            .template_data(stored_template::data(email, &self.templates).to_string())
            .send()
            .await;
        match sent {
            Ok(sent) => error_table::accepted(sent.message_id),
            Err(error) => error_table::failure(&error, self.source.email.as_ref()),
        }
    }

    async fn read_quota(&self) -> Option<Quota> {
        match self.client.get_send_quota().send().await {
            Ok(read) => {
                let quota =
                    Quota::read(read.max_send_rate, read.max24_hour_send, read.sent_last24_hours);
                tracing::debug!(?quota, "SES quota was read");
                if quota.day_left.is_some_and(|left| left <= 0) {
                    tracing::error!(
                        "SES quota of 24 hours is used up, e-mails wait until some of it is free"
                    );
                }
                self.quota.send_replace(Some(quota));
                Some(quota)
            }
            Err(error) => {
                let outcome = error_table::failure(&error, self.source.email.as_ref());
                tracing::warn!(
                    reason = outcome.reason().map(Reason::as_str),
                    "SES quota was not read, will retry"
                );
                None
            }
        }
    }

    /// Checks the variables of a stored template. SES answers an e-mail whose template uses a
    /// missing variable with a MessageId and then sends nothing, so this check finds such a
    /// template. A template that cannot be read passes.
    async fn check_template(&self, name: &str) {
        let read = self.client.get_template().template_name(name).send().await;
        let Some(template) = read.ok().and_then(|read| read.template) else { return };
        let parts = [template.subject_part, template.text_part, template.html_part];
        let unknown: Vec<String> = parts
            .iter()
            .flatten()
            .flat_map(|part| stored_template::unknown_variables(part))
            .collect();
        if !unknown.is_empty() {
            tracing::error!(
                template = name,
                variables = unknown.join(", "),
                "SES template uses variables that no e-mail provides"
            );
        }
        self.template_is_wrong.store(!unknown.is_empty(), Ordering::Relaxed);
    }
}

fn tag(occurrence_id: Uuid) -> Option<Vec<MessageTag>> {
    let tag = MessageTag::builder()
        .name(OCCURRENCE_TAG)
        .value(occurrence_id.simple().to_string())
        .build();
    tag.ok().map(|tag| vec![tag])
}
