//! A short storm of random faults, and mutation tests of the checker: with one safeguard disabled,
//! it must report the violation. `make storm` runs storms of several minutes.

use std::time::Duration;

use system::{
    Bus,
    storm::{self, FindingKind, Safeguard, Settings},
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
        settle_limit: Duration::from_secs(120),
    };
    let report = storm::run(settings, |_| {}).await;
    assert!(report.created > 0 && report.findings.is_empty(), "{report}");
}

/// Kinds of the findings with a safeguard, and without it.
async fn finding_kinds(safeguard: Safeguard) -> (Vec<FindingKind>, Vec<FindingKind>) {
    let kinds = |findings: Vec<storm::Finding>| {
        let mut kinds: Vec<FindingKind> =
            findings.into_iter().map(|finding| finding.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    storm::judge_with_and_without(safeguard).await.map(kinds).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miscounts_without_the_inbox_check() {
    let (with, without) = finding_kinds(Safeguard::Inbox).await;
    assert_eq!((with, without), (vec![], vec![FindingKind::Miscounted]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_reminders_without_the_outbox() {
    let (with, without) = finding_kinds(Safeguard::Outbox).await;
    assert_eq!((with, without), (vec![], vec![FindingKind::Lost, FindingKind::Stuck]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_twice_without_the_ledger_key() {
    let (with, without) = finding_kinds(Safeguard::LedgerKey).await;
    assert!(with.is_empty() && without.contains(&FindingKind::Duplicate), "{with:?} {without:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_edited_reminders_without_the_fence() {
    let (with, without) = finding_kinds(Safeguard::Fence).await;
    assert_eq!((with, without), (vec![], vec![FindingKind::Lost, FindingKind::Failed]));
}
