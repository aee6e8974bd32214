//! Deliveries of schedules.

use chrono::TimeDelta;

use super::{at, series};
use crate::*;

#[test]
fn merges_deliveries_of_several_offsets() {
    let hourly = series("2026-05-01T10:00:00Z", "UTC", "FREQ=HOURLY").expect("a rule");
    let schedule = DeliverySchedule::recurring(hourly, vec![0, 30, 60]);
    let deliveries: Vec<Delivery> = schedule.after(at("2026-05-01T10:00:00Z")).take(3).collect();
    let times: Vec<_> =
        deliveries.iter().map(|delivery| delivery.at.format("%H:%M").to_string()).collect();
    assert_eq!(times, ["10:30", "11:00", "11:30"]);
    assert_eq!(
        deliveries[1].date,
        at("2026-05-01T11:00:00Z"),
        "the occurrence that is now, not the one in an hour"
    );
    assert_eq!(schedule.delivery_at(at("2026-05-01T11:00:00Z")), Some(deliveries[1]));
    assert_eq!(schedule.delivery_at(at("2026-05-01T11:31:00Z")), None);
}

#[test]
fn finds_latest_delivery() {
    let once = DeliverySchedule::once(at("2026-05-01T10:00:00Z"), vec![0, 60]);
    assert_eq!(once.latest(at("2026-05-01T08:59:59Z")), None);
    assert_eq!(
        once.latest(at("2026-05-01T09:30:00Z")).map(|delivery| delivery.at),
        Some(at("2026-05-01T09:00:00Z"))
    );
    assert_eq!(
        once.latest(at("2026-05-02T00:00:00Z")).map(|delivery| delivery.at),
        Some(at("2026-05-01T10:00:00Z"))
    );
    assert_eq!(once.last(), Some(at("2026-05-01T10:00:00Z")));
}

#[test]
fn skips_acknowledged_deliveries_at_once() {
    let minutely = series("2026-05-01T10:00:00Z", "UTC", "FREQ=MINUTELY").expect("a rule");
    let schedule = DeliverySchedule::recurring(minutely, vec![0, 40_320]);
    let acknowledged = at("2099-05-01T10:00:00Z");
    let next = schedule.unacknowledged_after(at("2026-05-01T10:00:00Z"), Some(acknowledged)).next();
    let date = acknowledged + TimeDelta::minutes(1);
    assert_eq!(next, Some(Delivery { at: date - TimeDelta::minutes(40_320), date }));
}
