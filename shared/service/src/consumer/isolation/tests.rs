use std::{collections::BTreeSet, sync::Mutex};

use super::*;

/// A store that fails as scripted, and records the applied items.
#[derive(Default)]
struct Store {
    /// Items that make a part fail, with the class of the failure.
    poison: Vec<(u32, FailureClass)>,
    /// Number of first calls that fail with an outage.
    outages: Mutex<u32>,
    applied: Mutex<BTreeSet<u32>>,
    calls: Mutex<Vec<usize>>,
}

#[derive(Debug, thiserror::Error)]
#[error("scripted")]
struct Scripted(FailureClass);

impl Failure for Scripted {
    fn class(&self) -> FailureClass {
        self.0
    }

    fn detail(&self) -> String {
        "scripted".to_owned()
    }
}

impl Attempt for Store {
    type Item = u32;
    type Error = Scripted;

    async fn attempt(&self, items: &[u32]) -> Result<(), Scripted> {
        self.calls.lock().unwrap().push(items.len());
        let mut outages = self.outages.lock().unwrap();
        if *outages > 0 {
            *outages -= 1;
            return Err(Scripted(FailureClass::Outage));
        }
        if let Some((_, class)) = self.poison.iter().find(|(item, _)| items.contains(item)) {
            return Err(Scripted(*class));
        }
        self.applied.lock().unwrap().extend(items);
        Ok(())
    }
}

impl Store {
    fn with(poison: &[(u32, FailureClass)]) -> Self {
        Self { poison: poison.to_vec(), ..Self::default() }
    }

    fn with_outages(calls: u32) -> Self {
        Self { outages: Mutex::new(calls), ..Self::default() }
    }
}

/// An isolation with short pauses.
fn isolation(outage_hold: Duration, shutdown: CancellationToken) -> Isolation {
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
    let times = Times { outage_hold, suspect_hold: Duration::from_millis(20), backoff };
    Isolation { times, shutdown, applied: AtomicU64::new(0) }
}

async fn apply(store: &Store, items: u32) -> Vec<Outcome> {
    let isolation = isolation(Duration::MAX, CancellationToken::new());
    isolation.apply(store, &(0..items).collect::<Vec<_>>()).await
}

fn others_are_done(outcomes: &[Outcome], poison: &[usize]) -> bool {
    outcomes
        .iter()
        .enumerate()
        .all(|(at, outcome)| poison.contains(&at) || *outcome == Outcome::Done)
}

fn suspect() -> Outcome {
    Outcome::Suspect("scripted".to_owned())
}

#[tokio::test]
async fn applies_healthy_batch_at_once() {
    let store = Store::default();
    assert_eq!(apply(&store, 500).await, vec![Outcome::Done; 500]);
    assert_eq!(*store.calls.lock().unwrap(), [500]);
    assert!(apply(&store, 0).await.is_empty());
}

#[tokio::test]
async fn refuses_only_items_with_refused_data() {
    let store = Store::with(&[(3, FailureClass::Data), (499, FailureClass::Data)]);
    let outcomes = apply(&store, 500).await;
    assert!(others_are_done(&outcomes, &[3, 499]));
    assert_eq!(
        (&outcomes[3], &outcomes[3]),
        (&outcomes[499], &Outcome::Refused("scripted".to_owned()))
    );
    assert_eq!(store.applied.lock().unwrap().len(), 498);
    assert!(store.calls.lock().unwrap().len() < 60, "{:?}", store.calls.lock().unwrap());
}

#[tokio::test]
async fn isolates_suspects_and_applies_others() {
    for class in [FailureClass::Suspect, FailureClass::Conflict] {
        let store = Store::with(&[(250, class)]);
        let outcomes = apply(&store, 500).await;
        assert!(others_are_done(&outcomes, &[250]));
        assert_eq!(outcomes[250], suspect());
    }
}

#[tokio::test]
async fn applies_others_when_many_are_suspect() {
    let poison: Vec<_> = (0..40).map(|item| (item, FailureClass::Suspect)).collect();
    let outcomes = apply(&Store::with(&poison), 500).await;
    assert!(others_are_done(&outcomes, &(0..40).collect::<Vec<_>>()));
    assert_eq!(outcomes[..40], vec![suspect(); 40]);
}

#[tokio::test]
async fn suspects_no_item_when_all_fail() {
    let poison: Vec<_> = (0..100).map(|item| (item, FailureClass::Suspect)).collect();
    let outcomes = apply(&Store::with(&poison), 100).await;
    assert_eq!(outcomes, vec![Outcome::Undone(SUSPECT_HOLD); 100]);
}

#[tokio::test]
async fn suspects_item_when_another_loop_succeeds() {
    let isolation = Isolation::new(Duration::MAX, CancellationToken::new());
    let store = Store::with(&[(1, FailureClass::Suspect)]);
    // The second one begins while the first one pauses.
    let (outcomes, others) =
        tokio::join!(isolation.apply(&store, &[1]), isolation.apply(&store, &[2]));
    assert_eq!((outcomes, others), (vec![suspect()], vec![Outcome::Done]));
}

#[tokio::test]
async fn holds_batch_during_outage() {
    let store = Store::with_outages(20);
    assert_eq!(apply(&store, 10).await, vec![Outcome::Done; 10]);
    assert!(
        store.calls.lock().unwrap().iter().all(|items| *items == 10),
        "an outage splits nothing"
    );
}

#[tokio::test]
async fn returns_batch_when_outage_lasts() {
    let store = Store::with_outages(u32::MAX);
    let isolation = isolation(Duration::from_millis(20), CancellationToken::new());
    assert_eq!(isolation.apply(&store, &[1, 2]).await, vec![Outcome::Undone(RETRY_AFTER); 2]);
    assert!(store.applied.lock().unwrap().is_empty());
}

#[tokio::test]
async fn returns_batch_at_once_on_shutdown() {
    let shutdown = CancellationToken::new();
    let isolation = Isolation::new(Duration::MAX, shutdown.clone());
    let store = Store::with_outages(u32::MAX);
    let (outcomes, ()) =
        tokio::join!(isolation.apply(&store, &[1, 2]), async { shutdown.cancel() });
    assert_eq!(outcomes, vec![Outcome::Undone(Duration::ZERO); 2]);
}

#[test]
fn dead_letters_suspect_after_several_receipts() {
    let settlements = (1..=3).map(|count| suspect().settlement(count)).collect::<Vec<_>>();
    assert_eq!(settlements[0], Settlement::RetryAfter(Duration::from_secs(5)));
    assert_eq!(settlements[1], Settlement::RetryAfter(Duration::from_secs(15)));
    assert!(matches!(&settlements[2], Settlement::Reject(rejection)
            if rejection.reason == Reason::FailedAlone && rejection.detail.contains("scripted")));
}
