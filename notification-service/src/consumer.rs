//! Takes what is due from the notification queue into the ledger: a batch is a handful of set-based statements and one
//! transaction. From its commit on the ledger owns the deliveries and the messages are done; an occurrence that is known
//! already was delivered twice by the queue, and nothing follows from it.

mod batch;
mod plan;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use shared::{
    bus::{Received, Settlement},
    consumer::Handler,
    contract::{Channel, DeliveryState, Envelope, EventType},
    db,
    outbox::{self, Handoff},
};
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    clock::DbClock,
    delivery::{Dispatch, address_digest},
    lanes::{LEASE, Lanes},
    preferences::Preferences,
    store::{
        intake::{self, LiveDevice},
        preferences,
    },
};
use batch::{Batch, Reserved};
use plan::{Fate, Planned};

/// How long a batch waits for places in the lane of pushes: cheaper than to write it now and to claim it later.
const PATIENCE: Duration = Duration::from_millis(250);
/// The pause before a batch that met trouble in the database is tried again, at first and at most. It is tried again in
/// place: every return to the queue would bring its messages nearer to the dead letters.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The handler of the notification queue.
pub struct Intake {
    /// The devices database.
    pub pool: PgPool,
    /// Its time.
    pub clock: Arc<DbClock>,
    /// The way to the relay.
    pub handoff: Handoff,
    /// Where deliveries go that can be sent at once.
    pub lanes: Lanes,
    /// Ends the waiting for a database that is away.
    pub shutdown: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("write deliveries")]
    Sql(#[from] sqlx::Error),
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// Whether what was written is to blame (SQLSTATE classes 22 and 23), and not the database or its schema.
    fn is_of_the_message(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
            }
            Self::Sql(sqlx::Error::Encode(_)) | Self::Json(_) => true,
            Self::Sql(_) => false,
        }
    }
}

impl Handler for Intake {
    async fn handle(&self, batch: &[Received]) -> Vec<Settlement> {
        let mut settlements = vec![Settlement::Done; batch.len()];
        // In the order of their ids, each once: two batches that share occurrences never wait for each other in a circle.
        let mut asked = BTreeMap::<Uuid, (Dispatch, Vec<usize>)>::new();
        for (position, message) in batch.iter().enumerate() {
            match read(message) {
                Ok(dispatch) => {
                    asked.entry(dispatch.occurrence_id()).or_insert_with(|| (dispatch, Vec::new())).1.push(position)
                }
                Err(reason) => settlements[position] = Settlement::Reject(reason),
            }
        }
        let (dispatches, positions): (Vec<_>, Vec<_>) = asked.into_values().unzip();
        let results = self.take(&dispatches).await;
        for (result, positions) in results.into_iter().zip(positions) {
            for position in positions {
                settlements[position] = result.clone();
            }
        }
        settlements
    }
}

/// What a message asks to be sent, or why it can never be.
fn read(message: &Received) -> Result<Dispatch, String> {
    let envelope = Envelope::decode(message).map_err(|error| error.to_string())?;
    if envelope.event_type != EventType::NotificationSend {
        return Err(format!("{} is not for this queue", envelope.event_type));
    }
    let send = envelope.send().map_err(|error| error.to_string())?;
    if send.content.channels.is_empty() {
        return Err("no channel".to_owned());
    }
    let Envelope { user_id, user_email, version, traceparent, .. } = envelope;
    Ok(Dispatch { user_id, user_email, version, send, deliveries: 0, traceparent })
}

impl Intake {
    /// Takes dispatches in; one by one when one of them cannot be written.
    async fn take(&self, dispatches: &[Dispatch]) -> Vec<Settlement> {
        match self.take_together(dispatches).await {
            Settlement::Reject(_) if dispatches.len() > 1 => {
                let mut settlements = Vec::with_capacity(dispatches.len());
                for dispatch in dispatches {
                    settlements.push(self.take_together(std::slice::from_ref(dispatch)).await);
                }
                settlements
            }
            settlement => vec![settlement; dispatches.len()],
        }
    }

    async fn take_together(&self, dispatches: &[Dispatch]) -> Settlement {
        let mut pause = AGAIN.0;
        loop {
            let error = match self.try_take(dispatches).await {
                Ok(()) => return Settlement::Done,
                Err(error) if error.is_of_the_message() => return Settlement::Reject(reason_of(&error)),
                Err(error) => error,
            };
            let is_transient = matches!(&error, Error::Sql(error) if db::is_transient(error));
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                is_transient,
                messages = dispatches.len(),
                "a batch could not be written; trying again"
            );
            tokio::select! {
                () = sleep(pause) => {}
                () = self.shutdown.cancelled() => return Settlement::RetryAfter(Duration::ZERO),
            }
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    async fn try_take(&self, dispatches: &[Dispatch]) -> Result<(), Error> {
        if dispatches.is_empty() {
            return Ok(());
        }
        let planned = self.plan(dispatches).await?;
        let mut reserved = self.reserve(&planned).await;
        let lease_ends = Instant::now() + LEASE;
        let mut transaction = self.pool.begin().await?;
        let rows: Vec<&Dispatch> = planned.iter().map(|(dispatch, _)| &**dispatch).collect();
        let new = intake::insert_dispatches(&mut transaction, &rows).await?;
        let mut batch = Batch::begin(self.clock.now(), lease_ends);
        for (dispatch, rows) in planned.iter().filter(|it| new.contains(&it.0.occurrence_id())) {
            for row in rows {
                batch.add(dispatch, row, &mut reserved)?;
            }
        }
        if !new.is_empty() {
            intake::insert_deliveries(&mut transaction, &batch.rows, LEASE).await?;
            outbox::insert(&mut *transaction, &batch.messages).await?;
        }
        transaction.commit().await?;
        self.hand_over(batch);
        Ok(())
    }

    /// Looks up devices, suppressed addresses and preferences of the whole batch, makes each occurrence what its user prefers and
    /// lays out its rows.
    async fn plan(&self, dispatches: &[Dispatch]) -> Result<Vec<(Arc<Dispatch>, Vec<Planned>)>, Error> {
        let devices = self.devices_of(dispatches).await?;
        let suppressed = self.suppressed_of(dispatches).await?;
        let preferences = self.preferences_of(dispatches).await?;
        let (now, nothing_said) = (self.clock.now(), Preferences::default());
        let mut planned = Vec::with_capacity(dispatches.len());
        for dispatch in dispatches {
            let devices = devices.get(&dispatch.user_id).map_or(&[][..], Vec::as_slice);
            let preferences = preferences.get(&dispatch.user_id).unwrap_or(&nothing_said);
            let mut dispatch = dispatch.clone();
            let until = plan::suit(&mut dispatch, preferences, now);
            let rows = plan::rows(&dispatch, devices, |digest| suppressed.contains(digest), preferences, until, now);
            dispatch.deliveries = i32::try_from(rows.len()).unwrap_or(i32::MAX);
            planned.push((Arc::new(dispatch), rows));
        }
        Ok(planned)
    }

    async fn devices_of(&self, dispatches: &[Dispatch]) -> Result<HashMap<String, Vec<LiveDevice>>, sqlx::Error> {
        let users: HashSet<&str> = with_channel(dispatches, Channel::Push).map(|it| it.user_id.as_str()).collect();
        let users: Vec<String> = users.into_iter().map(ToOwned::to_owned).collect();
        let mut devices = HashMap::<String, Vec<LiveDevice>>::with_capacity(users.len());
        if !users.is_empty() {
            for device in intake::live_devices(&self.pool, &users).await? {
                devices.entry(device.user_id.clone()).or_default().push(device);
            }
        }
        Ok(devices)
    }

    async fn suppressed_of(&self, dispatches: &[Dispatch]) -> Result<HashSet<Vec<u8>>, sqlx::Error> {
        let digests: Vec<Vec<u8>> = with_channel(dispatches, Channel::Email)
            .filter_map(|it| it.user_email.as_deref())
            .map(address_digest)
            .collect();
        if digests.is_empty() { Ok(HashSet::new()) } else { intake::suppressed(&self.pool, &digests).await }
    }

    async fn preferences_of(&self, dispatches: &[Dispatch]) -> Result<HashMap<String, Preferences>, sqlx::Error> {
        let users: HashSet<&str> = dispatches.iter().map(|it| it.user_id.as_str()).collect();
        let users: Vec<&str> = users.into_iter().collect();
        preferences::of_users(&self.pool, &users).await
    }

    async fn reserve(&self, planned: &[(Arc<Dispatch>, Vec<Planned>)]) -> Reserved {
        let count = |channel| {
            let rows = planned.iter().flat_map(|(_, rows)| rows);
            rows.filter(|row| row.key.channel == channel && row.fate == Fate::Made).count()
        };
        let (push, email) = tokio::join!(
            self.lanes.push.reserve(count(Channel::Push), PATIENCE),
            self.lanes.email.reserve(count(Channel::Email), Duration::ZERO),
        );
        Reserved { push, email }
    }

    fn hand_over(&self, batch: Batch<'_>) {
        for (channel, jobs, left_waiting) in
            [(Channel::Push, batch.pushes, batch.pushes_wait), (Channel::Email, batch.emails, batch.emails_wait)]
        {
            let lane = self.lanes.of(channel);
            lane.accept(jobs);
            if left_waiting {
                lane.left_waiting();
            }
        }
        for row in batch.rows.iter().filter(|row| row.state != DeliveryState::Pending) {
            metrics::counter!("deliveries_total", "channel" => row.key.channel.as_str(), "state" => row.state.as_str())
                .increment(1);
        }
        self.handoff.after_commit(batch.messages);
    }
}

fn with_channel(dispatches: &[Dispatch], channel: Channel) -> impl Iterator<Item = &Dispatch> {
    dispatches.iter().filter(move |it| it.send.content.channels.contains(&channel))
}

fn reason_of(error: &Error) -> String {
    match error {
        Error::Sql(sqlx::Error::Database(error)) => {
            format!("it cannot be stored: SQLSTATE {}", error.code().unwrap_or_default())
        }
        _ => "it cannot be stored".to_owned(),
    }
}
