//! The lanes, the recorder and the ways to the providers, assembled.

use std::sync::Arc;

use anyhow::Context;
use shared::{bus, contract::Channel, outbox::Handoff};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Finished, Lane, LaneSettings, Lanes, ProbePace, Recalls, Recorder, Worker, WorkerSettings,
    deleted_devices::Departures,
    email_sender::EmailSender,
    push_sender::PushSender,
    send_budget::{Budget, Terms, per_minute},
};
use crate::{
    Config,
    channels::{
        email::{self, Ses},
        fcm::{self, Fcm},
        retry::Policy,
    },
    clock::DbClock,
};

/// Streams that FCM allows on one HTTP/2 connection.
const STREAMS: usize = 100;

/// The delivery engine, assembled and not yet started.
pub struct Engine {
    lanes: Lanes,
    fcm: Arc<Fcm>,
    ses: Arc<Ses>,
    push: Worker<PushSender>,
    email: Worker<EmailSender>,
    recorder: (Arc<Recorder>, mpsc::Receiver<Finished>),
    budget: Arc<Budget>,
    departures: Arc<Departures>,
    recalls: Arc<Recalls>,
    pool: PgPool,
}

impl Engine {
    /// Assembles the engine. No provider is contacted yet.
    ///
    /// # Errors
    /// When a setting of a provider cannot be used.
    pub async fn build(
        config: &Config,
        pool: PgPool,
        clock: Arc<DbClock>,
        handoff: Handoff,
    ) -> anyhow::Result<Self> {
        let lane = |channel, max_in_flight, per_user_per_minute| {
            Lane::new(
                channel,
                LaneSettings { max_in_flight, per_user_per_minute, probes: ProbePace::default() },
            )
        };
        let push = lane(Channel::Push, config.push_max_in_flight, config.push_per_user_per_minute);
        let email =
            lane(Channel::Email, config.email_max_in_flight, config.email_per_user_per_minute);
        let (recorder, records_in, records_out) =
            Recorder::new(pool.clone(), handoff, Arc::clone(&clock));
        let fcm = Arc::new(fcm(config)?);
        let settings = WorkerSettings {
            pool,
            clock: Arc::clone(&clock),
            policy: Policy::default(),
            takeover: config.takeover,
            departures: Arc::default(),
            recalls: Arc::default(),
        };
        let push_sender = PushSender { fcm: Arc::clone(&fcm), clock };
        let ses = Arc::new(ses(config).await?);
        let email_sender = EmailSender(Arc::clone(&ses));
        let (departures, recalls) =
            (Arc::clone(&settings.departures), Arc::clone(&settings.recalls));
        let pool = settings.pool.clone();
        let push_rate = per_minute(config.fcm.max_per_minute);
        let push_budget =
            Budget::new(Channel::Push, settings.pool.clone(), Terms::BY_MINUTE, push_rate);
        let budget = Arc::new(Budget::new(
            Channel::Email,
            settings.pool.clone(),
            Terms::EVEN,
            email::DEFAULT_RATE,
        ));
        let push_worker = Worker::new(
            Arc::clone(&push),
            push_sender,
            Arc::clone(&recorder),
            records_in.clone(),
            Arc::new(push_budget),
            settings.clone(),
        );
        let email_worker = Worker::new(
            Arc::clone(&email),
            email_sender,
            Arc::clone(&recorder),
            records_in,
            Arc::clone(&budget),
            settings,
        );
        Ok(Self {
            lanes: Lanes { push, email },
            fcm,
            ses,
            push: push_worker,
            email: email_worker,
            recorder: (recorder, records_out),
            budget,
            departures,
            recalls,
            pool,
        })
    }

    /// Where the consumer puts what can be sent at once.
    #[must_use]
    pub fn lanes(&self) -> Lanes {
        self.lanes.clone()
    }

    /// What lets the consumer recall deliveries that wait in memory.
    #[must_use]
    pub fn recalls(&self) -> Arc<Recalls> {
        Arc::clone(&self.recalls)
    }

    /// The provider that knows tokens.
    #[must_use]
    pub fn fcm(&self) -> Arc<Fcm> {
        Arc::clone(&self.fcm)
    }

    /// Sends until the token is cancelled; then ends what is under way, gives back the rest and
    /// records all of it.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { ses, push, email, recorder, budget, departures, recalls, pool, .. } = self;
        // Each worker holds a way to the recorder, which ends when both are gone.
        tokio::join!(
            ses.watch_account(shutdown.clone()),
            budget.follow(ses.quota(), &shutdown),
            departures.keep(&pool, &shutdown),
            recalls.keep(&pool, &shutdown),
            push.run(shutdown.clone()),
            email.run(shutdown.clone()),
            recorder.0.run(recorder.1),
        );
    }
}

fn fcm(config: &Config) -> anyhow::Result<Fcm> {
    let (account, endpoint) = (config.fcm.account.clone(), config.fcm.endpoint.clone());
    let mut settings = fcm::Settings::new(account, endpoint, Arc::clone(&config.templates));
    settings.max_in_flight = config.push_max_in_flight;
    settings.max_checks = config.device_checks_max_in_flight;
    settings.connections = (settings.max_in_flight + settings.max_checks).div_ceil(STREAMS) + 1;
    Fcm::new(settings).context("FCM")
}

async fn ses(config: &Config) -> anyhow::Result<Ses> {
    let ses = &config.ses;
    let settings = email::Settings {
        template: ses.template.clone(),
        configuration_set: ses.configuration_set.clone(),
        max_in_flight: config.email_max_in_flight,
        ..email::Settings::new(ses.source.clone(), Arc::clone(&config.templates))
    };
    let sdk = bus::settings::sdk_config(&ses.aws.at(&ses.aws.ses_endpoint_url)).await;
    Ses::new(&sdk, settings).context("SES")
}
