//! Random faults on everything at once, briefly, and the proof that the checker would notice: with
//! one guard taken out, it finds what that guard holds. `make storm` makes storms of minutes.

use std::time::Duration;

use system::{
    Bus,
    storm::{self, Guard, Kind, Settings},
};

crate::on_both_buses!(loses_nothing_in_a_short_storm);

async fn loses_nothing_in_a_short_storm(bus: Bus) {
    let seed = rand::random();
    let settings = Settings {
        bus,
        seed,
        length: Duration::from_secs(15),
        replicas: 2,
        per_second: 6,
        calm: Duration::from_secs(120),
    };
    let report = storm::run(settings, |_| {}).await;
    assert!(report.made > 0 && report.findings.is_empty(), "{report}");
}

/// The kinds of what is found with a guard in place, and with it taken out.
async fn found(guard: Guard) -> (Vec<Kind>, Vec<Kind>) {
    let kinds = |findings: Vec<storm::Finding>| {
        let mut kinds: Vec<Kind> = findings.into_iter().map(|finding| finding.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    storm::prove(guard).await.map(kinds).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miscounts_without_the_inbox_check() {
    let (with, without) = found(Guard::Inbox).await;
    assert_eq!((with, without), (vec![], vec![Kind::Miscounted]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_reminders_without_the_outbox() {
    let (with, without) = found(Guard::Outbox).await;
    assert_eq!((with, without), (vec![], vec![Kind::Lost, Kind::Stuck]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_twice_without_the_ledger_key() {
    let (with, without) = found(Guard::LedgerKey).await;
    assert!(with.is_empty() && without.contains(&Kind::Duplicate), "{with:?} {without:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_edited_reminders_without_the_fence() {
    let (with, without) = found(Guard::Fence).await;
    assert_eq!((with, without), (vec![], vec![Kind::Lost, Kind::Failed]));
}
