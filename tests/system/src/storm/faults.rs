//! The faults of a storm, and the one that the outbox is proved with.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use nix::sys::signal::Signal;
use rand::{RngExt, rngs::StdRng};
use sandbox::{FcmMode, Mode, SesMode};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::Instant;

use super::{Addresses, Copies, Span, checker::Made, load};
use crate::{Bus, House, Person, Service};

/// How long a process is paused when that is to outlast the scheduler's lease.
const PAST_THE_LEASE: Duration = Duration::from_secs(17);

/// Something that is undone later.
enum Undo {
    Continue(Service, usize),
    Open(Place),
    Providers,
}

/// A database that can be shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A service's.
    Of(Service),
    /// The bus: its database, or the emulator.
    Bus,
}

/// Faults that have been and that last.
pub(super) struct Weather {
    copies: Option<Copies>,
    addresses: Addresses,
    counts: BTreeMap<&'static str, usize>,
    lasting: Vec<(Instant, DateTime<Utc>, Undo)>,
    spans: Vec<Span>,
}

impl Weather {
    pub(super) fn new(copies: Option<Copies>, addresses: Addresses) -> Self {
        Self { copies, addresses, counts: BTreeMap::new(), lasting: Vec::new(), spans: Vec::new() }
    }

    /// One fault more; those that have lasted long enough end.
    pub(super) async fn change(&mut self, house: &mut House, rng: &mut StdRng) {
        self.undo(house, Instant::now()).await;
        let service = Service::ALL[rng.random_range(0..Service::ALL.len())];
        let replicas = house.processes(service).len();
        let replica = rng.random_range(0..replicas.max(1));
        match rng.random_range(0..100) {
            0..45 => self.restart(house, service, replica, Signal::SIGKILL).await,
            45..55 => self.restart(house, service, replica, Signal::SIGTERM).await,
            55..75 => self.pause(
                house,
                service,
                replica,
                Duration::from_millis(rng.random_range(100..3_000)),
            ),
            75..79 => self.pause(house, Service::Scheduler, 0, PAST_THE_LEASE),
            79..86 => {
                let place = [
                    Place::Of(Service::Reminders),
                    Place::Of(Service::Events),
                    Place::Of(Service::Notifications),
                ][rng.random_range(0..3)];
                self.shut(house, place, Duration::from_millis(rng.random_range(200..2_000))).await;
            }
            86..91 => {
                self.shut(house, Place::Bus, Duration::from_millis(rng.random_range(200..3_000)))
                    .await
            }
            91..97 => self.providers(house, rng),
            _ => self.deliver_again(rng).await,
        }
    }

    /// Ends everything that lasts.
    pub(super) async fn clear(&mut self, house: &mut House) {
        let far = Instant::now() + Duration::from_secs(3_600);
        self.undo(house, far).await;
    }

    pub(super) fn count(&self) -> usize {
        self.counts.values().sum()
    }

    pub(super) fn counts(&self) -> Vec<(&'static str, usize)> {
        self.counts.iter().map(|(fault, times)| (*fault, *times)).collect()
    }

    /// When records of what a provider took may have been lost.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.clone()
    }

    fn note(&mut self, fault: &'static str) {
        *self.counts.entry(fault).or_default() += 1;
    }

    fn last(&mut self, length: Duration, undo: Undo) {
        self.lasting.push((Instant::now() + length, Utc::now(), undo));
    }

    async fn restart(
        &mut self,
        house: &mut House,
        service: Service,
        replica: usize,
        signal: Signal,
    ) {
        self.note(if signal == Signal::SIGKILL { "kill -9" } else { "SIGTERM" });
        // It may be paused: it is not continued any more.
        self.lasting
            .retain(|(_, _, undo)| !matches!(undo, Undo::Continue(of, number) if (*of, *number) == (service, replica)));
        let from = Utc::now();
        house.replace(service, replica, signal).await;
        self.addresses.set(house.rest_urls(Service::Reminders));
        if service == Service::Notifications {
            self.spans.push((from, Utc::now()));
        }
    }

    fn pause(&mut self, house: &House, service: Service, replica: usize, length: Duration) {
        let is_paused = |undo: &Undo| matches!(undo, Undo::Continue(of, number) if (*of, *number) == (service, replica));
        if self.lasting.iter().any(|(_, _, undo)| is_paused(undo)) {
            return;
        }
        if let Some(process) = house.processes(service).get(replica) {
            self.note(if length >= PAST_THE_LEASE { "SIGSTOP past the lease" } else { "SIGSTOP" });
            process.stop();
            self.last(length, Undo::Continue(service, replica));
        }
    }

    async fn shut(&mut self, house: &House, place: Place, length: Duration) {
        if self
            .lasting
            .iter()
            .any(|(_, _, undo)| matches!(undo, Undo::Open(shut) if *shut == place))
        {
            return;
        }
        self.note(if place == Place::Bus { "bus away" } else { "database away" });
        house.shut(place).await;
        self.last(length, Undo::Open(place));
    }

    fn providers(&mut self, house: &House, rng: &mut StdRng) {
        self.note("providers in trouble");
        let fcm = match rng.random_range(0..3) {
            0 => FcmMode { status: Some(503), retry_after: Some(1), ..FcmMode::default() },
            1 => FcmMode { down: true, ..FcmMode::default() },
            _ => FcmMode { latency_ms: 800, ..FcmMode::default() },
        };
        house.sandbox.set_mode(Mode {
            fcm,
            ses: SesMode { latency_ms: 300, ..SesMode::default() },
            ..Mode::default()
        });
        self.last(Duration::from_millis(rng.random_range(300..2_500)), Undo::Providers);
    }

    async fn deliver_again(&mut self, rng: &mut StdRng) {
        if let Some(copies) = &self.copies {
            copies.publish_again(rng).await;
            self.note("everything delivered again");
        }
    }

    async fn undo(&mut self, house: &House, now: Instant) {
        let (over, lasting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.lasting).into_iter().partition(|(until, _, _)| *until <= now);
        self.lasting = lasting;
        for (_, from, undo) in over {
            match undo {
                Undo::Continue(service, replica) => {
                    if let Some(process) = house.processes(service).get(replica) {
                        process.cont();
                    }
                    if service == Service::Notifications {
                        self.spans.push((from, Utc::now()));
                    }
                }
                Undo::Open(place) => {
                    house.open(place).await;
                    if place == Place::Of(Service::Notifications) {
                        self.spans.push((from, Utc::now()));
                    }
                }
                Undo::Providers => {
                    house.sandbox.set_mode(Mode::default());
                    // An attempt that was cut off may have been taken: it is made again.
                    self.spans.push((from, Utc::now()));
                }
            }
        }
    }
}

/// Reminders that are answered with 201 while the bus is away, by a process that is then killed.
pub(super) async fn killed_while_the_bus_was_away(
    house: &mut House,
    users: &[Person],
) -> Vec<Made> {
    house.shut(Place::Bus).await;
    let made = load::some(users, 10, 5).await;
    house.replace(Service::Reminders, 0, Signal::SIGKILL).await;
    house.open(Place::Bus).await;
    house.ready().await;
    made
}

impl House {
    /// Shuts a database or the bus: nobody is connected any more, and nobody can connect.
    ///
    /// # Panics
    /// When the server cannot be asked.
    pub(crate) async fn shut(&self, place: Place) {
        match (place, self.bus_kind()) {
            (Place::Bus, Bus::Aws) => self.emulator().expect("the emulator runs").process().stop(),
            _ => self.allow_connections(place, false).await,
        }
    }

    /// Takes the bus away from everybody.
    ///
    /// # Panics
    /// When that cannot be done.
    pub async fn bus_goes_away(&self) {
        self.shut(Place::Bus).await;
    }

    /// Gives the bus back.
    ///
    /// # Panics
    /// When that cannot be done.
    pub async fn bus_comes_back(&self) {
        self.open(Place::Bus).await;
    }

    /// Opens what was shut.
    ///
    /// # Panics
    /// When the server cannot be asked.
    pub(crate) async fn open(&self, place: Place) {
        match (place, self.bus_kind()) {
            (Place::Bus, Bus::Aws) => self.emulator().expect("the emulator runs").process().cont(),
            _ => self.allow_connections(place, true).await,
        }
    }

    async fn allow_connections(&self, place: Place, allowed: bool) {
        let name = match place {
            Place::Of(service) => self.database(service).name(),
            Place::Bus => self.bus_database().name(),
        };
        let url = support::postgres::cluster_url().await.expect("the cluster runs");
        let mut admin = PgConnection::connect(&url).await.expect("the cluster answers");
        let change = format!("alter database {name} allow_connections {allowed}");
        sqlx::raw_sql(AssertSqlSafe(change))
            .execute(&mut admin)
            .await
            .expect("the database is shut or opened");
        if !allowed {
            let end = format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
            );
            sqlx::raw_sql(AssertSqlSafe(end))
                .execute(&mut admin)
                .await
                .expect("the connections are ended");
        }
    }

    /// Ends a process and starts another in its place.
    pub(crate) async fn replace(&mut self, service: Service, replica: usize, signal: Signal) {
        let process = self.take(service, replica);
        match signal {
            Signal::SIGTERM => {
                // One that is paused hears nothing.
                process.cont();
                process.terminate().await;
            }
            _ => process.kill().await,
        }
        self.add_at(service, replica).await;
    }
}
