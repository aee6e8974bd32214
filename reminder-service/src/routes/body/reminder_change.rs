//! Body of a change of a reminder.

use std::collections::BTreeMap;

use contract::{Channel, Priority, Recurrence};
use rest::{
    Faults,
    json::{WholeNumber, object_or_null},
};
use serde::{Deserialize, Deserializer};
use service::http::{ApiError, FieldFault, Reason};
use utoipa::ToSchema;

use super::{NotifyOffset, channels, expires_after, notify_offsets, rule};
use crate::{
    domain::reminder::{
        Change, GivenTime, InvalidField, Link, Locale, Message, Pairs, TimeZone, Title, UserZone,
        check_is_recurring,
    },
    routes::examples,
};

/// A change of a reminder with at least one field. Fields that are left out stay unchanged; `null`
/// removes `title`, `url`, `data`, `locale` and `recurrence`.
#[derive(Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(min_properties = 1, example = json!(examples::change()))]
pub(in crate::routes) struct ReminderChange {
    /// Due time: RFC 3339 with an offset, or without one a local time in `timeZone` (the given one,
    /// or that of the reminder). If the schedule changes, at least one delivery must be in the
    /// future.
    #[serde(default, deserialize_with = "given")]
    #[schema(
        value_type = String,
        required = false,
        pattern = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?)?$",
    )]
    date: Option<String>,
    /// IANA time zone of local times, or `user` for the one of the caller's preferences, which the
    /// reminder then follows. Without a `date`, the reminder keeps its wall-clock time and moves to
    /// another instant.
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
    #[schema(
        value_type = Option<String>,
        max_length = 200,
        pattern = r"^([^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*)?$",
    )]
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

impl ReminderChange {
    /// Returns `true` if the body names the zone of the user.
    pub(in crate::routes) fn needs_zone(&self) -> bool {
        self.time_zone.as_deref() == Some(TimeZone::USER)
    }

    /// Checks the fields; `faults` are those of fields that could not be parsed.
    ///
    /// # Errors
    /// If there is no field; the faults of all fields.
    pub(in crate::routes) fn change(
        self,
        faults: Vec<FieldFault>,
        user_zone: UserZone,
    ) -> Result<Change, ApiError> {
        if faults.is_empty() && self == Self::default() {
            return Err(ApiError::field(
                Reason::InvalidRequest,
                "body",
                "must have at least one field",
            ));
        }
        let mut faults = Faults::begin(faults);
        let change = self.parsed(&mut faults, user_zone);
        faults.or(change)
    }

    fn parsed(self, faults: &mut Faults, user_zone: UserZone) -> Option<Change> {
        let date = self.date.as_deref().map(|text| GivenTime::parse("date", text)).transpose();
        let date = faults.take(date);
        let time_zone = self.time_zone.as_deref().map(|given| user_zone.resolve(given)).transpose();
        let time_zone = faults.take(time_zone);
        let offsets = faults.take(notify_offsets(self.notify_offset, self.notify_offsets));
        let channels = channels(faults, self.notify_type, self.channels);
        let title = faults.take(optional(self.title, Title::parse));
        let message = faults.take(self.message.map(Message::parse).transpose());
        let url = faults.take(optional(self.url, Link::parse));
        let data =
            faults.take(self.data.map(|data| Pairs::parse(data.unwrap_or_default())).transpose());
        let expires_after = faults.take(self.expires_after_minutes.map(expires_after).transpose());
        let locale = faults.take(optional(self.locale, |text| Locale::parse(text).map(Some)));
        if let Some(recurrence) = &self.recurrence
            && !faults.has("recurrence")
        {
            faults.take(check_is_recurring(self.is_recurring, recurrence.is_some()));
        }
        let recurrence = self.recurrence.map(|given| given.map(rule).transpose()).transpose();
        let recurrence = faults.take(recurrence);
        // The syntax does not depend on the other fields, which may be those of the reminder.
        if let Some(Some(Some(rule))) = &recurrence {
            faults.take(rule.check_syntax());
        }
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
            priority: self.priority,
            locale: locale?,
        })
    }
}

/// Parses a field that may be left out, or be `null` to remove its value.
pub(super) fn optional<T>(
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
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a field that may be left out, or be `null` to remove its value.
pub(super) fn clearable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
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
