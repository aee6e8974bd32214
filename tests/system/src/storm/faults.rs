//! Faults of a storm, and the scenario that needs the outbox.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use nix::sys::signal::Signal;
use rand::{RngExt, rngs::StdRng};
use sandbox::{FcmMode, Mode, SesMode};
use tokio::time::Instant;

use super::{Replayer, RestUrls, Span, checker::CreatedReminder, load};
use crate::{Service, TestSuite, TestUser, outage::Target};

/// Pause of a process that is longer than the scheduler's lease.
const BEYOND_LEASE: Duration = Duration::from_secs(17);

/// End of a fault that lasts.
enum Undo {
    Resume(Service, usize),
    Reconnect(Target),
    RestoreProviders,
}

impl Undo {
    fn resumes(&self, service: Service, replica: usize) -> bool {
        matches!(self, Self::Resume(paused, number) if (*paused, *number) == (service, replica))
    }

    fn reconnects(&self, target: Target) -> bool {
        matches!(self, Self::Reconnect(disconnected) if *disconnected == target)
    }
}

/// Injects faults, and ends those that last.
pub(super) struct FaultInjector {
    replayer: Option<Replayer>,
    urls: RestUrls,
    counts: BTreeMap<&'static str, usize>,
    /// Time of the end, time of the beginning, and the end itself.
    active: Vec<(Instant, DateTime<Utc>, Undo)>,
    spans: Vec<Span>,
}

impl FaultInjector {
    pub(super) fn new(replayer: Option<Replayer>, urls: RestUrls) -> Self {
        Self { replayer, urls, counts: BTreeMap::new(), active: Vec::new(), spans: Vec::new() }
    }

    /// Injects one fault, and ends those whose time is over.
    pub(super) async fn inject(&mut self, suite: &mut TestSuite, rng: &mut StdRng) {
        self.undo(suite, Instant::now()).await;
        let service = Service::ALL[rng.random_range(0..Service::ALL.len())];
        let replicas = suite.processes(service).len();
        let replica = rng.random_range(0..replicas.max(1));
        match rng.random_range(0..100) {
            0..45 => self.restart(suite, service, replica, Signal::SIGKILL).await,
            45..55 => self.restart(suite, service, replica, Signal::SIGTERM).await,
            55..75 => self.pause(
                suite,
                service,
                replica,
                Duration::from_millis(rng.random_range(100..3_000)),
            ),
            75..79 => self.pause(suite, Service::Scheduler, 0, BEYOND_LEASE),
            79..86 => {
                let target = [
                    Target::Database(Service::Reminders),
                    Target::Database(Service::Events),
                    Target::Database(Service::Notifications),
                ][rng.random_range(0..3)];
                self.disconnect(suite, target, Duration::from_millis(rng.random_range(200..2_000)))
                    .await;
            }
            86..91 => {
                self.disconnect(
                    suite,
                    Target::Bus,
                    Duration::from_millis(rng.random_range(200..3_000)),
                )
                .await
            }
            91..97 => self.disturb_providers(suite, rng),
            _ => self.replay(rng).await,
        }
    }

    /// Ends all faults.
    pub(super) async fn end_all(&mut self, suite: &mut TestSuite) {
        let far = Instant::now() + Duration::from_secs(3_600);
        self.undo(suite, far).await;
    }

    pub(super) fn count(&self) -> usize {
        self.counts.values().sum()
    }

    pub(super) fn counts(&self) -> Vec<(&'static str, usize)> {
        self.counts.iter().map(|(fault, times)| (*fault, *times)).collect()
    }

    /// Time spans in which records of accepted messages may have been lost.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.clone()
    }

    fn note(&mut self, fault: &'static str) {
        *self.counts.entry(fault).or_default() += 1;
    }

    fn undo_after(&mut self, length: Duration, undo: Undo) {
        self.active.push((Instant::now() + length, Utc::now(), undo));
    }

    async fn restart(
        &mut self,
        suite: &mut TestSuite,
        service: Service,
        replica: usize,
        signal: Signal,
    ) {
        self.note(if signal == Signal::SIGKILL { "kill -9" } else { "SIGTERM" });
        // If the process is paused, it need not be resumed any more.
        self.active.retain(|(_, _, undo)| !undo.resumes(service, replica));
        let from = Utc::now();
        suite.restart(service, replica, signal).await;
        self.urls.set(suite.rest_urls(Service::Reminders));
        if service == Service::Notifications {
            self.spans.push((from, Utc::now()));
        }
    }

    fn pause(&mut self, suite: &TestSuite, service: Service, replica: usize, length: Duration) {
        if self.active.iter().any(|(_, _, undo)| undo.resumes(service, replica)) {
            return;
        }
        if let Some(process) = suite.processes(service).get(replica) {
            self.note(if length >= BEYOND_LEASE { "SIGSTOP beyond the lease" } else { "SIGSTOP" });
            process.pause();
            self.undo_after(length, Undo::Resume(service, replica));
        }
    }

    async fn disconnect(&mut self, suite: &TestSuite, target: Target, length: Duration) {
        if self.active.iter().any(|(_, _, undo)| undo.reconnects(target)) {
            return;
        }
        self.note(if target == Target::Bus { "bus outage" } else { "database outage" });
        suite.disconnect(target).await;
        self.undo_after(length, Undo::Reconnect(target));
    }

    fn disturb_providers(&mut self, suite: &TestSuite, rng: &mut StdRng) {
        self.note("provider fault");
        let fcm = match rng.random_range(0..3) {
            0 => FcmMode { status: Some(503), retry_after: Some(1), ..FcmMode::default() },
            1 => FcmMode { down: true, ..FcmMode::default() },
            _ => FcmMode { latency_ms: 800, ..FcmMode::default() },
        };
        suite.sandbox.set_mode(Mode {
            fcm,
            ses: SesMode { latency_ms: 300, ..SesMode::default() },
            ..Mode::default()
        });
        let length = Duration::from_millis(rng.random_range(300..2_500));
        self.undo_after(length, Undo::RestoreProviders);
    }

    async fn replay(&mut self, rng: &mut StdRng) {
        if let Some(replayer) = &self.replayer {
            replayer.replay(rng).await;
            self.note("all messages replayed");
        }
    }

    async fn undo(&mut self, suite: &TestSuite, now: Instant) {
        let (over, active): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.active).into_iter().partition(|(until, _, _)| *until <= now);
        self.active = active;
        for (_, from, undo) in over {
            match undo {
                Undo::Resume(service, replica) => {
                    if let Some(process) = suite.processes(service).get(replica) {
                        process.resume();
                    }
                    if service == Service::Notifications {
                        self.spans.push((from, Utc::now()));
                    }
                }
                Undo::Reconnect(target) => {
                    suite.reconnect(target).await;
                    if target == Target::Database(Service::Notifications) {
                        self.spans.push((from, Utc::now()));
                    }
                }
                Undo::RestoreProviders => {
                    suite.sandbox.set_mode(Mode::default());
                    // A provider may have accepted a message whose answer was lost; it is sent
                    // again.
                    self.spans.push((from, Utc::now()));
                }
            }
        }
    }
}

/// Creates reminders during an outage of the bus, and kills the process that answered 201.
pub(super) async fn kill_during_bus_outage(
    suite: &mut TestSuite,
    users: &[TestUser],
) -> Vec<CreatedReminder> {
    suite.disconnect_bus().await;
    let created = load::create_due_in(users, 10, 5).await;
    suite.restart(Service::Reminders, 0, Signal::SIGKILL).await;
    suite.reconnect_bus().await;
    suite.wait_until_ready().await;
    created
}
