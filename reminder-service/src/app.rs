//! Assembly of the service: its listeners, its background tasks, and the order of its shutdown.

pub(crate) mod republish;

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use bus::Topology;
use db::pool_metrics;
use rest::{ApiSettings, Authenticator, ExportLimit, api};
use service::{
    http::{Listeners, ServerSettings, admin::Readiness, serve, serve_admin},
    outbox::Relay,
    shutdown::spawn_critical,
    startup::{Started, Startup},
    telemetry::describe_service,
};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    domain::{email_addresses::EmailAddresses, quota::Quota},
    peers::Peers,
    routes::{self, AppState, FeedLimits},
    store::{MIGRATOR, SESSION},
    tasks::{follow_zones, purge},
    telemetry::METRICS,
    usecases::Resources,
};

const NAME: &str = "reminder-service";

/// The service with bound ports, not started yet.
pub struct App {
    rest: TcpListener,
    admin: TcpListener,
    addresses: (SocketAddr, SocketAddr),
    pool: PgPool,
    router: Router,
    server: ServerSettings,
    relay: Relay,
    resources: Resources,
    started: Started,
    startup: Startup,
}

impl App {
    /// Binds the ports and assembles the service. The database and the bus need not be reachable
    /// yet.
    ///
    /// # Errors
    /// If a port is in use, or a setting is invalid.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        describe_service(NAME, METRICS);
        service::time_zones::watch();
        let listeners = Listeners::bind(&config.process, true).await?;
        let (rest, admin) =
            (listeners.rest.context("the REST port is not bound")?, listeners.admin);
        let addresses = (rest.local_addr()?, admin.local_addr()?);
        let pool = config.database.pool_with(NAME, SESSION);
        pool_metrics::report(&pool, "main");
        let bus = config.bus.connect().await?;
        let (relay, relay_handle) =
            Relay::new(pool.clone(), bus.clone(), config.bus.event_topic.clone());
        let relay = relay.with_user_share(config.user_events);
        let started = Started::watching(pool.clone());
        let resources = Resources {
            pool: pool.clone(),
            relay_handle,
            quota: Quota::new(config.max_reminders),
            addresses: EmailAddresses::new(config.max_addresses),
            peers: Peers::new(config.peers)?,
        };
        let routes = routes::router(AppState {
            resources: resources.clone(),
            exports: ExportLimit::new(config.exports),
            feeds: FeedLimits::default(),
            started: started.clone(),
        });
        let api_settings = ApiSettings { public_routes: routes::PUBLIC_ROUTES, ..config.api };
        let router = api(routes, Authenticator::new(config.auth)?, &api_settings);
        let topology = topology(config.bus.event_topic);
        let startup = Startup {
            app_env: config.process.app_env,
            pool: pool.clone(),
            migrator: Some(&MIGRATOR),
            bus,
            topology,
        };
        Ok(Self {
            rest,
            admin,
            addresses,
            pool,
            router,
            server: api_settings.server,
            relay,
            resources,
            started,
            startup,
        })
    }

    /// Address of the REST API.
    #[must_use]
    pub fn rest_addr(&self) -> SocketAddr {
        self.addresses.0
    }

    /// Address of the admin port.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.addresses.1
    }

    /// Serves until the token is cancelled, then drains the open requests and after them their
    /// messages.
    ///
    /// # Errors
    /// If a listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let answered = CancellationToken::new();
        let ended = CancellationToken::new();
        let readiness = self.started.check(
            Readiness::default()
                .with_database(self.pool.clone(), &MIGRATOR)
                .until(shutdown.clone()),
        );
        let admin = tokio::spawn(serve_admin(self.admin, readiness, ended.clone()));
        let relay = spawn_critical("relay", &shutdown, {
            let (pool, answered) = (self.pool.clone(), answered.clone());
            let (startup, started, relay) = (self.startup, self.started, self.relay);
            let resources = self.resources;
            async move {
                if startup.complete(&started, &answered).await {
                    tokio::join!(
                        relay.run(answered.clone()),
                        purge::run(pool, answered.clone()),
                        follow_zones::run(resources, answered),
                    );
                }
            }
        });
        let served = serve(self.rest, self.router, &self.server, shutdown).await;
        answered.cancel();
        relay.await.context("the relay ended unexpectedly")?;
        self.pool.close().await;
        ended.cancel();
        admin.await.context("the admin port ended unexpectedly")??;
        served.context("the REST port failed")
    }
}

/// Migrates the database and creates the topic.
///
/// # Errors
/// If the database or the bus is unreachable, or refuses.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    db::migrate(&config.database.pool(NAME), &MIGRATOR).await.context("the reminders database")?;
    let bus = config.bus.connect().await?;
    bus.ensure(&topology(config.bus.event_topic.clone())).await?;
    Ok(())
}

fn topology(event_topic: String) -> Topology {
    Topology { topics: vec![event_topic], queues: Vec::new() }
}
