//! Workers of all channels, assembled with their dispatchers, budgets, the result writer and the
//! clients of the providers.

use std::sync::Arc;

use anyhow::Context;
use contract::Channel;
use service::outbox::RelayHandle;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Dispatcher, DispatcherSettings, Dispatchers, ProbeIntervals, Recalls, Worker, WorkerSettings,
    deleted_devices::DeletedDevices,
    email_sender::EmailSender,
    push_sender::PushSender,
    result_writer::{ResultWriter, Submitted},
    send_budget::{SendBudget, Terms, per_minute},
};
use crate::{
    Config,
    channels::{
        email::{self, Ses},
        push::PushChannel,
        retry_policy::Policy,
    },
    clock::DbClock,
};

/// Streams that FCM allows on one HTTP/2 connection.
const STREAMS: usize = 100;

/// Workers of all channels, assembled and not yet started.
pub struct Workers {
    dispatchers: Dispatchers,
    push_channel: Arc<PushChannel>,
    ses: Arc<Ses>,
    push: Worker<PushSender>,
    email: Worker<EmailSender>,
    result_writer: Arc<ResultWriter>,
    results: mpsc::Receiver<Submitted>,
    email_budget: Arc<SendBudget>,
    deleted_devices: Arc<DeletedDevices>,
    recalls: Arc<Recalls>,
    pool: PgPool,
}

impl Workers {
    /// Assembles the workers. No provider is contacted yet.
    ///
    /// # Errors
    /// If a provider's client rejects its settings.
    pub async fn build(
        config: &Config,
        pool: PgPool,
        clock: Arc<DbClock>,
        relay_handle: RelayHandle,
    ) -> anyhow::Result<Self> {
        let push =
            dispatcher(Channel::Push, config.push_max_in_flight, config.push_per_user_per_minute);
        let email = dispatcher(
            Channel::Email,
            config.email_max_in_flight,
            config.email_per_user_per_minute,
        );
        let (result_writer, results_in, results) =
            ResultWriter::new(pool.clone(), relay_handle, Arc::clone(&clock));
        let settings = WorkerSettings {
            pool: pool.clone(),
            clock: Arc::clone(&clock),
            policy: Policy::default(),
            takeover: config.takeover,
            deleted_devices: Arc::default(),
            recalls: Arc::default(),
        };
        let (deleted_devices, recalls) =
            (Arc::clone(&settings.deleted_devices), Arc::clone(&settings.recalls));
        let (push_channel, ses) = (Arc::new(push_channel(config)?), Arc::new(ses(config).await?));
        let push_rate = per_minute(config.fcm.max_per_minute);
        let push_budget = SendBudget::new(Channel::Push, pool.clone(), Terms::BY_MINUTE, push_rate);
        let email_budget = Arc::new(SendBudget::new(
            Channel::Email,
            pool.clone(),
            Terms::EVEN,
            email::DEFAULT_RATE,
        ));
        let push_worker = Worker::new(
            Arc::clone(&push),
            PushSender { channel: Arc::clone(&push_channel), clock },
            Arc::clone(&result_writer),
            results_in.clone(),
            Arc::new(push_budget),
            settings.clone(),
        );
        let email_worker = Worker::new(
            Arc::clone(&email),
            EmailSender(Arc::clone(&ses)),
            Arc::clone(&result_writer),
            results_in,
            Arc::clone(&email_budget),
            settings,
        );
        Ok(Self {
            dispatchers: Dispatchers { push, email },
            push_channel,
            ses,
            push: push_worker,
            email: email_worker,
            result_writer,
            results,
            email_budget,
            deleted_devices,
            recalls,
            pool,
        })
    }

    /// Dispatchers, to which the consumer hands deliveries that can be sent at once.
    #[must_use]
    pub fn dispatchers(&self) -> Dispatchers {
        self.dispatchers.clone()
    }

    /// Recalls, with which a revision reaches deliveries that wait in memory.
    #[must_use]
    pub fn recalls(&self) -> Arc<Recalls> {
        Arc::clone(&self.recalls)
    }

    /// Channel of pushes, which also validates tokens.
    #[must_use]
    pub fn push_channel(&self) -> Arc<PushChannel> {
        Arc::clone(&self.push_channel)
    }

    /// Sends until the token is cancelled; then ends the attempts in flight, releases all other
    /// deliveries and writes all results.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            ses,
            push,
            email,
            result_writer,
            results,
            email_budget,
            deleted_devices,
            recalls,
            pool,
            ..
        } = self;
        // Each worker holds a sender of results; the result writer ends once both are dropped.
        tokio::join!(
            ses.watch_account(shutdown.clone()),
            email_budget.follow(ses.quota(), &shutdown),
            deleted_devices.run(&pool, &shutdown),
            recalls.run(&pool, &shutdown),
            push.run(shutdown.clone()),
            email.run(shutdown.clone()),
            result_writer.run(results),
        );
    }
}

fn dispatcher(channel: Channel, max_in_flight: usize, per_user_per_minute: u32) -> Arc<Dispatcher> {
    let probes = ProbeIntervals::default();
    Dispatcher::new(channel, DispatcherSettings { max_in_flight, per_user_per_minute, probes })
}

fn push_channel(config: &Config) -> anyhow::Result<PushChannel> {
    let (account, endpoint) = (config.fcm.account.clone(), config.fcm.endpoint.clone());
    let max_checks = config.device_checks_max_in_flight;
    let mut settings = fcm::Settings::new(account, endpoint);
    settings.max_in_flight = config.push_max_in_flight;
    settings.connections = (settings.max_in_flight + max_checks).div_ceil(STREAMS) + 1;
    PushChannel::new(settings, Arc::clone(&config.templates), max_checks).context("FCM")
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
