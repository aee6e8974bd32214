//! Quiet hours in zones of different times of day.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use contract::Channel;
use serde_json::json;
use time_zone::Zone;

use crate::test_service::{DueOccurrence, TestService};

async fn next_attempt_at(service: &TestService, due: &DueOccurrence) -> DateTime<Utc> {
    sqlx::query_scalar("select next_attempt_at from deliveries where occurrence_id = $1")
        .bind(due.id())
        .fetch_one(&service.pool)
        .await
        .expect("a row")
}

/// A zone in which the hour is `hour` now.
fn zone_where_it_is(hour: i64) -> String {
    let ahead = (hour - i64::from(Utc::now().hour()) + 12).rem_euclid(24) - 12;
    format!("Etc/GMT{:+}", -ahead)
}

/// Case Q2.
#[tokio::test]
async fn defers_until_next_morning_of_zone_q2() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    for (hour, days) in [(2, Some(0)), (22, Some(1)), (12, None)] {
        let zone = zone_where_it_is(hour);
        let quiet = json!({"start": "21:00", "end": "07:00", "timeZone": zone});
        let preferences = json!({"quietHours": quiet});
        service.user("ada").put("/preferences", &preferences).await.expect(200);
        let due = service.publish_due("ada", &[Channel::Push]).await;
        let Some(days) = days else {
            service.wait_for_state(&due, Channel::Push, "sent").await;
            continue;
        };
        service.wait_for_state(&due, Channel::Push, "deferred").await;
        let zone: Zone = zone.parse().expect("a zone");
        let until = zone.wall_clock(next_attempt_at(&service, &due).await);
        let today = zone.wall_clock(due.send.due_at).date();
        let morning = today + TimeDelta::days(days);
        assert_eq!(until, morning.and_hms_opt(7, 0, 0).expect("a time"), "{zone:?}");
        // The next preferences would send it.
        service.publish(&[due.cancelled(4)]).await;
        service.wait_for_state(&due, Channel::Push, "suppressed").await;
    }
}
