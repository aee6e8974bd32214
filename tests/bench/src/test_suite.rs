//! The four services on their own databases, created anew for each group of rows, so that no group
//! influences another.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use bus::{BusSettings, Packing, SharedBus, settings::PostgresSettings};
use sqlx::{PgPool, postgres::PgPoolOptions};
use support::{
    Service, environment,
    process::{Addresses, Command, Running},
};

use crate::{cpu::Watched, readiness::wait_until_ready, testbed::Testbed, writes::WriteMeter};

/// Secret by which the bench's requests are accepted as the gateway's.
pub(crate) const GATEWAY_SECRET: &str = "the-gateway-of-the-bench";
/// Longest time until a service has ended after SIGTERM, and a migration has ended.
pub(crate) const END_LIMIT: Duration = Duration::from_secs(30);

/// Migrated databases without data, and the commands that start the services on them.
pub(crate) struct TestSuite<'a> {
    pub(crate) testbed: &'a Testbed,
    commands: BTreeMap<Service, Command>,
    pub(crate) notifications: PgPool,
    pub(crate) devices: PgPool,
    bus_url: String,
    /// The databases of the services and of the bus.
    urls: Vec<String>,
}

impl<'a> TestSuite<'a> {
    /// Creates the databases, whose names begin with `name`, and migrates them.
    pub(crate) async fn create(testbed: &'a Testbed, name: &str) -> anyhow::Result<Self> {
        let logs = testbed.logs.join(name);
        std::fs::create_dir_all(&logs).with_context(|| format!("create {}", logs.display()))?;
        let database = async |short: &str| {
            let database = format!("{name}_{short}");
            let created = testbed.cluster.create_database(&database).await;
            created.with_context(|| format!("create {database}"))?;
            anyhow::Ok(testbed.cluster.url(&database))
        };
        let (reminders, notifications) =
            (database("reminders").await?, database("notifications").await?);
        let (devices, bus_url) = (database("devices").await?, database("bus").await?);
        let mut commands = BTreeMap::new();
        for service in Service::ALL {
            let database_url = match service {
                Service::Reminders => &reminders,
                Service::Events | Service::Scheduler => &notifications,
                Service::Notifications => &devices,
            };
            let command = command(testbed, service, database_url, &bus_url, &logs)?;
            migrate(command.clone()).await?;
            commands.insert(service, command.arg("serve"));
        }
        let pool = |url: &str| PgPoolOptions::new().max_connections(1).connect_lazy(url);
        Ok(Self {
            testbed,
            commands,
            notifications: pool(&notifications)?,
            devices: pool(&devices)?,
            urls: vec![reminders, notifications, devices, bus_url.clone()],
            bus_url,
        })
    }

    /// Starts one service and returns at once.
    pub(crate) fn spawn(&self, service: Service) -> anyhow::Result<Running> {
        let command = self.commands.get(&service);
        command.with_context(|| format!("there is no {}", service.binary()))?.spawn()
    }

    /// Starts some of the services and waits until they are ready.
    pub(crate) async fn start(&self, services: &[Service]) -> anyhow::Result<Services> {
        let mut running = Vec::new();
        for service in services {
            running.push((*service, self.spawn(*service)?));
        }
        let mut ready = BTreeMap::new();
        for (service, running) in running {
            let (addresses, _) = wait_until_ready(&running).await?;
            ready.insert(service, (running, addresses));
        }
        Ok(Services(ready))
    }

    /// Connects to the bus as the services do.
    pub(crate) async fn bus(&self) -> anyhow::Result<SharedBus> {
        let settings = BusSettings::Postgres(PostgresSettings {
            url: self.bus_url.as_str().into(),
            max_connections: 2,
        });
        bus::connect(&settings, &Packing::default()).await.context("connect to the bus")
    }

    /// Starts to measure what PostgreSQL writes.
    pub(crate) async fn measure_writes(&self) -> anyhow::Result<WriteMeter> {
        WriteMeter::start(self.urls.clone()).await
    }

    /// The processes whose CPU time counts: the services, PostgreSQL, the provider, the bench.
    pub(crate) fn watched(&self, services: &Services) -> Watched {
        let mut processes: Vec<_> =
            services.all().map(|(service, running)| (service.binary(), running.pid())).collect();
        processes.push(("provider", self.testbed.provider.process.pid()));
        processes.push(("bench", std::process::id().cast_signed()));
        Watched { processes, postmaster: Some(self.testbed.cluster.pid()) }
    }
}

/// Running services.
pub(crate) struct Services(BTreeMap<Service, (Running, Addresses)>);

impl Services {
    pub(crate) fn get(&self, service: Service) -> anyhow::Result<&Running> {
        Ok(&self.find(service)?.0)
    }

    /// Address of a service's REST API.
    pub(crate) fn rest(&self, service: Service) -> anyhow::Result<std::net::SocketAddr> {
        self.find(service)?.1.rest()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (Service, &Running)> {
        self.0.iter().map(|(service, (running, _))| (*service, running))
    }

    /// Stops the services with SIGTERM.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for (running, _) in self.0.into_values() {
            running.terminate_within(END_LIMIT).await?;
        }
        Ok(())
    }

    fn find(&self, service: Service) -> anyhow::Result<&(Running, Addresses)> {
        self.0.get(&service).with_context(|| format!("{} does not run", service.binary()))
    }
}

/// The command of a service, with the variables that an operator would set; all others have their
/// defaults.
fn command(
    testbed: &Testbed,
    service: Service,
    database_url: &str,
    bus_url: &str,
    logs: &Path,
) -> anyhow::Result<Command> {
    let provider = testbed.provider.url();
    let variables = [
        ("APP_ENV", "production"),
        ("SES_SOURCE_EMAIL", "reminders@example.com"),
        ("GATEWAY_SECRET", GATEWAY_SECRET),
        ("OPERATOR_TOKEN", "the-operators-of-the-bench"),
        // The bench is a few users that do the work of many. The cost of the limits is measured,
        // their values are not.
        ("RATE_LIMIT_PER_SECOND", "1000000"),
        ("RATE_LIMIT_BURST", "1000000"),
        ("MAX_REMINDERS_PER_USER", "1000000"),
    ];
    let file = binary(service)?;
    Ok(Command::program(service.binary(), file)
        .envs(environment::service(database_url))
        .envs(environment::postgres_bus(bus_url))
        .envs(sandbox::fcm_variables(&provider))
        .envs(sandbox::ses_variables(&provider))
        .envs(variables)
        .log_to(logs))
}

/// The binary of a service, beside the bench's own.
fn binary(service: Service) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find the bench's own file")?;
    let file = own.with_file_name(service.binary());
    ensure!(file.is_file(), "{} is not built: `make bench` builds it", file.display());
    Ok(file)
}

async fn migrate(command: Command) -> anyhow::Result<()> {
    let name = command.name().to_owned();
    let mut migration = command.arg("migrate").spawn()?;
    let code = migration.exit_code(END_LIMIT).await?;
    ensure!(code == Some(0), "{name} migrate ended with {code:?}:\n{}", migration.log());
    Ok(())
}
