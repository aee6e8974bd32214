//! The whole suite under test: databases, bus, providers, and processes of each service.

use std::{collections::BTreeMap, net::SocketAddr};

use bus::{BusSettings, Packing, SharedBus, settings::PostgresSettings};
use sandbox::{Options, Sandbox};
use support::{
    Service, environment,
    http::Client,
    ministack::MiniStack,
    postgres::{self, Database},
    process::{Command, Running},
    wait_until,
};

use crate::{LIMIT, TestUser, aws, search};

/// Sender of the e-mails.
pub(crate) const SOURCE_EMAIL: &str = "reminders@example.com";

/// Token of operators, which every process accepts.
pub const OPERATOR_TOKEN: &str = "the-operators-of-the-journeys";

/// Messages that the sandbox keeps: more than a storm of several minutes sends.
const SANDBOX_CAPACITY: usize = 100_000;

/// Bus of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// SNS and SQS, emulated by MiniStack.
    Aws,
    /// pgmq.
    Postgres,
}

/// A running suite.
pub struct TestSuite {
    /// Stand-in for FCM and, on the postgres bus, for SES.
    pub sandbox: Sandbox,
    reminders: Database,
    notifications: Database,
    devices: Database,
    bus: Database,
    ministack: Option<MiniStack>,
    aws: BTreeMap<String, String>,
    running: BTreeMap<Service, Vec<Running>>,
}

impl TestSuite {
    /// Starts one process of each service and waits until all are ready.
    pub async fn start(bus: Bus) -> Self {
        Self::start_with_replicas(bus, 1).await
    }

    /// Starts several processes of each service and waits until all are ready.
    pub async fn start_with_replicas(bus: Bus, replicas: usize) -> Self {
        let mut suite = Self::without_services(bus).await;
        for service in Service::START_ORDER {
            for _ in 0..replicas {
                suite.start_process(service).await;
            }
        }
        suite.wait_until_ready().await;
        suite
    }

    /// Starts migrated databases, bus and providers, and no service.
    pub async fn without_services(bus: Bus) -> Self {
        let options = Options {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            capacity: SANDBOX_CAPACITY,
            ..Options::default()
        };
        let sandbox = Sandbox::start(options);
        let sandbox = sandbox.await.expect("the sandbox starts");
        let ministack = if bus == Bus::Aws { Some(MiniStack::start().await) } else { None };
        let aws = match &ministack {
            Some(ministack) => aws::provision(ministack).await,
            None => BTreeMap::new(),
        };
        let suite = Self {
            sandbox,
            reminders: postgres::database("system_reminders").await,
            notifications: postgres::database("system_notifications").await,
            devices: postgres::database("system_devices").await,
            bus: postgres::database("system_bus").await,
            ministack,
            aws,
            running: BTreeMap::new(),
        };
        for service in Service::ALL {
            let (code, output) = suite.command(service).arg("migrate").without_ports().run().await;
            assert_eq!(code, Some(0), "{} migrate: {output}", service.binary());
        }
        suite
    }

    /// Command of a service, with all variables that it needs and no others.
    #[must_use]
    pub fn command(&self, service: Service) -> Command {
        let command = Command::new(service.binary())
            .envs(self.aws.clone())
            .envs(environment::service(self.database(service).url()))
            .env("APP_ENV", "development")
            .env("LOG_FORMAT", "pretty")
            .env("RUST_LOG", "info")
            .env("OPERATOR_TOKEN", OPERATOR_TOKEN);
        let command = match self.bus_kind() {
            Bus::Aws => command,
            Bus::Postgres => command.envs(environment::postgres_bus(self.bus.url())),
        };
        match service {
            Service::Reminders => {
                let peers = [
                    ("EVENT_SERVICE_URL", Service::Events),
                    ("NOTIFICATION_SERVICE_URL", Service::Notifications),
                ];
                command.envs(peers.into_iter().filter_map(|(name, peer)| {
                    Some((name, self.processes(peer).first()?.rest_url()))
                }))
            }
            Service::Notifications => {
                let sandbox = self.sandbox.url();
                let command = command
                    .envs(sandbox::fcm_variables(&sandbox))
                    .env("SES_SOURCE_EMAIL", SOURCE_EMAIL);
                // On AWS the emulator accepts the e-mails.
                match self.bus_kind() {
                    Bus::Aws => command,
                    Bus::Postgres => command.envs(sandbox::ses_variables(&sandbox)),
                }
            }
            Service::Events | Service::Scheduler => command,
        }
    }

    /// Starts another process of a service.
    pub async fn start_process(&mut self, service: Service) {
        let process = self.command(service).start().await;
        self.running.entry(service).or_default().push(process);
    }

    /// Starts a process of a service in place of one that was taken.
    pub(crate) async fn start_replica(&mut self, service: Service, replica: usize) {
        let process = self.command(service).start().await;
        self.running.entry(service).or_default().insert(replica, process);
    }

    /// Waits until every process is ready.
    pub async fn wait_until_ready(&self) {
        for process in self.running.values().flatten() {
            process.wait_until_ready(LIMIT).await;
        }
    }

    /// Kills (SIGKILL) all processes of a service.
    pub async fn kill(&mut self, service: Service) {
        for process in self.running.remove(&service).unwrap_or_default() {
            process.kill().await;
        }
    }

    /// Terminates (SIGTERM) all processes of a service and returns their exit codes.
    pub async fn terminate(&mut self, service: Service) -> Vec<Option<i32>> {
        let mut codes = Vec::new();
        for process in self.running.remove(&service).unwrap_or_default() {
            codes.push(process.terminate().await);
        }
        codes
    }

    /// Removes a process from the suite, so that it can be ended on its own.
    pub(crate) fn take(&mut self, service: Service, replica: usize) -> Running {
        self.running
            .get_mut(&service)
            .map(|processes| processes.remove(replica))
            .expect("the process runs")
    }

    /// URLs of the REST APIs of a service's processes.
    pub(crate) fn rest_urls(&self, service: Service) -> Vec<String> {
        self.processes(service).iter().map(Running::rest_url).collect()
    }

    /// Bus of the services.
    pub(crate) fn bus_kind(&self) -> Bus {
        if self.ministack.is_some() { Bus::Aws } else { Bus::Postgres }
    }

    /// Database of the postgres bus.
    pub(crate) fn bus_database(&self) -> &Database {
        &self.bus
    }

    /// Emulator of AWS, if it is used.
    pub(crate) fn emulator(&self) -> Option<&MiniStack> {
        self.ministack.as_ref()
    }

    /// Processes of a service.
    #[must_use]
    pub fn processes(&self, service: Service) -> &[Running] {
        self.running.get(&service).map_or(&[], Vec::as_slice)
    }

    /// A user with clients of the two public APIs, of their first replicas.
    #[must_use]
    pub fn user(&self, id: &str) -> TestUser {
        TestUser::new(id, &self.client(Service::Reminders), &self.client(Service::Notifications))
    }

    /// Client of the internal API of event-service, as an operator.
    #[must_use]
    pub fn event_api(&self) -> Client {
        self.client(Service::Events)
            .with_header("Authorization", &format!("Bearer {OPERATOR_TOKEN}"))
    }

    /// Opens a pool on the database of a service, for tests that cannot wait for the real time.
    pub async fn pool(&self, service: Service) -> sqlx::PgPool {
        self.database(service).pool().await
    }

    /// Names all tables, of the services and of the bus, in which a row contains `text`.
    pub async fn tables_containing(&self, text: &str) -> Vec<String> {
        let mut tables = Vec::new();
        for database in [&self.reminders, &self.notifications, &self.devices, &self.bus] {
            tables.extend(search::tables_containing(database, text).await);
        }
        tables
    }

    pub(crate) fn database(&self, service: Service) -> &Database {
        match service {
            Service::Reminders => &self.reminders,
            Service::Events | Service::Scheduler => &self.notifications,
            Service::Notifications => &self.devices,
        }
    }

    fn client(&self, service: Service) -> Client {
        let process = self
            .processes(service)
            .first()
            .unwrap_or_else(|| panic!("no {} runs", service.binary()));
        Client::new(process.rest_url())
    }

    /// Connects to the bus as another service would.
    pub async fn bus(&self) -> SharedBus {
        let settings = match &self.ministack {
            Some(ministack) => BusSettings::Aws(aws::settings(ministack.endpoint())),
            None => BusSettings::Postgres(PostgresSettings {
                url: self.bus.url().into(),
                max_connections: 2,
            }),
        };
        bus::connect(&settings, &Packing::default()).await.expect("the bus is configured")
    }

    /// Value of a topic or queue variable on this bus.
    #[must_use]
    pub fn bus_name(&self, variable: &str, default: &str) -> String {
        self.aws.get(variable).cloned().unwrap_or_else(|| default.to_owned())
    }

    /// Titles of the pushes that FCM accepted, in order of arrival.
    #[must_use]
    pub fn push_titles(&self) -> Vec<String> {
        let captured = self.sandbox.captured();
        captured.iter().filter_map(|message| message.push()?.title.clone()).collect()
    }

    /// Number of sends to a token so far, accepted or not. The validation at registration does not
    /// count.
    #[must_use]
    pub fn push_attempts(&self, token: &str) -> usize {
        self.sandbox.attempts(token).iter().filter(|attempt| !attempt.validate_only).count()
    }

    /// Waits until there were `count` sends to a token, accepted or not.
    pub async fn wait_for_push_attempts(&self, token: &str, count: usize) {
        wait_until(LIMIT, async || self.push_attempts(token) >= count).await;
    }

    /// Subjects of the e-mails that SES accepted for an address.
    pub async fn email_subjects(&self, address: &str) -> Vec<String> {
        match &self.ministack {
            None => {
                let captured = self.sandbox.captured();
                let emails = captured.iter().filter_map(|message| message.email());
                let of_address =
                    emails.filter(|email| email.to.iter().any(|to| to.contains(address)));
                of_address.map(|email| email.subject.clone()).collect()
            }
            Some(ministack) => aws::email_subjects(ministack.endpoint(), address).await,
        }
    }

    /// Waits until SES has accepted `count` e-mails for an address, and returns their subjects.
    pub async fn wait_for_emails(&self, address: &str, count: usize) -> Vec<String> {
        wait_until(LIMIT, async || {
            let subjects = self.email_subjects(address).await;
            if subjects.len() == count { Ok(subjects) } else { Err(subjects) }
        })
        .await
    }
}
