use std::{collections::BTreeSet, sync::Mutex};

use super::*;

/// A store that fails as it is told to, and remembers what it took.
#[derive(Default)]
struct Store {
    /// Items that make a part fail, and how.
    poison: Vec<(u32, Blame)>,
    /// Number of calls that fail with an outage first.
    away: Mutex<u32>,
    taken: Mutex<BTreeSet<u32>>,
    calls: Mutex<Vec<usize>>,
}

#[derive(Debug, thiserror::Error)]
#[error("scripted")]
struct Scripted(Blame);

impl Failure for Scripted {
    fn blame(&self) -> Blame {
        self.0
    }

    fn reason(&self) -> String {
        "scripted".to_owned()
    }
}

impl Attempt for Store {
    type Item = u32;
    type Error = Scripted;

    async fn attempt(&self, items: &[u32]) -> Result<(), Scripted> {
        self.calls.lock().unwrap().push(items.len());
        let mut away = self.away.lock().unwrap();
        if *away > 0 {
            *away -= 1;
            return Err(Scripted(Blame::Outage));
        }
        if let Some((_, blame)) = self.poison.iter().find(|(item, _)| items.contains(item)) {
            return Err(Scripted(*blame));
        }
        self.taken.lock().unwrap().extend(items);
        Ok(())
    }
}

impl Store {
    fn with(poison: &[(u32, Blame)]) -> Self {
        Self { poison: poison.to_vec(), ..Self::default() }
    }

    fn away_for(calls: u32) -> Self {
        Self { away: Mutex::new(calls), ..Self::default() }
    }
}

/// An isolation that pauses for as good as no time.
fn isolation(patience: Duration, shutdown: CancellationToken) -> Isolation {
    let pause = (Duration::from_millis(1), Duration::from_millis(1));
    let times = Times { patience, doubt: Duration::from_millis(20), pause };
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
async fn refuses_only_items_whose_data_is_refused() {
    let store = Store::with(&[(3, Blame::Data), (499, Blame::Data)]);
    let outcomes = apply(&store, 500).await;
    assert!(others_are_done(&outcomes, &[3, 499]));
    assert_eq!(
        (&outcomes[3], &outcomes[3]),
        (&outcomes[499], &Outcome::Refused("scripted".to_owned()))
    );
    assert_eq!(store.taken.lock().unwrap().len(), 498);
    assert!(store.calls.lock().unwrap().len() < 60, "{:?}", store.calls.lock().unwrap());
}

#[tokio::test]
async fn isolates_suspects_and_applies_the_others() {
    for blame in [Blame::Suspect, Blame::Conflict] {
        let store = Store::with(&[(250, blame)]);
        let outcomes = apply(&store, 500).await;
        assert!(others_are_done(&outcomes, &[250]));
        assert_eq!(outcomes[250], suspect());
    }
}

#[tokio::test]
async fn applies_the_others_when_many_are_suspect() {
    let poison: Vec<_> = (0..40).map(|item| (item, Blame::Suspect)).collect();
    let outcomes = apply(&Store::with(&poison), 500).await;
    assert!(others_are_done(&outcomes, &(0..40).collect::<Vec<_>>()));
    assert_eq!(outcomes[..40], vec![suspect(); 40]);
}

#[tokio::test]
async fn blames_nobody_when_everything_fails() {
    let poison: Vec<_> = (0..100).map(|item| (item, Blame::Suspect)).collect();
    let outcomes = apply(&Store::with(&poison), 100).await;
    assert_eq!(outcomes, vec![Outcome::Undone(DOUBT); 100]);
}

#[tokio::test]
async fn blames_lone_item_when_another_loop_succeeds() {
    let isolation = Isolation::new(Duration::MAX, CancellationToken::new());
    let store = Store::with(&[(1, Blame::Suspect)]);
    // The second one begins while the first one pauses.
    let (outcomes, others) =
        tokio::join!(isolation.apply(&store, &[1]), isolation.apply(&store, &[2]));
    assert_eq!((outcomes, others), (vec![suspect()], vec![Outcome::Done]));
}

#[tokio::test]
async fn holds_batch_during_outage() {
    let store = Store::away_for(20);
    assert_eq!(apply(&store, 10).await, vec![Outcome::Done; 10]);
    assert!(
        store.calls.lock().unwrap().iter().all(|items| *items == 10),
        "an outage splits nothing"
    );
}

#[tokio::test]
async fn gives_batch_back_when_outage_lasts() {
    let store = Store::away_for(u32::MAX);
    let isolation = isolation(Duration::from_millis(20), CancellationToken::new());
    assert_eq!(isolation.apply(&store, &[1, 2]).await, vec![Outcome::Undone(AGAIN); 2]);
    assert!(store.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn gives_batch_back_at_once_on_shutdown() {
    let shutdown = CancellationToken::new();
    let isolation = Isolation::new(Duration::MAX, shutdown.clone());
    let store = Store::away_for(u32::MAX);
    let (outcomes, ()) =
        tokio::join!(isolation.apply(&store, &[1, 2]), async { shutdown.cancel() });
    assert_eq!(outcomes, vec![Outcome::Undone(Duration::ZERO); 2]);
}

#[test]
fn dead_letters_suspect_after_several_receipts() {
    let settlements = (1..=3).map(|count| suspect().settlement(count)).collect::<Vec<_>>();
    assert_eq!(settlements[0], Settlement::RetryAfter(Duration::from_secs(5)));
    assert_eq!(settlements[1], Settlement::RetryAfter(Duration::from_secs(15)));
    assert!(matches!(&settlements[2], Settlement::Reject(reason) if reason.contains("scripted")));
}
