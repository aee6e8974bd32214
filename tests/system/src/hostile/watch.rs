//! Observation of health and memory of the processes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use support::{http, memory::Memory};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{ProcessReport, memory_limit};
use crate::{Service, TestSuite};

/// Pause between two checks of one process.
const PAUSE: Duration = Duration::from_millis(500);

/// Slowest answer of each service; `None` if one is missing.
type Slowest = Arc<Mutex<BTreeMap<Service, Option<Duration>>>>;

/// Repeated checks of `/healthz` of each process.
pub(super) struct Watch {
    slowest: Slowest,
    checks: Vec<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn begin(suite: &TestSuite, stop: &CancellationToken) -> Self {
        let slowest = Slowest::default();
        let mut checks = Vec::new();
        for service in Service::ALL {
            for process in suite.processes(service) {
                let url = format!("{}/healthz", process.admin_url());
                checks.push(tokio::spawn(check(service, url, Arc::clone(&slowest), stop.clone())));
            }
        }
        Self { slowest, checks }
    }

    /// Returns the results of all processes.
    pub(super) async fn end(self, suite: &TestSuite) -> Vec<ProcessReport> {
        for task in self.checks {
            task.await.expect("the watch does not panic");
        }
        let slowest = self.slowest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut reports = Vec::new();
        for service in Service::ALL {
            for process in suite.processes(service) {
                let memory = Memory::of(process.pid());
                reports.push(ProcessReport {
                    name: service.binary(),
                    peak_mib: memory.map_or(0, |memory| memory.peak_kib) / 1_024,
                    limit_mib: memory_limit(service),
                    slowest_health: slowest.get(&service).copied().flatten(),
                    runs: memory.is_some(),
                });
            }
        }
        reports
    }
}

async fn check(service: Service, url: String, slowest: Slowest, stop: CancellationToken) {
    let client = http::plain();
    while !stop.is_cancelled() {
        let sent = Instant::now();
        let is_healthy = client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200);
        let time = sent.elapsed();
        note(&slowest, service, is_healthy.then_some(time));
        sleep(PAUSE).await;
    }
}

fn note(slowest: &Slowest, service: Service, time: Option<Duration>) {
    let mut all = slowest.lock().unwrap_or_else(PoisonError::into_inner);
    let known = all.entry(service).or_insert(Some(Duration::ZERO));
    *known = known.zip(time).map(|(slowest, time)| slowest.max(time));
}
