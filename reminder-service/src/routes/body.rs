//! The bodies of a new reminder and of a change, and what they ask for.

use std::collections::BTreeMap;

use chrono::Utc;
use serde::{Deserialize, Deserializer};
use shared::{
    contract::{Channel, Priority, Recurrence},
    http::{ApiError, FieldFault, json::object_or_null},
};
use utoipa::ToSchema;

use super::{examples, faults::Faults};
use crate::calendar::Entry;
use crate::reminder::{
    self, Change, Channels, Details, ExpiresAfter, InvalidField, InvalidRecurrence, Link, Locale,
    Message, NotifyOffsets, Pairs, Schedule, TimeZone, Title, agree, due_date,
};

/// A reminder to be made. What is left out has its default.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!(examples::new_reminder()))]
pub(super) struct NewReminder {
    /// When it is due: RFC 3339 with an offset. At least one delivery (`date` minus an offset) must
    /// be ahead; those that are not are not made.
    #[schema(required, value_type = String, format = DateTime)]
    date: Option<String>,
    /// The IANA zone of its wall clock.
    #[schema(default = "UTC")]
    time_zone: Option<String>,
    /// Must agree with `recurrence`.
    is_recurring: Option<bool>,
    /// How it recurs; `date` is the start of the rule, and an occurrence only if the rule yields
    /// it.
    #[serde(default, deserialize_with = "object_or_null")]
    recurrence: Option<Recurrence>,
    /// Minutes before `date` at which to notify. Not together with `notifyOffsets`.
    #[schema(minimum = 0, maximum = 40320, default = 0)]
    notify_offset: Option<i32>,
    /// Several of them, each 0 to 40,320.
    #[schema(min_items = 1, max_items = 5)]
    notify_offsets: Option<Vec<i32>>,
    /// One channel; together with `channels` it must be one of them.
    notify_type: Option<Channel>,
    /// The ways in which it is delivered; `["push"]` by default. E-mail needs the caller's address.
    #[schema(min_items = 1)]
    channels: Option<Vec<Channel>>,
    /// A short heading: one line.
    #[schema(max_length = 200)]
    title: Option<String>,
    /// The text. Only a preview does without.
    #[schema(required, value_type = String, min_length = 1, max_length = 2000)]
    message: Option<String>,
    /// What a tap opens: an absolute http or https address without credentials; never fetched by
    /// us.
    #[schema(max_length = 2048)]
    url: Option<String>,
    /// The client's own pairs: at most 20 and 2 KiB. Keys that FCM reserves (`from`,
    /// `notification`, `message_type`, `google…`, `gcm…`) are refused.
    data: Option<BTreeMap<String, String>>,
    /// Minutes after its time in which a delivery is still made.
    #[schema(minimum = 1, maximum = 525600, default = 1440)]
    expires_after_minutes: Option<i32>,
    /// How urgent it is; `normal` by default.
    priority: Option<Priority>,
    /// The BCP 47 language of the texts around it.
    #[schema(max_length = 35)]
    locale: Option<String>,
}

/// A change of a reminder: at least one field. What is left out stays as it is; `null` removes
/// `title`, `url`, `data`, `locale` and `recurrence`.
#[derive(Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!(examples::change()))]
pub(super) struct ReminderChange {
    /// When it is due: RFC 3339 with an offset. When the schedule changes, a delivery must be
    /// ahead.
    #[serde(default, deserialize_with = "given")]
    #[schema(format = DateTime)]
    date: Option<String>,
    /// The IANA zone of its wall clock.
    #[serde(default, deserialize_with = "given")]
    time_zone: Option<String>,
    /// Must agree with `recurrence`.
    #[serde(default, deserialize_with = "given")]
    is_recurring: Option<bool>,
    /// How it recurs; `null` makes it come once.
    #[serde(default, deserialize_with = "clearable_object")]
    #[schema(value_type = Option<Recurrence>)]
    recurrence: Option<Option<Recurrence>>,
    /// Minutes before `date` at which to notify. Not together with `notifyOffsets`.
    #[serde(default, deserialize_with = "given")]
    #[schema(minimum = 0, maximum = 40320)]
    notify_offset: Option<i32>,
    /// Several of them, each 0 to 40,320, in place of all that there are.
    #[serde(default, deserialize_with = "given")]
    #[schema(min_items = 1, max_items = 5)]
    notify_offsets: Option<Vec<i32>>,
    /// One channel, in place of all; together with `channels` it must be one of them.
    #[serde(default, deserialize_with = "given")]
    notify_type: Option<Channel>,
    /// The ways in which it is delivered, in place of all.
    #[serde(default, deserialize_with = "given")]
    #[schema(min_items = 1)]
    channels: Option<Vec<Channel>>,
    /// A short heading: one line.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>, max_length = 200)]
    title: Option<Option<String>>,
    /// The text.
    #[serde(default, deserialize_with = "given")]
    #[schema(min_length = 1, max_length = 2000)]
    message: Option<String>,
    /// What a tap opens: an absolute http or https address without credentials.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>, max_length = 2048)]
    url: Option<Option<String>>,
    /// The client's own pairs, in place of all that there are.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    data: Option<Option<BTreeMap<String, String>>>,
    /// Minutes after its time in which a delivery is still made.
    #[serde(default, deserialize_with = "given")]
    #[schema(minimum = 1, maximum = 525600)]
    expires_after_minutes: Option<i32>,
    /// How urgent it is.
    #[serde(default, deserialize_with = "given")]
    priority: Option<Priority>,
    /// The BCP 47 language of the texts around it.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>, max_length = 35)]
    locale: Option<Option<String>>,
}

impl NewReminder {
    /// What an entry of a calendar file asks for.
    pub(super) fn of(entry: &Entry) -> Self {
        let entry = entry.clone();
        Self {
            date: Some(entry.date.to_rfc3339()),
            time_zone: Some(entry.time_zone),
            is_recurring: None,
            recurrence: entry.recurrence,
            notify_offset: None,
            notify_offsets: Some(entry.notify_offsets),
            notify_type: None,
            channels: entry.channels,
            title: entry.title,
            message: Some(entry.message),
            url: entry.url,
            data: Some(entry.data),
            expires_after_minutes: entry.expires_after_minutes,
            priority: entry.priority,
            locale: entry.locale,
        }
    }

    /// Returns the details that the body asks for; `faults` are those of fields that could not be
    /// read.
    ///
    /// # Errors
    /// Every field that breaks a rule.
    pub(super) fn details(self, faults: Vec<FieldFault>) -> Result<Details, ApiError> {
        let mut faults = Faults::begin(faults);
        let details = self.parsed(&mut faults);
        if details.as_ref().is_some_and(|details| !details.schedule.fires()) {
            faults.take(Err::<(), _>(InvalidRecurrence(
                "recurrence.rrule: it never fires".to_owned(),
            )));
        }
        let details = faults.or(details)?;
        // Kept with the schedule: what is stored is worked out before a transaction begins.
        let _kept = details.schedule.last_at();
        Ok(details)
    }

    /// Returns whether the body has a rule, which takes time to try out.
    pub(super) fn recurs(&self) -> bool {
        self.recurrence.is_some()
    }

    /// When it would come, if it were made; nothing else than the schedule is required.
    ///
    /// # Errors
    /// Every field that breaks a rule.
    pub(super) fn previewed(mut self, faults: Vec<FieldFault>) -> Result<Schedule, ApiError> {
        self.message.get_or_insert_with(|| "preview".to_owned());
        let mut faults = Faults::begin(faults);
        let details = self.parsed(&mut faults);
        Ok(faults.or(details)?.schedule)
    }

    fn parsed(self, faults: &mut Faults) -> Option<Details> {
        let date = faults.required("date", self.date);
        let date = date.and_then(|date| faults.take(due_date(&date)));
        let time_zone = faults.take(self.time_zone.as_deref().map(TimeZone::parse).transpose());
        let offsets = faults.take(NotifyOffsets::asked(self.notify_offset, self.notify_offsets));
        let message = faults.required("message", self.message);
        let message = message.and_then(|message| faults.take(Message::parse(message)));
        let channels = faults.take(channels(self.notify_type, self.channels));
        let title = faults.take(self.title.map(Title::parse).transpose());
        let url = faults.take(self.url.map(Link::parse).transpose());
        let data = faults.take(self.data.map(Pairs::parse).transpose());
        let expires_after =
            faults.take(self.expires_after_minutes.map(ExpiresAfter::parse).transpose());
        let locale = faults.take(self.locale.map(Locale::parse).transpose());
        if !faults.has("recurrence") {
            faults.take(agree(self.is_recurring, self.recurrence.is_some()));
        }
        let recurrence = faults.take(self.recurrence.map(rule).transpose());
        // A rule is looked at even if what it starts from is faulty.
        let schedule = faults.take(Schedule::new(
            date.unwrap_or_else(Utc::now),
            time_zone.flatten().unwrap_or_default(),
            offsets.clone().flatten().unwrap_or_default(),
            recurrence.clone().flatten(),
        ));
        Some(Details {
            // Made of defaults where one of these is faulty.
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
    /// Returns the details that the body asks for; `faults` are those of fields that could not be
    /// read.
    ///
    /// # Errors
    /// When it asks for nothing; every field that breaks a rule.
    pub(super) fn change(self, faults: Vec<FieldFault>) -> Result<Change, ApiError> {
        if faults.is_empty() && self == Self::default() {
            return Err(ApiError::invalid("a change names at least one field"));
        }
        let mut faults = Faults::begin(faults);
        let change = self.parsed(&mut faults);
        faults.or(change)
    }

    fn parsed(self, faults: &mut Faults) -> Option<Change> {
        let date = faults.take(self.date.as_deref().map(due_date).transpose());
        let time_zone = faults.take(self.time_zone.as_deref().map(TimeZone::parse).transpose());
        let offsets = faults.take(NotifyOffsets::asked(self.notify_offset, self.notify_offsets));
        let channels = faults.take(channels(self.notify_type, self.channels));
        let title = faults.take(optional(self.title, Title::parse));
        let message = faults.take(self.message.map(Message::parse).transpose());
        let url = faults.take(optional(self.url, Link::parse));
        let data =
            faults.take(self.data.map(|data| Pairs::parse(data.unwrap_or_default())).transpose());
        let expires_after =
            faults.take(self.expires_after_minutes.map(ExpiresAfter::parse).transpose());
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
    notify_type: Option<Channel>,
    channels: Option<Vec<Channel>>,
) -> Result<Option<Channels>, InvalidField> {
    let channels = channels.map(|it| it.into_iter().map(Into::into).collect());
    Channels::asked(notify_type.map(Into::into), channels)
}

/// A field that is left as it is, removed, or given another value.
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

/// A field that may be left out but not be `null`.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A field that may be left out, and `null` to remove what is there.
fn clearable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The same for a field that is an object.
fn clearable_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    object_or_null(deserializer).map(Some)
}
