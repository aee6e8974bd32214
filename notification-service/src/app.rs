//! The assembled service: its listeners, its background tasks, and the order in which it shuts
//! down.

mod topology;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use bus::SharedBus;
use chrono::TimeDelta;
use db::pool_metrics;
use rest::{ApiSettings, Authenticator, ExportLimit, api};
use service::{
    consumer::{self, ConsumerSettings, isolation::Isolation},
    http::{Listeners, ServerSettings, admin::Readiness, serve, serve_admin},
    outbox::{Relay, RelayHandle},
    shutdown::spawn_critical,
    startup::{Started, Startup},
    telemetry::describe_service,
};
use sqlx::PgPool;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use topology::{feedback_topology, topology};

use crate::{
    Config,
    clock::DbClock,
    consumer::{NotificationHandler, ses_bounces::SesBounceHandler},
    dispatch::Workers,
    routes::{self, AppState, Streams},
    store::MIGRATOR,
    tasks::purge_old_rows,
    telemetry::METRICS,
    usecases::{
        accept_occurrences::{AcceptOccurrences, Interruptions},
        apply_ses_bounces::ApplySesBounces,
        erase_users::EraseUsers,
        republish_outcomes::RepublishOutcomes,
        revise_pending_deliveries::ApplyRevisions,
    },
};

const NAME: &str = "notification-service";
/// Settings of its database sessions: a new plan for each execution. A plan that was made while the
/// ledger was empty reads all of it once a burst has filled it.
const SESSION: &[(&str, &str)] = &[("plan_cache_mode", "force_custom_plan")];
/// Most messages of one batch.
const BATCH: usize = 500;
/// Batches that are handled at the same time.
const BATCHES: usize = 3;
/// Most messages of SES feedback in one batch. One batch is handled at a time: such messages are
/// few and not urgent.
const FEEDBACK_BATCH: usize = 100;
/// Time between two checks for the feedback queue.
const FEEDBACK_PAUSE: Duration = Duration::from_secs(10);
/// Visibility timeout of a received message.
const VISIBILITY: Duration = Duration::from_secs(10);

/// The service, bound to its ports and not yet started.
pub struct App {
    rest: TcpListener,
    admin: TcpListener,
    addresses: (SocketAddr, SocketAddr),
    pool: PgPool,
    router: Router,
    server: ServerSettings,
    streams: Streams,
    work: Work,
}

/// Background tasks.
struct Work {
    pool: PgPool,
    clock: Arc<DbClock>,
    bus: SharedBus,
    queue: String,
    feedback_queue: Option<String>,
    relay_handle: RelayHandle,
    relay: Relay,
    workers: Workers,
    started: Started,
    startup: Startup,
    max_devices: usize,
    takeover: Duration,
    retention: TimeDelta,
    dead_letters_kept: Duration,
}

impl App {
    /// Binds the ports and assembles the service. The database, the bus and the providers need not
    /// be reachable yet.
    ///
    /// # Errors
    /// If a port is taken, or a setting is unusable.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        describe_service(NAME, METRICS);
        service::time_zones::watch();
        let listeners = Listeners::bind(&config.process, true).await?;
        let (rest, admin) =
            (listeners.rest.context("the REST port is not bound")?, listeners.admin);
        let addresses = (rest.local_addr()?, admin.local_addr()?);
        let pool = config.database.pool_with(NAME, SESSION);
        pool_metrics::report(&pool, "main");
        let clock = Arc::new(DbClock::default());
        let bus = config.bus.connect().await?;
        let (relay, relay_handle) =
            Relay::new(pool.clone(), bus.clone(), config.bus.event_topic.clone());
        let relay = relay.with_user_share(config.user_events);
        let workers =
            Workers::build(&config, pool.clone(), Arc::clone(&clock), relay_handle.clone()).await?;
        let started = Started::watching(pool.clone());
        let streams = Streams::default();
        let state = AppState {
            pool: pool.clone(),
            clock: Arc::clone(&clock),
            relay_handle: relay_handle.clone(),
            push_channel: workers.push_channel(),
            max_devices: config.max_devices_per_user,
            takeover: config.takeover,
            streams: streams.clone(),
            exports: ExportLimit::new(config.exports),
            started: started.clone(),
        };
        let api_settings = ApiSettings { public_routes: routes::PUBLIC_ROUTES, ..config.api };
        let routes = routes::router(state, config.operators);
        let router = api(routes, Authenticator::new(config.auth)?, &api_settings);
        let startup = Startup {
            app_env: config.process.app_env,
            pool: pool.clone(),
            migrator: Some(&MIGRATOR),
            bus: bus.clone(),
            topology: topology(&config.bus),
        };
        let (queue, feedback_queue) =
            (config.bus.notification_queue, config.bus.ses_feedback_queue);
        let dead_letters_kept = config.bus.dead_letters_kept;
        let work = Work {
            pool: pool.clone(),
            clock,
            bus,
            queue,
            feedback_queue,
            relay_handle,
            relay,
            workers,
            started,
            startup,
            max_devices: config.max_devices_per_user,
            takeover: config.takeover,
            retention: config.retention,
            dead_letters_kept,
        };
        Ok(Self {
            rest,
            admin,
            addresses,
            pool,
            router,
            server: api_settings.server,
            streams,
            work,
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

    /// Serves until the token is cancelled, then drains: open requests and batches of the queue,
    /// attempts in flight, their results, and last the messages that report them.
    ///
    /// # Errors
    /// If a listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let answered = CancellationToken::new();
        let ended = CancellationToken::new();
        let readiness = Readiness::default()
            .with_database(self.pool.clone(), &MIGRATOR)
            .until(shutdown.clone());
        let readiness = self.work.started.check(readiness);
        let admin = tokio::spawn(serve_admin(self.admin, readiness, ended.clone()));
        let work =
            spawn_critical("work", &shutdown, self.work.run(shutdown.clone(), answered.clone()));
        // Streams have no end of their own; the drain must not wait for them.
        let (served, ()) = tokio::join!(
            serve(self.rest, self.router, &self.server, shutdown.clone()),
            self.streams.end_with(&shutdown)
        );
        answered.cancel();
        work.await.context("the work beside the API ended unexpectedly")?;
        self.pool.close().await;
        ended.cancel();
        admin.await.context("the admin port ended unexpectedly")??;
        served.context("the REST port failed")
    }
}

impl Work {
    /// Consumes, sends and publishes until `shutdown`, then drains; the relay runs until the API
    /// has answered its open requests as well.
    async fn run(self, shutdown: CancellationToken, answered: CancellationToken) {
        let Self {
            pool,
            clock,
            bus,
            queue,
            feedback_queue,
            relay_handle,
            relay,
            workers,
            started,
            startup,
            max_devices,
            takeover,
            retention,
            dead_letters_kept,
        } = self;
        if !startup.complete(&started, &shutdown).await {
            return;
        }
        if let Err(error) = clock.observe_once(&pool).await {
            tracing::warn!(
                error = %error,
                "database clock could not be read, the local clock is used until it can"
            );
        }
        let drained = CancellationToken::new();
        let relay = spawn_critical("relay", &shutdown, relay.run(drained.clone()));
        let feedback = SesBounceHandler {
            apply: ApplySesBounces {
                pool: pool.clone(),
                clock: Arc::clone(&clock),
                relay_handle: relay_handle.clone(),
            },
            isolation: Isolation::new(Duration::MAX, shutdown.clone()),
        };
        let consume_feedback = consume_feedback(
            bus.clone(),
            feedback_queue,
            dead_letters_kept,
            feedback,
            shutdown.clone(),
        );
        let handler = NotificationHandler {
            isolation: Isolation::new(Duration::MAX, shutdown.clone()),
            accept: AcceptOccurrences {
                pool: pool.clone(),
                clock: Arc::clone(&clock),
                relay_handle: relay_handle.clone(),
                dispatchers: workers.dispatchers(),
                interruptions: Interruptions::default(),
                max_devices,
                takeover,
            },
            revise: ApplyRevisions {
                pool: pool.clone(),
                relay_handle: relay_handle.clone(),
                recalls: workers.recalls(),
            },
            republish: RepublishOutcomes { pool: pool.clone(), relay_handle },
            erase: EraseUsers { pool: pool.clone() },
        };
        let settings = ConsumerSettings {
            queue,
            batch: BATCH,
            concurrency: BATCHES,
            visibility: VISIBILITY,
            dead_letters_kept,
        };
        let consumed = CancellationToken::new();
        let consume = async {
            consumer::run(bus, settings, Arc::new(handler), shutdown.clone()).await;
            consumed.cancel();
        };
        tokio::join!(
            consume,
            consume_feedback,
            workers.run(consumed.clone()),
            clock.keep(&pool, &shutdown),
            purge_old_rows::run(&pool, retention, &shutdown)
        );
        answered.cancelled().await;
        drained.cancel();
        if let Err(error) = relay.await {
            tracing::error!(
                error = %error,
                "relay ended unexpectedly, unpublished messages stay in the outbox"
            );
        }
    }
}

/// Consumes SES's feedback about e-mails, if its queue is configured.
async fn consume_feedback(
    bus: SharedBus,
    queue: Option<String>,
    dead_letters_kept: Duration,
    feedback: SesBounceHandler,
    shutdown: CancellationToken,
) {
    let Some(queue) = queue else { return };
    if !feedback_queue_exists(&bus, &queue, &shutdown).await {
        return;
    }
    let settings = ConsumerSettings {
        queue,
        batch: FEEDBACK_BATCH,
        concurrency: 1,
        visibility: VISIBILITY,
        dead_letters_kept,
    };
    consumer::run(bus, settings, Arc::new(feedback), shutdown).await;
}

/// Migrates the schema and creates the topic and the queues.
///
/// # Errors
/// If the database or the bus is unreachable or rejects the change.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    db::migrate(&config.database.pool(NAME), &MIGRATOR).await.context("the devices database")?;
    let bus = config.bus.connect().await?;
    bus.ensure(&topology(&config.bus)).await?;
    if let Some(queue) = &config.bus.ses_feedback_queue
        && let Err(error) = bus.ensure(&feedback_topology(queue)).await
    {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "feedback queue is missing, bounces and complaints will not be received"
        );
    }
    Ok(())
}

/// Waits until the feedback queue exists; returns `false` if the token was cancelled before.
async fn feedback_queue_exists(bus: &SharedBus, queue: &str, shutdown: &CancellationToken) -> bool {
    while let Err(error) = bus.ensure(&feedback_topology(queue)).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "feedback queue is missing, bounces and complaints are not received, will retry"
        );
        tokio::select! {
            () = sleep(FEEDBACK_PAUSE) => {}
            () = shutdown.cancelled() => return false,
        }
    }
    true
}
