//! Bodies of a new reminder and of a change, and their conversion into domain types.

use std::collections::BTreeMap;

use chrono::Utc;
use contract::{Channel, Priority, Recurrence};
use rest::{
    Faults,
    json::{WholeNumber, object_or_null},
};
use serde::{Deserialize, Deserializer};
use service::http::{ApiError, FieldFault, Reason};
use utoipa::ToSchema;

use super::examples;
use crate::domain::reminder::{
    self, Change, Channels, Details, ExpiresAfter, InvalidField, Link, Locale, Message,
    NotifyOffsets, Pairs, Schedule, TimeZone, Title, check_is_recurring, due_date,
};

/// Minutes before `date` at which it is delivered.
#[derive(ToSchema)]
#[schema(minimum = 0, maximum = 40320)]
#[expect(dead_code, reason = "describes the entries of a list, which are parsed as whole numbers")]
pub(super) struct NotifyOffset(i32);

/// A reminder to create. Fields that are left out have their defaults.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!(examples::new_reminder()))]
pub(super) struct NewReminder {
    /// Due time: RFC 3339 with an offset. At least one delivery (`date` minus an offset) must be in
    /// the future; earlier ones are not sent.
    #[schema(required, value_type = String, format = DateTime)]
    date: Option<String>,
    /// IANA time zone of local times.
    #[schema(default = "UTC")]
    time_zone: Option<String>,
    /// Must be `true` exactly if there is a `recurrence`.
    is_recurring: Option<bool>,
    /// Recurrence rule. `date` is the start of the rule, and an occurrence only if the rule yields
    /// it.
    #[serde(default, deserialize_with = "object_or_null")]
    recurrence: Option<Recurrence>,
    /// Minutes before `date` at which it is delivered. Cannot be combined with `notifyOffsets`.
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 40320, default = 0)]
    notify_offset: Option<WholeNumber>,
    /// Several values of `notifyOffset`.
    #[schema(value_type = Option<Vec<NotifyOffset>>, min_items = 1, max_items = 5)]
    notify_offsets: Option<Vec<WholeNumber>>,
    /// One channel. If `channels` is given too, it must be one of them.
    notify_type: Option<Channel>,
    /// Channels on which it is delivered; `["push"]` by default. E-mail requires the caller's
    /// address.
    #[schema(min_items = 1)]
    channels: Option<Vec<Channel>>,
    /// Title: one line.
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    title: Option<String>,
    /// Message. Optional in a preview only.
    #[schema(
        required,
        value_type = String,
        min_length = 1,
        max_length = 2000,
        pattern = r"^[^\x00-\x08\x0B-\x1F\x7F-\x9F]*$",
    )]
    message: Option<String>,
    /// Link that a tap opens: an absolute http or https URL without credentials. The services never
    /// fetch it.
    #[schema(max_length = 2048, pattern = r"^([hH][tT][tT][pP][sS]?://[^\s\\]+)?$")]
    url: Option<String>,
    /// Key-value pairs of the client: at most 20 with 2 KiB together. Keys that FCM reserves
    /// (`from`, `notification`, `message_type`, `google…`, `gcm…`) are refused.
    data: Option<BTreeMap<String, String>>,
    /// Minutes after the time of a delivery during which it is still sent.
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 525600, default = 1440)]
    expires_after_minutes: Option<WholeNumber>,
    /// Priority; `normal` by default.
    priority: Option<Priority>,
    /// BCP 47 language of the surrounding texts.
    #[schema(max_length = 35, pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
    locale: Option<String>,
}

/// A change of a reminder with at least one field. Fields that are left out stay unchanged; `null`
/// removes `title`, `url`, `data`, `locale` and `recurrence`.
#[derive(Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!(examples::change()))]
pub(super) struct ReminderChange {
    /// Due time: RFC 3339 with an offset. If the schedule changes, at least one delivery must be in
    /// the future.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, format = DateTime)]
    date: Option<String>,
    /// IANA time zone of local times.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false)]
    time_zone: Option<String>,
    /// Must be `true` exactly if there is a `recurrence`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool, required = false)]
    is_recurring: Option<bool>,
    /// Recurrence rule; `null` removes it.
    #[serde(default, deserialize_with = "clearable_object")]
    #[schema(value_type = Option<Recurrence>)]
    recurrence: Option<Option<Recurrence>>,
    /// Minutes before `date` at which it is delivered. Cannot be combined with `notifyOffsets`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = i32, required = false, minimum = 0, maximum = 40320)]
    notify_offset: Option<WholeNumber>,
    /// Several values of `notifyOffset`, which replace all present ones.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<NotifyOffset>, required = false, min_items = 1, max_items = 5)]
    notify_offsets: Option<Vec<WholeNumber>>,
    /// One channel, which replaces all present ones. If `channels` is given too, it must be one of
    /// them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Channel, required = false)]
    notify_type: Option<Channel>,
    /// Channels on which it is delivered, which replace all present ones.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<Channel>, required = false, min_items = 1)]
    channels: Option<Vec<Channel>>,
    /// Title: one line.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>, max_length = 200, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    title: Option<Option<String>>,
    /// Message.
    #[serde(default, deserialize_with = "given")]
    #[schema(
        value_type = String,
        required = false,
        min_length = 1,
        max_length = 2000,
        pattern = r"^[^\x00-\x08\x0B-\x1F\x7F-\x9F]*$",
    )]
    message: Option<String>,
    /// Link that a tap opens: an absolute http or https URL without credentials.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(
        value_type = Option<String>,
        max_length = 2048,
        pattern = r"^([hH][tT][tT][pP][sS]?://[^\s\\]+)?$",
    )]
    url: Option<Option<String>>,
    /// Key-value pairs of the client, which replace all present ones.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    data: Option<Option<BTreeMap<String, String>>>,
    /// Minutes after the time of a delivery during which it is still sent.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = i32, required = false, minimum = 1, maximum = 525600)]
    expires_after_minutes: Option<WholeNumber>,
    /// Priority.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Priority, required = false)]
    priority: Option<Priority>,
    /// BCP 47 language of the surrounding texts.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(
        value_type = Option<String>,
        max_length = 35,
        pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$",
    )]
    locale: Option<Option<String>>,
}

impl NewReminder {
    /// Checks the fields; `faults` are those of fields that could not be parsed.
    ///
    /// # Errors
    /// The faults of all fields.
    pub(super) fn details(self, faults: Vec<FieldFault>) -> Result<Details, ApiError> {
        let mut faults = Faults::begin(faults);
        let details = self.parsed(&mut faults);
        if let Some(details) = &details {
            faults.take(details.schedule.check_fires());
        }
        let details = faults.or(details)?;
        // Computed before a transaction begins; the schedule caches it.
        let _cached = details.schedule.last_at();
        Ok(details)
    }

    /// Returns `true` if the body has a rule, whose expansion takes time.
    pub(super) fn recurs(&self) -> bool {
        self.recurrence.is_some()
    }

    /// Checks the fields and returns the schedule; `message` is optional.
    ///
    /// # Errors
    /// The faults of all fields.
    pub(super) fn schedule(mut self, faults: Vec<FieldFault>) -> Result<Schedule, ApiError> {
        self.message.get_or_insert_with(|| "preview".to_owned());
        let mut faults = Faults::begin(faults);
        let details = self.parsed(&mut faults);
        Ok(faults.or(details)?.schedule)
    }

    fn parsed(self, faults: &mut Faults) -> Option<Details> {
        let date = faults.required("date", self.date);
        let date = date.and_then(|date| faults.take(due_date(&date)));
        let time_zone = faults.take(self.time_zone.as_deref().map(TimeZone::parse).transpose());
        let offsets = faults.take(notify_offsets(self.notify_offset, self.notify_offsets));
        let message = faults.required("message", self.message);
        let message = message.and_then(|message| faults.take(Message::parse(message)));
        let channels = channels(faults, self.notify_type, self.channels);
        let title = faults.take(self.title.map(Title::parse).transpose());
        let url = faults.take(self.url.map(Link::parse).transpose());
        let data = faults.take(self.data.map(Pairs::parse).transpose());
        let expires_after = faults.take(self.expires_after_minutes.map(expires_after).transpose());
        let locale = faults.take(self.locale.map(Locale::parse).transpose());
        if !faults.has("recurrence") {
            faults.take(check_is_recurring(self.is_recurring, self.recurrence.is_some()));
        }
        let recurrence = faults.take(self.recurrence.map(rule).transpose());
        // The rule is checked even if the fields that it depends on are faulty.
        let schedule = faults.take(Schedule::new(
            date.unwrap_or_else(Utc::now),
            time_zone.flatten().unwrap_or_default(),
            offsets.clone().flatten().unwrap_or_default(),
            recurrence.clone().flatten(),
        ));
        Some(Details {
            // The schedule has defaults in place of faulty fields.
            schedule: schedule.filter(|_| {
                date.is_some() && time_zone.is_some() && offsets.is_some() && recurrence.is_some()
            })?,
            channels: channels?.unwrap_or_default(),
            title: title?.flatten(),
            message: message?,
            url: url?.flatten(),
            data: data?.unwrap_or_default(),
            expires_after: expires_after?.unwrap_or_default(),
            priority: self.priority.unwrap_or_default().into(),
            locale: locale?,
        })
    }
}

impl ReminderChange {
    /// Checks the fields; `faults` are those of fields that could not be parsed.
    ///
    /// # Errors
    /// If there is no field; the faults of all fields.
    pub(super) fn change(self, faults: Vec<FieldFault>) -> Result<Change, ApiError> {
        if faults.is_empty() && self == Self::default() {
            return Err(ApiError::field(
                Reason::InvalidRequest,
                "body",
                "must have at least one field",
            ));
        }
        let mut faults = Faults::begin(faults);
        let change = self.parsed(&mut faults);
        faults.or(change)
    }

    fn parsed(self, faults: &mut Faults) -> Option<Change> {
        let date = faults.take(self.date.as_deref().map(due_date).transpose());
        let time_zone = faults.take(self.time_zone.as_deref().map(TimeZone::parse).transpose());
        let offsets = faults.take(notify_offsets(self.notify_offset, self.notify_offsets));
        let channels = channels(faults, self.notify_type, self.channels);
        let title = faults.take(optional(self.title, Title::parse));
        let message = faults.take(self.message.map(Message::parse).transpose());
        let url = faults.take(optional(self.url, Link::parse));
        let data =
            faults.take(self.data.map(|data| Pairs::parse(data.unwrap_or_default())).transpose());
        let expires_after = faults.take(self.expires_after_minutes.map(expires_after).transpose());
        let locale = faults.take(optional(self.locale, |text| Locale::parse(text).map(Some)));
        let recurrence = self.recurrence.map(|given| given.map(rule).transpose()).transpose();
        let recurrence = faults.take(recurrence);
        Some(Change {
            date: date?,
            time_zone: time_zone?,
            offsets: offsets?,
            recurrence: recurrence?,
            is_recurring: self.is_recurring,
            channels: channels?,
            title: title?,
            message: message?,
            url: url?,
            data: data?,
            expires_after: expires_after?,
            priority: self.priority.map(Into::into),
            locale: locale?,
        })
    }
}

fn rule(given: Recurrence) -> Result<reminder::Recurrence, InvalidField> {
    reminder::Recurrence::from(given).parse()
}

fn channels(
    faults: &mut Faults,
    notify_type: Option<Channel>,
    channels: Option<Vec<Channel>>,
) -> Option<Option<Channels>> {
    // Without its faulty entries, `channels` may contradict `notifyType`.
    if faults.has("channels") {
        return None;
    }
    let channels = channels.map(|channels| channels.into_iter().map(Into::into).collect());
    faults.take(Channels::from_fields(notify_type.map(Into::into), channels))
}

/// Parses a field that may be left out, or be `null` to remove its value.
fn optional<T>(
    field: Option<Option<String>>,
    parse: impl FnOnce(String) -> Result<Option<T>, InvalidField>,
) -> Result<Option<Option<T>>, InvalidField> {
    match field {
        None => Ok(None),
        Some(None) => Ok(Some(None)),
        Some(Some(text)) => parse(text).map(Some),
    }
}

/// Reads a field that may be left out but not be `null`.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a field that may be left out, or be `null` to remove its value.
fn clearable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Like [`clearable`], for a field that is an object.
fn clearable_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    object_or_null(deserializer).map(Some)
}

fn notify_offsets(
    one: Option<WholeNumber>,
    several: Option<Vec<WholeNumber>>,
) -> Result<Option<NotifyOffsets>, InvalidField> {
    let several =
        several.map(|offsets| offsets.into_iter().map(WholeNumber::saturating_i32).collect());
    NotifyOffsets::from_fields(one.map(WholeNumber::saturating_i32), several)
}

fn expires_after(minutes: WholeNumber) -> Result<ExpiresAfter, InvalidField> {
    ExpiresAfter::parse(minutes.saturating_i32())
}
