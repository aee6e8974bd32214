//! Five shuffled copies of a history give the state that one copy in order gives.

use std::collections::BTreeMap;

use bus::Received;
use chrono::{DateTime, Utc};
use contract::{DeliveryState, EventType, event_id_of};
use proptest::{prelude::*, sample::subsequence, test_runner::TestRunner};
use serde_json::json;

use crate::fixture::{
    StoredNotification, TestService, data, event, hours, minutes, now, outcome, received,
    test_service,
};

/// A step of a history; dates and offsets by index.
#[derive(Debug, Clone)]
enum Step {
    Keep { date: usize, offsets: Vec<i32> },
    Delete,
    Outcome { date: usize, offset: i32, state: usize, deliveries: i32 },
}

/// A history and the shuffle of its copies: by which the copies are ordered, and where batches end.
#[derive(Debug, Clone)]
struct Case {
    steps: Vec<Step>,
    keys: Vec<u16>,
    batch: usize,
}

const OFFSETS: [i32; 3] = [0, 10, 60];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize, subsequence(OFFSETS.to_vec(), 1..=3))
            .prop_map(|(date, offsets)| Step::Keep { date, offsets }),
        1 => Just(Step::Delete),
        3 => (0..3_usize, 0..3_usize, 0..4_usize, 1..=3_i32)
            .prop_map(|(date, offset, state, deliveries)| {
                Step::Outcome { date, offset: OFFSETS[offset], state, deliveries }
            }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    (prop::collection::vec(step(), 1..10), prop::collection::vec(any::<u16>(), 50), 1..20_usize)
        .prop_map(|(steps, keys, batch)| Case { steps, keys, batch })
}

fn history(item: &str, steps: &[Step], start: DateTime<Utc>) -> Vec<Received> {
    let date_of = |index: usize| start + hours(24 * (index as i64 + 1));
    let states = [
        DeliveryState::Sent,
        DeliveryState::Failed,
        DeliveryState::Suppressed,
        DeliveryState::Deferred,
    ];
    let messages = steps.iter().enumerate().map(|(index, step)| {
        let version = index as i64 + 1;
        match step {
            Step::Keep { date, offsets } => {
                let kind = if index == 0 {
                    EventType::ReminderCreated
                } else {
                    EventType::ReminderUpdated
                };
                received(&event(kind, item, version, start, data(date_of(*date), offsets)))
            }
            Step::Delete => {
                received(&event(EventType::ReminderDeleted, item, version, start, json!({})))
            }
            Step::Outcome { date, offset, state, deliveries } => {
                let due_at = date_of(*date) - minutes((*offset).into());
                let mut message =
                    outcome(item, due_at, states[*state], Some(["x", "y"][index % 2]), *deliveries);
                message.attributes.insert(
                    "eventId".to_owned(),
                    event_id_of(&format!("{item} {index}")).to_string(),
                );
                message
            }
        }
    });
    messages.collect()
}

/// Reads an item: the notification, and its occurrences that are not cancelled.
async fn seen(
    service: &TestService,
    item: &str,
) -> (Option<StoredNotification>, BTreeMap<DateTime<Utc>, (String, [i32; 4])>) {
    // By the item's own id: an occurrence may be known by its outcome before its notification is.
    let item_id = item.parse().expect("an id");
    let id = event_service::domain::identity::notification_id(
        event_service::domain::identity::Source::Reminder,
        &item_id,
    );
    let sql = "select due_at, state::text, sent, failed, suppressed, deliveries from occurrences
        where notification_id = $1 and state <> 'cancelled'";
    let rows: Vec<(_, String, i32, i32, i32, i32)> =
        sqlx::query_as(sql).bind(id).fetch_all(&service.pool).await.expect("rows");
    let occurrences = rows.into_iter().map(|row| (row.0, (row.1, [row.2, row.3, row.4, row.5])));
    (service.notification(item).await, occurrences.collect())
}

async fn check(service: &TestService, number: usize, case: &Case) {
    let (ordered, shuffled) = (format!("ordered-{number}"), format!("shuffled-{number}"));
    let start = now();
    for message in history(&ordered, &case.steps, start) {
        service.apply(&[message]).await;
    }
    let once = history(&shuffled, &case.steps, start);
    let mut copies: Vec<Received> = (0..5).flat_map(|_| once.clone()).collect();
    let mut keys = case.keys.iter().cycle();
    copies.sort_by_cached_key(|_| *keys.next().unwrap_or(&0));
    for batch in copies.chunks(case.batch) {
        service.apply(batch).await;
    }
    assert_eq!(seen(service, &shuffled).await, seen(service, &ordered).await, "{case:?}");
}

#[test]
fn reaches_same_state_in_any_order() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let service = runtime.block_on(test_service());
    let number = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 60,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    });
    let result = runner.run(&case(), |case| {
        number.set(number.get() + 1);
        let checked =
            std::panic::AssertUnwindSafe(|| runtime.block_on(check(&service, number.get(), &case)));
        std::panic::catch_unwind(checked).map_err(|_| TestCaseError::fail("the states differ"))
    });
    runtime.block_on(async { drop(service) });
    result.expect("the same state");
}
