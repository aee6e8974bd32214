//! Observation of the processes, as operators see them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use support::http;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{ProcessReport, memory_limit};
use crate::{House, Service};

const EVERY: Duration = Duration::from_millis(500);

/// The slowest answer of each service; `None` once one was missing.
type Slowest = Arc<Mutex<BTreeMap<Service, Option<Duration>>>>;

/// Asks each process how it is, again and again.
pub(super) struct Watch {
    slowest: Slowest,
    asking: Vec<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn begin(house: &House, stop: &CancellationToken) -> Self {
        let slowest = Slowest::default();
        let mut asking = Vec::new();
        for service in Service::ALL {
            for process in house.processes(service) {
                let url = format!("{}/healthz", process.admin_url());
                asking.push(tokio::spawn(ask(service, url, Arc::clone(&slowest), stop.clone())));
            }
        }
        Self { slowest, asking }
    }

    /// The report on each process.
    pub(super) async fn end(self, house: &House) -> Vec<ProcessReport> {
        for task in self.asking {
            task.await.expect("the watch does not panic");
        }
        let slowest = self.slowest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut reports = Vec::new();
        for service in Service::ALL {
            for process in house.processes(service) {
                let peak_kib = peak_memory(process.pid());
                reports.push(ProcessReport {
                    name: service.binary(),
                    peak_mib: peak_kib.unwrap_or(0) / 1_024,
                    limit_mib: memory_limit(service),
                    slowest_health: slowest.get(&service).copied().flatten(),
                    runs: peak_kib.is_some(),
                });
            }
        }
        reports
    }
}

async fn ask(service: Service, url: String, slowest: Slowest, stop: CancellationToken) {
    let client = http::plain();
    while !stop.is_cancelled() {
        let asked = Instant::now();
        let answered = client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200);
        let took = asked.elapsed();
        note(&slowest, service, answered.then_some(took));
        sleep(EVERY).await;
    }
}

fn note(slowest: &Slowest, service: Service, took: Option<Duration>) {
    let mut all = slowest.lock().unwrap_or_else(PoisonError::into_inner);
    let known = all.entry(service).or_insert(Some(Duration::ZERO));
    *known = known.zip(took).map(|(slowest, took)| slowest.max(took));
}

/// The most memory that a running process ever held, in KiB (`VmHWM`, proc(5)).
fn peak_memory(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
