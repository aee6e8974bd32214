//! The service's life: bound, started, serving, drained.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use bus::{QueueSpec, SharedBus, Subscription, Topology};
use contract::EventType;
use db::pool_metrics;
use env_config::Reader;
use rest::{Auth, Authenticator};
use service::{
    cli::Service,
    consumer::{self, ConsumerSettings},
    http::{Listeners, admin},
    outbox::Relay,
    settings::{BusConfig, Process},
    shutdown::spawn_critical,
    startup::{Started, Startup},
    telemetry::describe_service,
};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    consumer::{EventHandler, OUTAGE_HOLD},
    routes,
    store::{MIGRATOR, SESSION},
    tasks::{
        backlog_metrics::{self, Sources},
        erasures, purge, watchdog,
    },
    telemetry::METRICS,
    usecases::{
        apply_events::ApplyEvents, create_partitions::create_partitions, erase_user::DeadLetters,
    },
};

/// Largest number of messages in a batch.
const BATCH: usize = 500;
/// Time for which a received batch is hidden; extended while it is held.
const VISIBILITY: Duration = Duration::from_secs(10);
/// Number of receipts without a settlement after which a message is dead-lettered.
const MAX_RECEIVE_COUNT: u32 = 10;

/// The service for the command line.
#[derive(Debug, Clone, Copy)]
pub struct EventService;

impl Service for EventService {
    const NAME: &'static str = "event-service";
    const ABOUT: &'static str =
        "Consumes events; owns the notifications database and the event catalogue";
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
        telemetry.announce(Self::NAME, Some(app.rest_addr()), app.admin_addr());
        app.run(shutdown).await
    }
}

/// Brings the database's schema and, where the bus is our own, topic and queue up to date.
///
/// # Errors
/// When either cannot be reached or refuses.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    let pool = config.database.pool_with(EventService::NAME, SESSION);
    db::migrate(&pool, &MIGRATOR).await.context("migrate the notifications database")?;
    create_partitions(&pool).await.context("create the catalogue's partitions")?;
    let bus = config.bus.connect().await.context("connect to the bus")?;
    bus.ensure(&topology(&config.bus)).await.context("make topic and queue")
}

/// The topic that event-service publishes to, and its queue with the subscription to the events
/// that it consumes.
fn topology(bus: &BusConfig) -> Topology {
    let consumed = EventType::ALL
        .iter()
        .filter(|event_type| !event_type.is_event_service_fact() && !event_type.is_for_sender());
    let filter =
        BTreeMap::from([("eventType".to_owned(), consumed.map(ToString::to_string).collect())]);
    let subscription = Subscription { topic: bus.event_topic.clone(), filter };
    let queue = QueueSpec {
        queue: bus.event_queue.clone(),
        max_receive_count: MAX_RECEIVE_COUNT,
        subscriptions: vec![subscription],
    };
    Topology { topics: vec![bus.event_topic.clone()], queues: vec![queue] }
}

/// The service, bound to its ports and not yet started.
pub struct App {
    config: Config,
    listeners: Listeners,
    rest_addr: SocketAddr,
    admin_addr: SocketAddr,
    /// Connections of events: consumer, relay, purge.
    pool: PgPool,
    /// Connections of the REST API.
    readers: PgPool,
    bus: SharedBus,
}

impl App {
    /// Binds the ports. Database and bus may be unreachable.
    ///
    /// # Errors
    /// When a port is taken, or the bus's settings cannot be used.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        describe_service(EventService::NAME, METRICS);
        service::time_zones::watch();
        let listeners = Listeners::bind(&config.process, true).await?;
        let rest_addr = listeners.rest_addr().context("the REST listener has no address")?;
        let admin_addr = listeners.admin_addr()?;
        let (pipeline, readers) = split(config.database.max_connections);
        let pool_of = |connections| {
            let mut settings = config.database.clone();
            settings.max_connections = connections;
            settings.pool_with(EventService::NAME, SESSION)
        };
        let (pool, readers) = (pool_of(pipeline), pool_of(readers));
        pool_metrics::report(&pool, "events");
        pool_metrics::report(&readers, "rest");
        let bus = config.bus.connect().await.context("connect to the bus")?;
        Ok(Self { config, listeners, rest_addr, admin_addr, pool, readers, bus })
    }

    /// Address on which the REST API listens.
    #[must_use]
    pub fn rest_addr(&self) -> SocketAddr {
        self.rest_addr
    }

    /// Address on which health and metrics are served.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Serves until the token is cancelled, then finishes the batches under way.
    ///
    /// # Errors
    /// When a listener or a task fails.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self { config, listeners, pool, readers, bus, .. } = self;
        let started = Started::watching(pool.clone());
        let readiness = admin::Readiness::default()
            .with_database(pool.clone(), &MIGRATOR)
            .until(shutdown.clone());
        let readiness = started.check(readiness);
        let state =
            routes::AppState::new(readers.clone(), Arc::clone(&bus), &config, shutdown.clone());
        // No user is identified here: the API is the operators' own.
        let nobody = Authenticator::new(Auth::Gateway { secret: None })?;
        let router = routes::router(state, started.clone(), config.operators.clone());
        let api = rest::api(router, nobody, &config.api);
        // Health stays reachable while the rest drains.
        let stopped = CancellationToken::new();
        let admin_server =
            tokio::spawn(service::http::serve_admin(listeners.admin, readiness, stopped.clone()));
        let rest = listeners.rest.context("the REST listener is missing")?;
        let rest_server = spawn_critical("REST", &shutdown, {
            let (server, shutdown) = (config.api.server.clone(), shutdown.clone());
            async move { service::http::serve(rest, api, &server, shutdown).await }
        });

        let startup = Startup {
            app_env: config.process.app_env,
            pool: pool.clone(),
            migrator: Some(&MIGRATOR),
            bus: Arc::clone(&bus),
            topology: topology(&config.bus),
        };
        if startup.complete(&started, &shutdown).await {
            let sources = Sources {
                pool: readers.clone(),
                bus: Arc::clone(&bus),
                queues: Sources::queues_of(&config.bus),
            };
            let backlog_metrics = spawn_critical(
                "backlog metrics",
                &shutdown,
                backlog_metrics::run(sources, shutdown.clone()),
            );
            work(&config, pool.clone(), bus, &shutdown).await?;
            backlog_metrics.await?;
        }
        rest_server.await??;
        stopped.cancel();
        admin_server.await??;
        readers.close().await;
        pool.close().await;
        Ok(())
    }
}

/// Splits a process's connections into those of events and those of the REST API, so that streams,
/// exports and long lists take no connection from the events.
fn split(connections: u32) -> (u32, u32) {
    let readers = (connections / 3).clamp(1, 3);
    ((connections - readers.min(connections)).max(1), readers)
}

/// Consumes and relays until the token is cancelled. The relay ends after the consumer, because it
/// publishes the consumer's last messages.
async fn work(
    config: &Config,
    pool: PgPool,
    bus: SharedBus,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let consumed = CancellationToken::new();
    let (relay, relay_handle) =
        Relay::new(pool.clone(), Arc::clone(&bus), config.bus.event_topic.clone());
    let relay = relay.with_user_share(config.user_events);
    let relay = spawn_critical("relay", shutdown, relay.run(consumed.clone()));
    let purge = purge::run(pool.clone(), config.retention, shutdown.clone());
    let purge = spawn_critical("purge", shutdown, purge);
    let watch =
        watchdog::Settings { after: config.unsettled_after, queue: config.bus.event_queue.clone() };
    let watchdog = watchdog::run(pool.clone(), Arc::clone(&bus), watch, shutdown.clone());
    let watchdog = spawn_critical("watchdog", shutdown, watchdog);
    let letters = DeadLetters {
        bus: Arc::clone(&bus),
        event_queue: config.bus.event_queue.clone(),
        notification_queue: config.bus.notification_queue.clone(),
    };
    let erasure_recorded = Arc::new(Notify::new());
    let erasures =
        erasures::run(pool.clone(), letters, Arc::clone(&erasure_recorded), shutdown.clone());
    let erasures = spawn_critical("erasures", shutdown, erasures);
    let settings = ConsumerSettings {
        queue: config.bus.event_queue.clone(),
        batch: BATCH,
        concurrency: config.concurrency,
        visibility: VISIBILITY,
        dead_letters_kept: config.bus.dead_letters_kept,
    };
    let apply = ApplyEvents { pool, relay_handle, erasure_recorded };
    let handler = Arc::new(EventHandler::new(apply, OUTAGE_HOLD, shutdown.clone()));
    consumer::run(bus, settings, handler, shutdown.clone()).await;
    consumed.cancel();
    relay.await?;
    purge.await?;
    watchdog.await?;
    erasures.await?;
    Ok(())
}
