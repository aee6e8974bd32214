//! Body of a new reminder.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::{Channel, Priority, Recurrence};
use rest::{
    Faults,
    json::{WholeNumber, object_or_null},
};
use serde::Deserialize;
use service::http::{ApiError, FieldFault};
use utoipa::ToSchema;

use super::{NotifyOffset, channels, expires_after, notify_offsets, rule};
use crate::{
    domain::reminder::{
        Details, GivenTime, InvalidDueDate, Link, Locale, Message, Pairs, Recurrence as Rule,
        Schedule, TimeZone, Title, UserZone, check_is_recurring,
    },
    routes::examples,
};

/// A reminder to create. Fields that are left out have their defaults.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!(examples::new_reminder()))]
pub(in crate::routes) struct NewReminder {
    /// Due time: RFC 3339 with an offset, or without one a local time in `timeZone`. A local time
    /// that a clock change repeats is the first of both (or the second by `recurrence.fold`); one
    /// that it skips comes later by the length of the gap, and cannot be the start of a rule. At
    /// least one delivery (`date` minus an offset) must be in the future; earlier ones are not
    /// sent.
    #[schema(
        required,
        value_type = String,
        pattern = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?)?$",
    )]
    date: Option<String>,
    /// IANA time zone of local times, or `user` for the one of the caller's preferences: the
    /// reminder keeps its wall-clock time when that changes. By default it is the `timeZone` of the
    /// preferences at the time of the call if `date` has no offset, and UTC otherwise.
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
    /// Title: one line with a visible character; an empty text is none.
    #[schema(
        max_length = 200,
        pattern = r"^([^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*)?$"
    )]
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

impl NewReminder {
    /// Checks the fields; `faults` are those of fields that could not be parsed. `user_zone` is the
    /// zone of a local due date if the body names none.
    ///
    /// # Errors
    /// The faults of all fields.
    pub(in crate::routes) fn details(
        self,
        faults: Vec<FieldFault>,
        user_zone: UserZone,
    ) -> Result<Details, ApiError> {
        let mut faults = Faults::begin(faults);
        let details = self.parsed(&mut faults, user_zone);
        if let Some(details) = &details {
            faults.take(details.schedule.check_fires());
        }
        let details = faults.or(details)?;
        // Computed before a transaction begins; the schedule caches it.
        let _cached = details.schedule.last_at();
        Ok(details)
    }

    /// Returns `true` if the body has a rule, whose expansion takes time.
    pub(in crate::routes) fn recurs(&self) -> bool {
        self.recurrence.is_some()
    }

    /// Returns `true` if the body names the zone of the user, or no zone for a local time.
    pub(in crate::routes) fn needs_zone(&self) -> bool {
        let date = self.date.as_deref().map(|date| GivenTime::parse("date", date));
        let is_local = matches!(date, Some(Ok(GivenTime::Local(_))));
        self.time_zone.as_deref().map_or(is_local, |zone| zone == TimeZone::USER)
    }

    /// Checks the fields and returns the schedule; `message` is optional.
    ///
    /// # Errors
    /// The faults of all fields.
    pub(in crate::routes) fn schedule(
        mut self,
        faults: Vec<FieldFault>,
        user_zone: UserZone,
    ) -> Result<Schedule, ApiError> {
        self.message.get_or_insert_with(|| "preview".to_owned());
        let mut faults = Faults::begin(faults);
        let details = self.parsed(&mut faults, user_zone);
        Ok(faults.or(details)?.schedule)
    }

    fn parsed(self, faults: &mut Faults, user_zone: UserZone) -> Option<Details> {
        let default_zone = user_zone.named().filter(|_| self.needs_zone());
        let date = faults.required("date", self.date);
        let date = date.and_then(|date| faults.take(GivenTime::parse("date", &date)));
        let time_zone = self.time_zone.as_deref().map(|given| user_zone.resolve(given));
        let time_zone = faults.take(time_zone.transpose());
        let time_zone = time_zone.map(|named| named.or(default_zone));
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
        let date = date.zip(time_zone).zip(recurrence.as_ref());
        let date = date.and_then(|((date, time_zone), rule)| {
            faults.take(due_date(date, time_zone, rule.as_ref()))
        });
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
            priority: self.priority.unwrap_or_default(),
            locale: locale?,
        })
    }
}

/// Returns the due date. A local time needs a zone.
fn due_date(
    date: GivenTime,
    time_zone: Option<TimeZone>,
    rule: Option<&Rule>,
) -> Result<DateTime<Utc>, InvalidDueDate> {
    match (date, time_zone) {
        (GivenTime::Local(_), None) => Err(InvalidDueDate::NoZone),
        (date, time_zone) => date.due_date(time_zone.unwrap_or_default(), rule),
    }
}
