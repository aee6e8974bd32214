//! An entry of the lists of a recurrence rule, compared with an occurrence.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use recurrence::canonical_date;
use time_zone::{Instants, Zone};

const LOCAL: &str = "%Y-%m-%dT%H:%M:%S";
/// Farthest that the wall clock of an occurrence is from the local time that a rule has for it: the
/// longest gaps are those in which a zone left out a day.
const FARTHEST: TimeDelta = TimeDelta::days(2);

/// An entry of `exdates` or `rdates` in one of its forms.
enum ListedTime {
    Instant(DateTime<Utc>),
    Local(NaiveDateTime),
    Day(NaiveDate),
}

impl ListedTime {
    fn read(text: &str) -> Option<Self> {
        let text = canonical_date(text)?;
        if let Some(utc) = text.strip_suffix('Z') {
            return Some(Self::Instant(NaiveDateTime::parse_from_str(utc, LOCAL).ok()?.and_utc()));
        }
        let local = NaiveDateTime::parse_from_str(&text, LOCAL).map(Self::Local);
        local.or_else(|_| NaiveDate::parse_from_str(&text, "%Y-%m-%d").map(Self::Day)).ok()
    }
}

/// Returns `true` if an entry of a list means an occurrence, alone or among others.
pub(super) fn means(text: &str, at: DateTime<Utc>, zone: Zone) -> bool {
    let at = whole_second(at);
    let wall_clock = zone.wall_clock(at);
    match ListedTime::read(text) {
        Some(ListedTime::Instant(instant)) => instant == at,
        Some(ListedTime::Day(day)) => wall_clock.date() == day,
        Some(ListedTime::Local(local)) if (local - wall_clock).abs() <= FARTHEST => {
            match zone.instants(local) {
                Some(Instants::Fold { first, second }) => at == first || at == second,
                instants => instants.is_some_and(|instants| instants.first() == at),
            }
        }
        Some(ListedTime::Local(_)) | None => false,
    }
}

/// Returns `true` if an entry of a list means an occurrence, and no others of its day.
pub(super) fn means_only(text: &str, at: DateTime<Utc>, zone: Zone) -> bool {
    !matches!(ListedTime::read(text), Some(ListedTime::Day(_))) && means(text, at, zone)
}

/// The entry that means an occurrence by the wall clock, where another one means it by its instant.
/// Other entries stay.
pub(super) fn by_wall_clock(text: &str, zone: Zone) -> String {
    match ListedTime::read(text) {
        Some(ListedTime::Instant(at)) => zone.wall_clock(at).format(LOCAL).to_string(),
        _ => text.to_owned(),
    }
}

/// The entry that means the time of another one, later by a difference of wall clocks; a day moves
/// by the whole days. `None` if there is no such time.
pub(super) fn shifted(text: &str, by: TimeDelta, zone: Zone) -> Option<String> {
    match ListedTime::read(text)? {
        ListedTime::Instant(at) => {
            let at = zone.instant(zone.wall_clock(at).checked_add_signed(by)?)?;
            Some(instant_entry(at))
        }
        ListedTime::Local(local) => Some(local.checked_add_signed(by)?.format(LOCAL).to_string()),
        ListedTime::Day(day) => {
            let days = TimeDelta::days(by.num_days());
            Some(day.checked_add_signed(days)?.format("%Y-%m-%d").to_string())
        }
    }
}

/// Returns `true` if an entry means a time before an instant. A day means the time of day of the
/// wall clock `start`.
pub(super) fn is_before(text: &str, at: DateTime<Utc>, start: NaiveDateTime, zone: Zone) -> bool {
    match ListedTime::read(text) {
        Some(ListedTime::Instant(instant)) => instant < at,
        Some(ListedTime::Local(local)) => zone.instant(local).is_some_and(|instant| instant < at),
        Some(ListedTime::Day(day)) => {
            zone.instant(day.and_time(start.time())).is_some_and(|instant| instant < at)
        }
        None => true,
    }
}

/// Returns `true` if an entry means the local day of an instant.
pub(super) fn is_day_of(text: &str, at: DateTime<Utc>, zone: Zone) -> bool {
    matches!(ListedTime::read(text), Some(ListedTime::Day(_))) && means(text, at, zone)
}

/// The entry that means an occurrence by the wall clock, so that it follows a change of the zone;
/// `None` if the local time is that of no instant or of two.
pub(super) fn local_entry(at: DateTime<Utc>, zone: Zone) -> Option<String> {
    let local = zone.wall_clock(whole_second(at));
    let is_one = matches!(zone.instants(local), Some(Instants::One(_)));
    is_one.then(|| local.format(LOCAL).to_string())
}

/// The entry that means an occurrence by its instant.
pub(super) fn instant_entry(at: DateTime<Utc>) -> String {
    format!("{}Z", at.naive_utc().format(LOCAL))
}

fn whole_second(at: DateTime<Utc>) -> DateTime<Utc> {
    at.with_nanosecond(0).unwrap_or(at)
}
