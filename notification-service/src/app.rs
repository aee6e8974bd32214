//! The service, assembled: what it listens on, what runs beside the API, and the order in which it
//! ends.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use chrono::TimeDelta;
use shared::{
    bus::{self, QueueSpec, SharedBus, Subscription, Topology},
    config::BusConfig,
    consumer::{self, ConsumerSettings, isolation::Isolation},
    db,
    http::{
        Authenticator, ExportLimit, Listeners, ServerSettings, admin::Readiness, api, serve,
        serve_admin,
    },
    outbox::{Handoff, Relay},
    shutdown::spawn_essential,
    startup::{Started, Startup},
};
use sqlx::PgPool;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    clock::DbClock,
    consumer::{Intake, Interruptions},
    dispatch::Workers,
    feedback::Feedback,
    purge_old_rows,
    routes::{self, Api, Streams},
    store::MIGRATOR,
    telemetry,
};

const NAME: &str = "notification-service";
/// Settings of its sessions: a plan for each execution. What was planned while the ledger was empty
/// reads all of it, batch after batch, once a burst has filled it.
const SESSION: &[(&str, &str)] = &[("plan_cache_mode", "force_custom_plan")];
/// Receipts of a message before it is a dead letter.
const MAX_RECEIVE_COUNT: u32 = 10;
/// Messages in one batch.
const BATCH: usize = 500;
/// Batches under way at once.
const BATCHES: usize = 3;
/// Messages of feedback in one batch; of these one batch is under way at a time: they are few, and
/// nobody waits for them.
const FEEDBACK_BATCH: usize = 100;
/// Between two looks for the queue of feedback.
const FEEDBACK_PAUSE: Duration = Duration::from_secs(10);
/// For how long a received message is hidden.
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

/// What runs beside the API.
struct Work {
    pool: PgPool,
    clock: Arc<DbClock>,
    bus: SharedBus,
    queue: String,
    feedback_queue: Option<String>,
    handoff: Handoff,
    relay: Relay,
    workers: Workers,
    started: Started,
    startup: Startup,
    max_devices: usize,
    takeover: Duration,
    kept: TimeDelta,
    dead_letters_kept: Duration,
}

impl App {
    /// Binds the ports and assembles the service. Neither the database, the bus nor a provider need
    /// be there yet.
    ///
    /// # Errors
    /// When a port is taken, or a setting cannot be used.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        telemetry::describe_metrics();
        let listeners = Listeners::bind(&config.process, true).await?;
        let (rest, admin) =
            (listeners.rest.context("the REST port is not bound")?, listeners.admin);
        let addresses = (rest.local_addr()?, admin.local_addr()?);
        let pool = config.database.pool_with(NAME, SESSION);
        let clock = Arc::new(DbClock::default());
        let bus = bus::connect(&config.bus.settings).await?;
        let (relay, handoff) =
            Relay::new(pool.clone(), bus.clone(), config.bus.event_topic.clone());
        let relay = relay.with_user_share(config.user_events);
        let workers =
            Workers::build(&config, pool.clone(), Arc::clone(&clock), handoff.clone()).await?;
        let started = Started::watching(pool.clone());
        let streams = Streams::default();
        let shared = Api {
            pool: pool.clone(),
            clock: Arc::clone(&clock),
            handoff: handoff.clone(),
            fcm: workers.fcm(),
            max_devices: config.max_devices_per_user,
            takeover: config.takeover,
            streams: streams.clone(),
            exports: ExportLimit::new(config.exports),
            started: started.clone(),
        };
        let router = api(routes::router(shared), Authenticator::new(config.auth)?, &config.api);
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
            handoff,
            relay,
            workers,
            started,
            startup,
            max_devices: config.max_devices_per_user,
            takeover: config.takeover,
            kept: config.retention,
            dead_letters_kept,
        };
        Ok(Self { rest, admin, addresses, pool, router, server: config.api.server, streams, work })
    }

    /// Where the REST API listens.
    #[must_use]
    pub fn rest_addr(&self) -> SocketAddr {
        self.addresses.0
    }

    /// Where the admin port listens.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.addresses.1
    }

    /// Serves until the token is cancelled, then drains: the open requests and the batches from the
    /// queue, the attempts under way, their verdicts, and last the messages that tell of all of it.
    ///
    /// # Errors
    /// When a listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let answered = CancellationToken::new();
        let ended = CancellationToken::new();
        let readiness = Readiness::default()
            .with_database(self.pool.clone(), &MIGRATOR)
            .until(shutdown.clone());
        let readiness = self.work.started.check(readiness);
        let admin = tokio::spawn(serve_admin(self.admin, readiness, ended.clone()));
        let work =
            spawn_essential("work", &shutdown, self.work.run(shutdown.clone(), answered.clone()));
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
    /// Consumes, sends and tells until `shutdown`; drains; the relay goes on until the API has
    /// answered as well.
    async fn run(self, shutdown: CancellationToken, answered: CancellationToken) {
        let Self {
            pool,
            clock,
            bus,
            queue,
            feedback_queue,
            handoff,
            relay,
            workers,
            started,
            startup,
            max_devices,
            takeover,
            kept,
            dead_letters_kept,
        } = self;
        if !startup.complete(&started, &shutdown).await {
            return;
        }
        if let Err(error) = clock.observe(&pool).await {
            tracing::warn!(
                error = %error,
                "database clock could not be read, the local clock is used until it can"
            );
        }
        let drained = CancellationToken::new();
        let relay = spawn_essential("relay", &shutdown, relay.run(drained.clone()));
        let feedback = Feedback {
            pool: pool.clone(),
            clock: Arc::clone(&clock),
            handoff: handoff.clone(),
            isolation: Isolation::new(Duration::MAX, shutdown.clone()),
        };
        let hear = hear(bus.clone(), feedback_queue, dead_letters_kept, feedback, shutdown.clone());
        let intake = Intake {
            pool: pool.clone(),
            clock: Arc::clone(&clock),
            handoff,
            dispatchers: workers.dispatchers(),
            recalls: workers.recalls(),
            interruptions: Interruptions::default(),
            isolation: Isolation::new(Duration::MAX, shutdown.clone()),
            max_devices,
            takeover,
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
            consumer::run(bus, settings, Arc::new(intake), shutdown.clone()).await;
            consumed.cancel();
        };
        tokio::join!(
            consume,
            hear,
            workers.run(consumed.clone()),
            clock.keep(&pool, &shutdown),
            purge_old_rows::run(&pool, kept, &shutdown)
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

/// Consumes what SES says of e-mails, where there is a queue for it.
async fn hear(
    bus: SharedBus,
    queue: Option<String>,
    dead_letters_kept: Duration,
    feedback: Feedback,
    shutdown: CancellationToken,
) {
    let Some(queue) = queue else { return };
    if !feedback_is_there(&bus, &queue, &shutdown).await {
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

/// Brings the schema up to date and sees to the topic and the queue.
///
/// # Errors
/// When the database or the bus cannot be reached, or refuses.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    db::migrate(&config.database.pool(NAME), &MIGRATOR).await.context("the devices database")?;
    let bus = bus::connect(&config.bus.settings).await?;
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

fn topology(bus: &BusConfig) -> Topology {
    let due = Subscription { topic: bus.notification_topic.clone(), filter: BTreeMap::new() };
    let queue = QueueSpec {
        queue: bus.notification_queue.clone(),
        max_receive_count: MAX_RECEIVE_COUNT,
        subscriptions: vec![due],
    };
    Topology { topics: vec![bus.event_topic.clone()], queues: vec![queue] }
}

/// What is relied on to hear SES, apart from the rest: without it reminders are sent all the same.
/// What SES says comes from a topic of SES's own, which its operator subscribes the queue to.
fn feedback_topology(queue: &str) -> Topology {
    let queue = QueueSpec {
        queue: queue.to_owned(),
        max_receive_count: MAX_RECEIVE_COUNT,
        subscriptions: Vec::new(),
    };
    Topology { topics: Vec::new(), queues: vec![queue] }
}

/// Waits until the queue of feedback is there; `false` when the token was cancelled before.
async fn feedback_is_there(bus: &SharedBus, queue: &str, shutdown: &CancellationToken) -> bool {
    while let Err(error) = bus.ensure(&feedback_topology(queue)).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "feedback queue is missing, bounces and complaints are not received, will retry"
        );
        tokio::select! { () = sleep(FEEDBACK_PAUSE) => {} () = shutdown.cancelled() => return false }
    }
    true
}

#[cfg(test)]
mod tests {
    use shared::config;

    use super::*;

    fn feedback(variables: &[(&str, &str)]) -> Option<String> {
        let env: BTreeMap<_, _> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let bus = config::read(&env, |reader| BusConfig::read(reader, &[]))
            .expect("a complete environment");
        assert!(
            topology(&bus)
                .queues
                .iter()
                .all(|it| Some(&it.queue) != bus.ses_feedback_queue.as_ref())
        );
        bus.ses_feedback_queue
    }

    #[test]
    fn feedback_is_heard_on_our_own_bus_and_on_aws_where_its_queue_is_named_and_nothing_waits_for_it()
     {
        assert_eq!(feedback(&[("BUS", "aws")]), None);
        assert_eq!(
            feedback(&[("BUS", "aws"), ("SES_FEEDBACK_QUEUE_URL", "feedback")]).as_deref(),
            Some("feedback")
        );
        let own = feedback(&[("BUS", "postgres"), ("BUS_DATABASE_URL", "postgres://bus")]);
        assert_eq!(own.as_deref(), Some("ses-feedback-queue"));
    }
}
