//! The four services on databases of their own: made anew for each group of rows, so that none
//! leaves anything to another.

use std::path::PathBuf;

use anyhow::Context as _;
use secrecy::SecretString;
use shared::bus::{self, BusSettings, SharedBus, settings::PostgresSettings};
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::{
    cpu::Watched,
    house::House,
    process::{Addresses, Program, Running},
};

/// Secret by which the bench's requests come through the gateway.
pub(crate) const GATEWAY_SECRET: &str = "the-gateway-of-the-bench";

/// The services, in the order of a reminder's way.
pub(crate) const SERVICES: [&str; 4] =
    ["reminder-service", "event-service", "notification-scheduler", "notification-service"];

/// Databases with everything in them but data, and how to start the services on them.
pub(crate) struct Stage<'a> {
    pub(crate) house: &'a House,
    programs: [Program; 4],
    pub(crate) notifications: PgPool,
    pub(crate) devices: PgPool,
    bus_url: String,
    /// Where the services' output goes.
    pub(crate) logs: PathBuf,
}

impl<'a> Stage<'a> {
    /// Makes the databases, whose names begin with `name`, and migrates them.
    pub(crate) async fn make(house: &'a House, name: &str) -> anyhow::Result<Self> {
        let logs = house.logs.join(name);
        std::fs::create_dir_all(&logs).with_context(|| format!("create {}", logs.display()))?;
        let mut urls = Vec::new();
        for what in ["reminders", "notifications", "devices", "bus"] {
            let database = format!("{name}_{what}");
            house
                .cluster
                .create_database(&database)
                .await
                .with_context(|| format!("create {database}"))?;
            urls.push(house.cluster.url(&database));
        }
        let [reminders, notifications, devices, bus_url] = <[String; 4]>::try_from(urls)
            .map_err(|_| anyhow::anyhow!("four databases were made"))?;
        let databases = [&reminders, &notifications, &notifications, &devices];
        let mut programs = Vec::new();
        for (name, database) in SERVICES.into_iter().zip(databases) {
            let environment = environment(house, &bus_url, database);
            Program::beside(name, "migrate", environment.clone())?.run(&logs).await?;
            programs.push(Program::beside(name, "serve", environment)?);
        }
        let programs = <[Program; 4]>::try_from(programs)
            .map_err(|_| anyhow::anyhow!("there are four services"))?;
        let pool = |url: &str| PgPoolOptions::new().max_connections(1).connect_lazy(url);
        Ok(Self {
            house,
            programs,
            notifications: pool(&notifications)?,
            devices: pool(&devices)?,
            bus_url,
            logs,
        })
    }

    /// How to start the service with this name.
    pub(crate) fn program(&self, name: &str) -> anyhow::Result<&Program> {
        self.programs
            .iter()
            .find(|program| program.name == name)
            .with_context(|| format!("there is no {name}"))
    }

    /// Starts some of the services and waits until they are ready.
    pub(crate) async fn start(&self, names: &[&str]) -> anyhow::Result<Services> {
        let started: anyhow::Result<Vec<_>> =
            names.iter().map(|name| self.program(name)?.start(&self.logs)).collect();
        let mut services = Vec::new();
        for running in started? {
            let (addresses, _) = running.ready().await?;
            services.push((running, addresses));
        }
        Ok(Services(services))
    }

    /// The bus, as the services use it.
    pub(crate) async fn bus(&self) -> anyhow::Result<SharedBus> {
        let url = SecretString::from(self.bus_url.clone());
        let settings =
            BusSettings::Postgres(PostgresSettings { url: url.into(), max_connections: 2 });
        bus::connect(&settings).await.context("connect to the bus")
    }

    /// Whose CPU time counts: the services', PostgreSQL's, the provider's, the bench's own.
    pub(crate) fn watched(&self, services: &Services) -> Watched {
        let mut processes: Vec<_> =
            services.0.iter().map(|(running, _)| (running.name, running.pid())).collect();
        processes.push(("provider", self.house.provider.process.pid()));
        processes.push(("bench", std::process::id().cast_signed()));
        Watched { processes, postmaster: Some(self.house.cluster.pid()) }
    }
}

/// Running services.
pub(crate) struct Services(Vec<(Running, Addresses)>);

impl Services {
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<&Running> {
        Ok(&self.find(name)?.0)
    }

    /// Where a service's REST API is.
    pub(crate) fn rest(&self, name: &str) -> anyhow::Result<std::net::SocketAddr> {
        self.find(name)?.1.rest()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Running> {
        self.0.iter().map(|(running, _)| running)
    }

    /// Ends them in good order.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for (running, _) in self.0 {
            running.stop().await?;
        }
        Ok(())
    }

    fn find(&self, name: &str) -> anyhow::Result<&(Running, Addresses)> {
        self.0
            .iter()
            .find(|(running, _)| running.name == name)
            .with_context(|| format!("{name} does not run"))
    }
}

/// What an operator would set; everything else is as it comes.
fn environment(house: &House, bus_url: &str, database_url: &str) -> Vec<(&'static str, String)> {
    let provider = house.provider.url();
    vec![
        ("APP_ENV", "production".to_owned()),
        ("BIND_ADDRESS", "127.0.0.1".to_owned()),
        ("PORT", "0".to_owned()),
        ("ADMIN_PORT", "0".to_owned()),
        ("DATABASE_URL", database_url.to_owned()),
        ("BUS", "postgres".to_owned()),
        ("BUS_DATABASE_URL", bus_url.to_owned()),
        ("FCM_ENDPOINT", provider.clone()),
        ("FCM_PROJECT_CONFIG", sandbox::service_account(&provider).to_string()),
        ("AWS_ENDPOINT_URL", provider),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "bench".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "bench".to_owned()),
        ("SES_SOURCE_EMAIL", "reminders@example.com".to_owned()),
        ("GATEWAY_SECRET", GATEWAY_SECRET.to_owned()),
        ("OPERATOR_TOKEN", "the-operators-of-the-bench".to_owned()),
        // The bench is few users who do the work of many; what limits cost is measured, where they
        // are is not.
        ("RATE_LIMIT_PER_SECOND", "1000000".to_owned()),
        ("RATE_LIMIT_BURST", "1000000".to_owned()),
        ("MAX_REMINDERS_PER_USER", "1000000".to_owned()),
    ]
}
