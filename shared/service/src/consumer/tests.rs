use std::{collections::BTreeMap, sync::Mutex};

use chrono::Utc;

use super::*;

fn message(number: usize, receive_count: u32) -> Received {
    Received {
        receipt: Receipt(number.to_string()),
        message_id: number.to_string(),
        body: "{}".to_owned(),
        attributes: BTreeMap::new(),
        receive_count,
        sent_at: Utc::now(),
    }
}

/// A handler that panics at some messages, and records the sizes of its batches.
struct Panicking(&'static [&'static str], Mutex<Vec<usize>>);

impl Handler for Panicking {
    async fn handle(&self, batch: &[Received]) -> Vec<Settlement> {
        self.1.lock().unwrap().push(batch.len());
        assert!(
            !batch.iter().any(|message| self.0.contains(&message.message_id.as_str())),
            "scripted"
        );
        vec![Settlement::Done; batch.len()]
    }
}

#[tokio::test]
async fn isolates_message_whose_handling_panics() {
    let handler = Panicking(&["7", "300"], Mutex::default());
    let mut batch: Vec<_> = (0..500).map(|number| message(number, 1)).collect();
    batch[300].receive_count = 2;

    let settlements = handle(&handler, &batch).await;

    assert_eq!(settlements[7], Settlement::RetryAfter(RETRY_AFTER_PANIC));
    assert_eq!(
        settlements[300],
        Settlement::Reject(Rejection::new(Reason::HandlerPanicked, "its handling panicked"))
    );
    assert_eq!(
        settlements.iter().filter(|settlement| **settlement == Settlement::Done).count(),
        498
    );
    assert!(handler.1.lock().unwrap().len() < 60);
}

#[test]
fn handles_fresh_messages_before_small_groups() {
    let counts = [5, 1, 2, 1].into_iter().chain([2; 70]).chain([4; 10]);
    let batch: Vec<_> = counts.enumerate().map(|(number, count)| message(number, count)).collect();
    let sizes: Vec<_> = groups(batch.clone(), 500).iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 64, 7, 8, 3]);
    assert_eq!(groups(batch, 500)[0][0].message_id, "1");
}

#[test]
fn bounds_groups_by_bytes() {
    let large = |number| Received { body: "x".repeat(MAX_RECEIVE_BYTES / 2), ..message(number, 1) };
    assert_eq!(
        groups((0..5).map(large).collect(), 500).iter().map(Vec::len).collect::<Vec<_>>(),
        [2, 2, 1]
    );
}

#[test]
fn bounds_groups_by_number() {
    // A receive that finds packs for the first time returns more events than a batch.
    let batch = (0..25).map(|number| message(number, 1)).collect();
    assert_eq!(groups(batch, 10).iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
}

#[test]
fn splits_range_into_parts() {
    let lengths = |length: usize| parts(3..3 + length).map(|part| part.len()).collect::<Vec<_>>();
    assert_eq!(lengths(500), [63, 63, 63, 63, 63, 63, 63, 59]);
    assert_eq!(lengths(9), [2, 2, 2, 2, 1]);
    assert_eq!(lengths(2), [1, 1]);
    assert_eq!(parts(0..500).flatten().collect::<Vec<_>>(), (0..500).collect::<Vec<_>>());
}
