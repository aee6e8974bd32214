//! The scheduler's life: bound, started, claiming, drained.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use bus::{SharedBus, Topology};
use db::pool_metrics;
use env_config::Reader;
use service::{
    cli::Service,
    http::{Listeners, admin},
    settings::{BusConfig, Process},
    startup::{Started, Startup},
    telemetry::describe_service,
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    store::{self, SESSION},
    tasks::{
        relay_commands::relay_commands,
        scheduler::{Scheduler, Settings},
    },
    telemetry::METRICS,
    usecases::publish_commands::CommandPublisher,
};

/// The service as its command line sees it.
#[derive(Debug, Clone, Copy)]
pub struct NotificationScheduler;

impl Service for NotificationScheduler {
    const NAME: &'static str = "notification-scheduler";
    const ABOUT: &'static str = "Claims due occurrences and publishes them";
    type Config = Config;

    fn read(reader: &mut Reader<'_>) -> Option<Config> {
        Config::parse(reader)
    }

    fn process(config: &Config) -> &Process {
        &config.process
    }

    async fn migrate(config: &Config) -> anyhow::Result<()> {
        migrate(config).await
    }

    async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
        let telemetry = config.process.telemetry.clone();
        let app = App::build(config).await?;
        telemetry.announce(Self::NAME, None, app.admin_addr());
        app.run(shutdown).await
    }
}

/// Connections that listen: for occurrences, and for commands.
const LISTENERS: u32 = 2;

fn topology(bus: &BusConfig) -> Topology {
    Topology { topics: vec![bus.notification_topic.clone()], queues: Vec::new() }
}

/// Creates the topic on the postgres bus. The scheduler owns no table: event-service's `migrate`
/// creates those that it uses.
///
/// # Errors
/// When the bus cannot be reached or refuses.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    let bus = config.bus.connect().await.context("connect to the bus")?;
    bus.ensure(&topology(&config.bus)).await.context("make the topic")?;
    tracing::info!("topic exists; event-service's migrate command creates the tables");
    Ok(())
}

/// The scheduler, bound to its port and not yet started.
pub struct App {
    config: Config,
    listeners: Listeners,
    admin_addr: SocketAddr,
    pool: PgPool,
    /// The connections that listen.
    listeners_pool: PgPool,
    bus: SharedBus,
}

impl App {
    /// Binds the admin port. Database and bus may be unreachable.
    ///
    /// # Errors
    /// When the port is taken, or the bus's settings cannot be used.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        describe_service(NotificationScheduler::NAME, METRICS);
        service::time_zones::watch();
        let listeners = Listeners::bind(&config.process, false).await?;
        let admin_addr = listeners.admin_addr()?;
        let pool_of = |max_connections| {
            let mut settings = config.database.clone();
            settings.max_connections = max_connections;
            settings.pool_with(NotificationScheduler::NAME, SESSION)
        };
        let pool = pool_of(config.database.max_connections.saturating_sub(LISTENERS).max(1));
        pool_metrics::report(&pool, "main");
        let listeners_pool = pool_of(LISTENERS);
        let bus = config.bus.connect().await.context("connect to the bus")?;
        Ok(Self { config, listeners, admin_addr, pool, listeners_pool, bus })
    }

    /// Address on which health and metrics are served.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Claims and publishes until the token is cancelled, then finishes the batches under way.
    ///
    /// # Errors
    /// When the listener or a task fails.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self { config, listeners, pool, listeners_pool, bus, .. } = self;
        let topic = config.bus.notification_topic.clone();
        let settings = Settings {
            claim_ahead: config.claim_ahead,
            user_releases_per_second: config.user_releases_per_second,
            ..Settings::new(topic.clone())
        };
        let scheduler =
            Scheduler::new(pool.clone(), listeners_pool.clone(), Arc::clone(&bus), settings);
        let commands =
            CommandPublisher::new(pool.clone(), Arc::clone(&bus), topic, Settings::LEASE);
        let started = Started::default();
        let readiness = readiness(pool.clone(), scheduler.clone());
        let readiness = started.check(readiness).until(shutdown.clone());
        // Health stays reachable while the rest drains.
        let stopped = CancellationToken::new();
        let admin_server =
            tokio::spawn(service::http::serve_admin(listeners.admin, readiness, stopped.clone()));
        let startup = Startup {
            app_env: config.process.app_env,
            pool: pool.clone(),
            migrator: None,
            bus,
            topology: topology(&config.bus),
        };
        if startup.complete(&started, &shutdown).await {
            tokio::join!(
                scheduler.run(shutdown.clone()),
                relay_commands(commands, listeners_pool.clone(), shutdown)
            );
        }
        stopped.cancel();
        admin_server.await??;
        listeners_pool.close().await;
        pool.close().await;
        Ok(())
    }
}

fn readiness(pool: PgPool, scheduler: Scheduler) -> admin::Readiness {
    let database = move || {
        let pool = pool.clone();
        async move {
            match store::has_tables(&pool).await {
                Ok(true) => Ok(()),
                Ok(false) => {
                    Err("event-service's tables are missing: run its `migrate`".to_owned())
                }
                Err(error) => Err(db::unreachable_reason(&error).to_owned()),
            }
        }
    };
    let bus = move || {
        let answers = scheduler.topic_answers();
        async move {
            if answers {
                Ok(())
            } else {
                Err("the topic does not take what is published".to_owned())
            }
        }
    };
    admin::Readiness::default().with("database", database).with("bus", bus)
}
