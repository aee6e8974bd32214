//! Outages of a database, of the bus, of FCM and of single processes.

use nix::sys::signal::Signal;
use sandbox::{FcmMode, Mode};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use support::Service;

use crate::{Bus, TestSuite};

/// A part of the suite that can be disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The database of a service.
    Database(Service),
    /// The bus: its database, or the emulator of AWS.
    Bus,
}

impl TestSuite {
    /// Makes FCM answer every send with 503, or as usual.
    pub fn set_fcm_available(&self, is_available: bool) {
        let fcm = if is_available {
            FcmMode::default()
        } else {
            FcmMode { status: Some(503), retry_after: Some(1), ..FcmMode::default() }
        };
        self.sandbox.set_mode(Mode { fcm, ..Mode::default() });
    }

    /// Makes the bus unreachable for all services.
    ///
    /// # Panics
    /// If the server does not answer.
    pub async fn disconnect_bus(&self) {
        self.disconnect(Target::Bus).await;
    }

    /// Makes the bus reachable again.
    ///
    /// # Panics
    /// If the server does not answer.
    pub async fn reconnect_bus(&self) {
        self.reconnect(Target::Bus).await;
    }

    /// Ends all connections to a database or the bus, and allows no new one.
    ///
    /// # Panics
    /// If the server does not answer.
    pub(crate) async fn disconnect(&self, target: Target) {
        match (target, self.bus_kind()) {
            (Target::Bus, Bus::Aws) => {
                self.emulator().expect("the emulator runs").process().pause()
            }
            _ => self.allow_connections(target, false).await,
        }
    }

    /// Allows connections again.
    ///
    /// # Panics
    /// If the server does not answer.
    pub(crate) async fn reconnect(&self, target: Target) {
        match (target, self.bus_kind()) {
            (Target::Bus, Bus::Aws) => {
                self.emulator().expect("the emulator runs").process().resume();
            }
            _ => self.allow_connections(target, true).await,
        }
    }

    async fn allow_connections(&self, target: Target, allowed: bool) {
        let name = match target {
            Target::Database(service) => self.database(service).name(),
            Target::Bus => self.bus_database().name(),
        };
        let url = support::postgres::cluster_url().await.expect("the cluster runs");
        let mut admin = PgConnection::connect(&url).await.expect("the cluster answers");
        let change = format!("alter database {name} allow_connections {allowed}");
        sqlx::raw_sql(AssertSqlSafe(change))
            .execute(&mut admin)
            .await
            .expect("the database is changed");
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

    /// Ends a process with a signal and starts another one in its place.
    pub(crate) async fn restart(&mut self, service: Service, replica: usize, signal: Signal) {
        let process = self.take(service, replica);
        match signal {
            Signal::SIGTERM => {
                // A paused process would not handle the signal.
                process.resume();
                process.terminate().await;
            }
            _ => process.kill().await,
        }
        self.start_replica(service, replica).await;
    }
}
