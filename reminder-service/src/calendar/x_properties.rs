//! What a reminder has and iCalendar has no word for: properties of our own, written and read here
//! alone.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use shared::contract::{Channel, Priority, Recurrence};

use super::{Entry, Exported, component::Component, property::Property, times::wall_clock};
use crate::reminder::{ExpiresAfter, Locale, Pairs, instant};

/// What all their names begin with.
pub(super) const PREFIX: &str = "X-REMINDER-";
/// Whether the heading only stands in for one that there is not.
pub(super) const NO_TITLE: &str = "X-REMINDER-NO-TITLE";

const DATE: &str = "X-REMINDER-DATE";
const GAP: &str = "X-REMINDER-GAP";
const FOLD: &str = "X-REMINDER-FOLD";
const CHANNELS: &str = "X-REMINDER-CHANNELS";
const DATA: &str = "X-REMINDER-DATA";
const PRIORITY: &str = "X-REMINDER-PRIORITY";
const LOCALE: &str = "X-REMINDER-LOCALE";
const EXPIRES_AFTER: &str = "X-REMINDER-EXPIRES-AFTER-MINUTES";

/// The properties of a reminder.
pub(super) fn properties(reminder: &Exported) -> Vec<(&'static str, String)> {
    let channels: Vec<_> = reminder.channels.iter().map(|it| it.as_str()).collect();
    let mut properties = vec![
        (DATE, reminder.date.to_rfc3339_opts(SecondsFormat::Millis, true)),
        (CHANNELS, channels.join(",")),
        (PRIORITY, reminder.priority.to_string()),
        (EXPIRES_AFTER, reminder.expires_after_minutes.to_string()),
    ];
    if let Some(recurrence) = &reminder.recurrence {
        properties.extend([(GAP, recurrence.gap.to_string()), (FOLD, recurrence.fold.to_string())]);
    }
    if reminder.title.is_none() {
        properties.push((NO_TITLE, "TRUE".to_owned()));
    }
    // A map of texts is always JSON.
    if let (false, Ok(data)) = (reminder.data.is_empty(), serde_json::to_string(&reminder.data)) {
        properties.push((DATA, data));
    }
    properties.extend(reminder.locale.clone().map(|locale| (LOCALE, locale)));
    properties
}

/// Whether a component was written here.
pub(super) fn is_ours(component: &Component) -> bool {
    component.properties.iter().any(|it| it.name.starts_with(PREFIX))
}

/// Gives an entry what these properties say; those that cannot be read are left out and told of.
pub(super) fn restore(
    entry: &mut Entry,
    component: &Component,
    left_out: &mut Vec<(usize, String)>,
) {
    for property in component.properties.iter().filter(|it| it.name.starts_with(PREFIX)) {
        if !restore_one(entry, property) {
            left_out.push((
                property.line,
                format!("{} was left out: its value cannot be read", property.name),
            ));
        }
    }
}

fn restore_one(entry: &mut Entry, property: &Property) -> bool {
    let value = property.value.as_str();
    match property.name.as_str() {
        CHANNELS => put(&mut entry.channels, channels(value)),
        DATA => pairs(value).map(|it| entry.data = it).is_some(),
        PRIORITY => put(&mut entry.priority, value.parse::<Priority>().ok()),
        LOCALE => {
            put(&mut entry.locale, Locale::parse(value.to_owned()).ok().map(Locale::into_string))
        }
        EXPIRES_AFTER => put(&mut entry.expires_after_minutes, expiry(value)),
        GAP | FOLD => {
            entry.recurrence.as_mut().is_none_or(|it| restore_policy(it, &property.name, value))
        }
        DATE => instant("date", value).map(|it| restore_date(entry, it)).is_ok(),
        _ => true,
    }
}

fn put<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let is_read = value.is_some();
    *field = value;
    is_read
}

fn restore_policy(recurrence: &mut Recurrence, name: &str, value: &str) -> bool {
    match name {
        GAP => value.parse().map(|it| recurrence.gap = it).is_ok(),
        _ => value.parse().map(|it| recurrence.fold = it).is_ok(),
    }
}

/// The exact instant: below the second, and the second of two equal local times. It yields to a
/// start that was changed since, by a product that kept what it does not know.
fn restore_date(entry: &mut Entry, exact: DateTime<Utc>) {
    let Ok(zone) = entry.time_zone.parse::<Tz>() else { return };
    let second = |at| wall_clock(at, zone).and_utc().timestamp();
    if second(exact) == second(entry.date) {
        entry.date = exact;
    }
}

fn channels(value: &str) -> Option<Vec<Channel>> {
    let mut channels =
        value.split(',').map(|it| it.trim().parse().ok()).collect::<Option<Vec<Channel>>>()?;
    channels.sort_unstable_by_key(|it| it.as_str());
    channels.dedup();
    Some(channels)
}

fn pairs(value: &str) -> Option<BTreeMap<String, String>> {
    let pairs = serde_json::from_str(value).ok()?;
    Pairs::parse(pairs).ok().map(Pairs::into_map)
}

fn expiry(value: &str) -> Option<i32> {
    ExpiresAfter::parse(value.trim().parse().ok()?).ok().map(ExpiresAfter::minutes)
}
