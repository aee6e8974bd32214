//! Non-standard properties (`X-REMINDER-…`, RFC 5545 §3.8.8.2) for the fields of a reminder that
//! iCalendar does not have. This service writes and reads them; other products ignore them.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use contract::{Channel, Priority, Recurrence};
use time_zone::Zone;

use super::{Entry, Exported, component::Component, property::Property};
use crate::domain::reminder::{ExpiresAfter, Locale, Pairs, instant};

/// Prefix of the names of all these properties.
pub(super) const PREFIX: &str = "X-REMINDER-";
/// Marks a summary that was derived from the message: the reminder has no title.
pub(super) const NO_TITLE: &str = "X-REMINDER-NO-TITLE";

/// Marks a reminder that follows the zone of its user.
const FLOATING: &str = "X-REMINDER-FLOATING";
pub(super) const DATE: &str = "X-REMINDER-DATE";
const GAP: &str = "X-REMINDER-GAP";
const FOLD: &str = "X-REMINDER-FOLD";
const CHANNELS: &str = "X-REMINDER-CHANNELS";
const DATA: &str = "X-REMINDER-DATA";
const PRIORITY: &str = "X-REMINDER-PRIORITY";
const LOCALE: &str = "X-REMINDER-LOCALE";
const EXPIRES_AFTER: &str = "X-REMINDER-EXPIRES-AFTER-MINUTES";

/// Returns the properties of a reminder.
pub(super) fn properties(reminder: &Exported) -> Vec<(&'static str, String)> {
    let channels: Vec<_> = reminder.channels.iter().map(|channel| channel.as_str()).collect();
    let mut properties = vec![
        (DATE, reminder.date.to_rfc3339_opts(SecondsFormat::Millis, true)),
        (CHANNELS, channels.join(",")),
        (PRIORITY, reminder.priority.to_string()),
        (EXPIRES_AFTER, reminder.expires_after_minutes.to_string()),
    ];
    if let Some(recurrence) = &reminder.recurrence {
        properties.extend([(GAP, recurrence.gap.to_string()), (FOLD, recurrence.fold.to_string())]);
    }
    if reminder.is_floating {
        properties.push((FLOATING, "TRUE".to_owned()));
    }
    if reminder.title.is_none() {
        properties.push((NO_TITLE, "TRUE".to_owned()));
    }
    // A map of strings can always be written as JSON.
    if let (false, Ok(data)) = (reminder.data.is_empty(), serde_json::to_string(&reminder.data)) {
        properties.push((DATA, data));
    }
    properties.extend(reminder.locale.clone().map(|locale| (LOCALE, locale)));
    properties
}

/// Returns `true` if this service exported the component.
pub(super) fn are_present(component: &Component) -> bool {
    component.properties.iter().any(|property| property.name.starts_with(PREFIX))
}

/// Returns `true` if the component is a floating reminder.
pub(super) fn is_floating(component: &Component) -> bool {
    let value = component.one(FLOATING).map(|property| property.value.trim());
    value.is_some_and(|value| value.eq_ignore_ascii_case("TRUE"))
}

/// Sets the fields of an entry from these properties. A property that cannot be read is left out
/// and reported.
pub(super) fn restore(
    entry: &mut Entry,
    component: &Component,
    left_out: &mut Vec<(usize, String)>,
) {
    let is_own = |property: &&Property| property.name.starts_with(PREFIX);
    for property in component.properties.iter().filter(is_own) {
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
        CHANNELS => {
            entry.email_alarm = None;
            set(&mut entry.channels, channels(value))
        }
        DATA => pairs(value).map(|data| entry.data = data).is_some(),
        PRIORITY => set(&mut entry.priority, value.parse::<Priority>().ok()),
        LOCALE => {
            set(&mut entry.locale, Locale::parse(value.to_owned()).ok().map(Locale::into_string))
        }
        EXPIRES_AFTER => set(&mut entry.expires_after_minutes, expiry(value)),
        GAP | FOLD => entry
            .recurrence
            .as_mut()
            .is_none_or(|recurrence| restore_policy(recurrence, &property.name, value)),
        DATE => instant("date", value).map(|date| restore_date(entry, date)).is_ok(),
        _ => true,
    }
}

fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let is_read = value.is_some();
    *field = value;
    is_read
}

fn restore_policy(recurrence: &mut Recurrence, name: &str, value: &str) -> bool {
    match name {
        GAP => value.parse().map(|gap| recurrence.gap = gap).is_ok(),
        _ => value.parse().map(|fold| recurrence.fold = fold).is_ok(),
    }
}

/// Restores the exact date: with milliseconds, and the second of two equal local times. A start
/// that another product changed since the export wins.
fn restore_date(entry: &mut Entry, exact: DateTime<Utc>) {
    let Ok(zone) = entry.time_zone.parse::<Zone>() else { return };
    let second = |at| zone.wall_clock(at).and_utc().timestamp();
    if second(exact) == second(entry.date) {
        entry.date = exact;
    }
}

fn channels(value: &str) -> Option<Vec<Channel>> {
    let words = value.split(',').map(str::trim);
    let mut channels = words.map(|word| word.parse().ok()).collect::<Option<Vec<Channel>>>()?;
    channels.sort_unstable_by_key(|channel| channel.as_str());
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
