//! The whole suite: databases, bus, providers, and replicas of each service.

use std::{collections::BTreeMap, net::SocketAddr};

use sandbox::{Options, Sandbox};
use shared::bus::{BusSettings, SharedBus, settings::PostgresSettings};
use support::{
    http::Client,
    ministack::MiniStack,
    postgres::{self, Database},
    process::{Command, Running},
};

use crate::{LIMIT, Person, aws, search};

/// Who the e-mails are from.
pub(crate) const SOURCE_EMAIL: &str = "reminders@example.com";

/// Token of operator calls, which every process is told.
pub const OPERATOR_TOKEN: &str = "the-operators-of-the-journeys";

/// Messages that the sandbox keeps: more than a storm of some minutes makes.
const KEPT: usize = 100_000;

/// Which bus the services are configured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// SNS and SQS, by MiniStack.
    Aws,
    /// pgmq.
    Postgres,
}

/// One of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// `reminder-service`
    Reminders,
    /// `event-service`
    Events,
    /// `notification-scheduler`
    Scheduler,
    /// `notification-service`
    Notifications,
}

impl Service {
    /// All four.
    pub const ALL: [Self; 4] =
        [Self::Reminders, Self::Events, Self::Scheduler, Self::Notifications];

    /// All four in the order in which they are started: reminder-service asks two of the others
    /// when it exports.
    pub const STARTED: [Self; 4] =
        [Self::Events, Self::Scheduler, Self::Notifications, Self::Reminders];

    /// The binary's name.
    #[must_use]
    pub const fn binary(self) -> &'static str {
        match self {
            Self::Reminders => "reminder-service",
            Self::Events => "event-service",
            Self::Scheduler => "notification-scheduler",
            Self::Notifications => "notification-service",
        }
    }
}

/// The suite, running.
pub struct House {
    /// FCM and SES.
    pub sandbox: Sandbox,
    reminders: Database,
    notifications: Database,
    devices: Database,
    bus: Database,
    ministack: Option<MiniStack>,
    aws: BTreeMap<String, String>,
    running: BTreeMap<Service, Vec<Running>>,
}

impl House {
    /// One process of each service, ready.
    pub async fn start(bus: Bus) -> Self {
        Self::with_replicas(bus, 1).await
    }

    /// Several processes of each service, ready.
    pub async fn with_replicas(bus: Bus, replicas: usize) -> Self {
        let mut house = Self::empty(bus).await;
        for service in Service::STARTED {
            for _ in 0..replicas {
                house.add(service).await;
            }
        }
        house.ready().await;
        house
    }

    /// Databases (migrated), bus and providers, and no service yet.
    pub async fn empty(bus: Bus) -> Self {
        let options = Options {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            capacity: KEPT,
            ..Options::default()
        };
        let sandbox = Sandbox::start(options);
        let sandbox = sandbox.await.expect("the sandbox starts");
        let ministack = if bus == Bus::Aws { Some(MiniStack::start().await) } else { None };
        let aws = match &ministack {
            Some(ministack) => aws::provision(ministack).await,
            None => BTreeMap::new(),
        };
        let house = Self {
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
            let (code, output) = house.command(service).arg("migrate").without_ports().run().await;
            assert_eq!(code, Some(0), "{} migrate: {output}", service.binary());
        }
        house
    }

    /// The command that starts a service, with everything it needs and nothing else.
    #[must_use]
    pub fn command(&self, service: Service) -> Command {
        let mut environment = BTreeMap::from([
            ("APP_ENV", "development".to_owned()),
            ("BIND_ADDRESS", "127.0.0.1".to_owned()),
            ("PORT", "0".to_owned()),
            ("ADMIN_PORT", "0".to_owned()),
            ("LOG_FORMAT", "pretty".to_owned()),
            ("RUST_LOG", "info".to_owned()),
            ("OPERATOR_TOKEN", OPERATOR_TOKEN.to_owned()),
        ]);
        environment.insert("DATABASE_URL", self.database(service).url().to_owned());
        if self.ministack.is_none() {
            environment.insert("BUS", "postgres".to_owned());
            environment.insert("BUS_DATABASE_URL", self.bus.url().to_owned());
        }
        if service == Service::Reminders {
            for (name, peer) in [
                ("EVENT_SERVICE_URL", Service::Events),
                ("NOTIFICATION_SERVICE_URL", Service::Notifications),
            ] {
                environment
                    .extend(self.processes(peer).first().map(|process| (name, process.rest_url())));
            }
        }
        if service == Service::Notifications {
            environment.insert("FCM_ENDPOINT", self.sandbox.url());
            environment.insert("FCM_PROJECT_CONFIG", self.sandbox.fcm_project_config());
            environment.insert("SES_SOURCE_EMAIL", SOURCE_EMAIL.to_owned());
            if self.ministack.is_none() {
                environment.insert("AWS_ENDPOINT_URL", self.sandbox.url());
                environment.insert("AWS_ACCESS_KEY_ID", "test".to_owned());
                environment.insert("AWS_SECRET_ACCESS_KEY", "test".to_owned());
            }
        }
        Command::new(service.binary()).envs(self.aws.clone()).envs(environment)
    }

    /// Starts one more process of a service.
    pub async fn add(&mut self, service: Service) {
        let process = self.command(service).start().await;
        self.running.entry(service).or_default().push(process);
    }

    /// Starts a process of a service in the place of one that was taken out.
    pub(crate) async fn add_at(&mut self, service: Service, replica: usize) {
        let process = self.command(service).start().await;
        self.running.entry(service).or_default().insert(replica, process);
    }

    /// Waits until every process is ready.
    pub async fn ready(&self) {
        for process in self.running.values().flatten() {
            process.ready(LIMIT).await;
        }
    }

    /// Kills (SIGKILL) every process of a service.
    pub async fn kill(&mut self, service: Service) {
        for process in self.running.remove(&service).unwrap_or_default() {
            process.kill().await;
        }
    }

    /// Ends (SIGTERM) every process of a service and answers their exit codes.
    pub async fn terminate(&mut self, service: Service) -> Vec<Option<i32>> {
        let mut codes = Vec::new();
        for process in self.running.remove(&service).unwrap_or_default() {
            codes.push(process.terminate().await);
        }
        codes
    }

    /// Takes a process out, so that it can be ended alone.
    pub(crate) fn take(&mut self, service: Service, replica: usize) -> Running {
        self.running
            .get_mut(&service)
            .map(|processes| processes.remove(replica))
            .expect("the process runs")
    }

    /// Where the REST API of each process of a service is.
    pub(crate) fn rest_urls(&self, service: Service) -> Vec<String> {
        self.processes(service).iter().map(Running::rest_url).collect()
    }

    /// Which bus it is.
    pub(crate) fn bus_kind(&self) -> Bus {
        if self.ministack.is_some() { Bus::Aws } else { Bus::Postgres }
    }

    /// The database of the postgres bus.
    pub(crate) fn bus_database(&self) -> &Database {
        &self.bus
    }

    /// The emulator of AWS.
    pub(crate) fn emulator(&self) -> Option<&MiniStack> {
        self.ministack.as_ref()
    }

    /// The processes of a service.
    #[must_use]
    pub fn processes(&self, service: Service) -> &[Running] {
        self.running.get(&service).map_or(&[], Vec::as_slice)
    }

    /// A user with clients for the two public APIs; with replicas, of the first one each.
    #[must_use]
    pub fn person(&self, id: &str) -> Person {
        Person::new(id, &self.client(Service::Reminders), &self.client(Service::Notifications))
    }

    /// event-service's internal API.
    #[must_use]
    pub fn events(&self) -> Client {
        self.client(Service::Events)
            .with_header("Authorization", &format!("Bearer {OPERATOR_TOKEN}"))
    }

    /// A pool on the database that a service works with: for what would take too long to wait for.
    pub async fn pool(&self, service: Service) -> sqlx::PgPool {
        self.database(service).pool().await
    }

    /// Every table, of the services and of the bus, in which a row says `text` somewhere.
    pub async fn tables_that_say(&self, text: &str) -> Vec<String> {
        let mut tables = Vec::new();
        for database in [&self.reminders, &self.notifications, &self.devices, &self.bus] {
            tables.extend(search::tables_that_say(database, text).await);
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

    /// The bus, as another service would use it.
    pub async fn bus(&self) -> SharedBus {
        let settings = match &self.ministack {
            Some(ministack) => BusSettings::Aws(aws::settings(ministack.endpoint())),
            None => BusSettings::Postgres(PostgresSettings {
                url: self.bus.url().into(),
                max_connections: 2,
            }),
        };
        shared::bus::connect(&settings).await.expect("the bus is configured")
    }

    /// What a topic or queue variable says on this bus.
    #[must_use]
    pub fn named(&self, variable: &str, default: &str) -> String {
        self.aws.get(variable).cloned().unwrap_or_else(|| default.to_owned())
    }

    /// The subjects of the e-mails that SES took for an address.
    pub async fn mailbox(&self, address: &str) -> Vec<String> {
        match &self.ministack {
            None => {
                let captured = self.sandbox.captured();
                let mine = captured
                    .iter()
                    .filter_map(|it| it.email())
                    .filter(|mail| mail.to.iter().any(|to| to.contains(address)));
                mine.map(|mail| mail.subject.clone()).collect()
            }
            Some(ministack) => aws::mailed(ministack.endpoint(), address).await,
        }
    }
}
