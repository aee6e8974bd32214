//! A recurring notification and the occurrences that follow.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use contract::{Reason, occurrence_id};
use recurrence::{Delivery, DeliverySchedule};
use uuid::Uuid;

/// A recurring notification.
#[derive(Debug)]
pub struct Series {
    /// Version of the item.
    pub version: i64,
    /// Source: `reminder` or `notification`.
    pub source: String,
    /// Item that the occurrences belong to.
    pub item_id: String,
    /// Times of delivery.
    pub schedule: DeliverySchedule,
    /// Time from a delivery time to its expiry.
    pub lifetime: TimeDelta,
    /// Time up to which the user has acknowledged occurrences.
    pub acknowledged: Option<DateTime<Utc>>,
    /// Time at which its newest version was made: earlier occurrences are not created by it.
    pub changed_at: DateTime<Utc>,
    /// Edition of the time zone data by which its pending occurrence was computed.
    pub time_zone_database: Option<String>,
    /// The database's time of the reading.
    pub now: DateTime<Utc>,
}

impl Series {
    /// Returns up to `most` deliveries after the first of some times, other than those: the ones
    /// that are due already, and the first that lies ahead. One walk, however many times have
    /// passed.
    fn following(&self, passed: &BTreeSet<DateTime<Utc>>, most: usize) -> Vec<Delivery> {
        let Some(first) = passed.first() else { return Vec::new() };
        let mut is_enough = false;
        let deliveries =
            self.schedule.unacknowledged_after((*first).max(self.changed_at), self.acknowledged);
        let deliveries = deliveries.filter(|delivery| !passed.contains(&delivery.at));
        deliveries
            .take_while(|delivery| !std::mem::replace(&mut is_enough, delivery.at > self.now))
            .take(most)
            .collect()
    }

    /// Returns `true` if an occurrence is superseded: its time is one of the series, and a later
    /// time of the series is due as well.
    #[must_use]
    pub fn is_superseded(&self, due: DateTime<Utc>) -> bool {
        self.schedule.delivery_at(due).is_some()
            && self.schedule.after(due).next().is_some_and(|next| next.at <= self.now)
    }

    /// Computes the occurrences that follow the times which are no longer pending. They state a
    /// reason if the time zone data is not the edition that the series was computed with.
    #[must_use]
    pub fn next(&self, passed: &BTreeSet<DateTime<Utc>>, most: usize, edition: &str) -> NextRows {
        let other = self.time_zone_database.as_deref().filter(|known| *known != edition);
        let reason = other.map(|_| Reason::TimeZoneDataChanged);
        let rows = self.following(passed, most).into_iter().map(|delivery| NewRow {
            id: occurrence_id(&self.source, &self.item_id, delivery.at),
            delivery,
            expires_at: delivery.at + self.lifetime,
        });
        NextRows { version: self.version, rows: rows.collect(), reason }
    }
}

/// Next occurrences of one series, computed from one version of it.
#[derive(Debug)]
pub struct NextRows {
    /// The version.
    pub version: i64,
    /// The occurrences.
    pub rows: Vec<NewRow>,
    /// Reason of the rows, if different time zone data may have moved them.
    pub reason: Option<Reason>,
}

/// An occurrence to create.
#[derive(Debug)]
pub struct NewRow {
    /// Id of the occurrence.
    pub id: Uuid,
    /// Time of delivery, and date of the instance.
    pub delivery: Delivery,
    /// Time after which the occurrence is not sent.
    pub expires_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use recurrence::{Fold, Gap, Rule, Zone};

    use super::*;

    fn minutely(now_minutes: i64) -> Series {
        let rule = Rule {
            rrule: "FREQ=MINUTELY",
            exdates: &[],
            rdates: &[],
            gap: Gap::Shift,
            fold: Fold::First,
        };
        let zone = Zone::parse("UTC").expect("a zone");
        let series = recurrence::Series::new(DateTime::UNIX_EPOCH, zone, rule).expect("a rule");
        Series {
            version: 1,
            source: "reminder".to_owned(),
            item_id: "item-1".to_owned(),
            schedule: DeliverySchedule::recurring(series, vec![0]),
            lifetime: TimeDelta::minutes(10),
            acknowledged: None,
            changed_at: DateTime::UNIX_EPOCH,
            time_zone_database: None,
            now: minute(now_minutes) + TimeDelta::seconds(30),
        }
    }

    fn minute(number: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(number)
    }

    fn minutes(deliveries: &[Delivery]) -> Vec<i64> {
        deliveries
            .iter()
            .map(|delivery| (delivery.at - DateTime::UNIX_EPOCH).num_minutes())
            .collect()
    }

    #[test]
    fn walks_once_over_missed_times() {
        let passed: BTreeSet<_> = (10..13).map(minute).collect();
        assert_eq!(minutes(&minutely(15).following(&passed, 500)), [13, 14, 15, 16]);
        assert_eq!(minutes(&minutely(12).following(&passed, 500)), [13]);
    }

    #[test]
    fn limits_occurrences_created_at_once() {
        let passed = BTreeSet::from([minute(10)]);
        assert_eq!(minutes(&minutely(900).following(&passed, 3)), [11, 12, 13]);
    }
}
