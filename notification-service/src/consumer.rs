//! Takes what is due from the notification queue into the ledger: a batch is a handful of set-based statements and one
//! transaction. From its commit on the ledger owns the deliveries and the messages are done; an occurrence that is known
//! already was delivered twice by the queue, and nothing follows from it. The queue also brings revisions of what was released
//! and erasures of users, in any order.

mod ask;
mod batch;
mod plan;
mod reconcile;
mod second_thoughts;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use shared::{
    bus::{self, Received, Settlement, SharedBus},
    consumer::{
        Handler,
        isolation::{Attempt, Failure, Isolation, Outcome},
    },
    contract::{Channel, DeliveryState},
    db::{self, Blame},
    outbox::{self, Handoff},
};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::{
    clock::DbClock,
    delivery::{Dispatch, address_digest},
    lanes::{LEASE, Lanes},
    preferences::Preferences,
    revision,
    store::{
        intake::{self, LiveDevice},
        preferences,
        revisions::{self, Overtaken},
    },
    waiting,
};
use ask::Asked;
use batch::{Batch, Reserved};
use plan::{Fate, Planned};
use second_thoughts::Revise;

/// How long a batch waits for places in the lane of pushes: cheaper than to write it now and to claim it later.
const PATIENCE: Duration = Duration::from_millis(250);

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
    /// Holds batches while the database is away, and finds what makes them fail.
    pub isolation: Isolation,
    /// The bus and the queue whose dead letters are a part of an erasure.
    pub dead_letters: (SharedBus, String),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("write deliveries")]
    Sql(#[from] sqlx::Error),
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
    #[error("remove an erased user's dead letters")]
    Bus(#[from] bus::Error),
}

impl Failure for Error {
    fn blame(&self) -> Blame {
        match self {
            Self::Json(_) => Blame::Data,
            Self::Sql(error) => db::blame(error),
            Self::Bus(_) => Blame::Outage,
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => {
                format!("it cannot be stored: SQLSTATE {}", error.code().unwrap_or_default())
            }
            _ => "it cannot be stored".to_owned(),
        }
    }
}

/// Writes occurrences and their deliveries.
struct Take<'a>(&'a Intake);

impl Attempt for Take<'_> {
    type Item = Dispatch;
    type Error = Error;

    async fn attempt(&self, dispatches: &[Dispatch]) -> Result<(), Error> {
        self.0.try_take(dispatches).await
    }
}

impl From<waiting::Error> for Error {
    fn from(error: waiting::Error) -> Self {
        match error {
            waiting::Error::Sql(error) => Self::Sql(error),
            waiting::Error::Json(error) => Self::Json(error),
        }
    }
}

impl Handler for Intake {
    async fn handle(&self, batch: &[Received]) -> Vec<Settlement> {
        let mut settlements = vec![Settlement::Done; batch.len()];
        let Asked { sends, revisions, erasures, questions, rejected } = Asked::read(batch);
        for (position, reason) in rejected {
            settlements[position] = Settlement::Reject(reason);
        }
        let mut settle = |position: usize, outcome: &Outcome| {
            settlements[position] = outcome.settlement(batch[position].receive_count);
        };
        let (erasures, positions): (Vec<_>, Vec<_>) = erasures.into_iter().unzip();
        for (outcome, position) in self.erase(&erasures).await.iter().zip(positions) {
            settle(position, outcome);
        }
        let (revisions, positions): (Vec<_>, Vec<_>) = revisions.into_iter().unzip();
        for (outcome, position) in self.isolation.apply(&Revise(self), &revisions).await.iter().zip(positions) {
            settle(position, outcome);
        }
        let (dispatches, positions): (Vec<_>, Vec<_>) = sends.into_values().unzip();
        for (outcome, positions) in self.isolation.apply(&Take(self), &dispatches).await.iter().zip(positions) {
            for position in positions {
                settle(position, outcome);
            }
        }
        // After the sends: what a question brings to be sent is known by now.
        let (questions, positions): (Vec<_>, Vec<_>) = questions.into_iter().unzip();
        let answered = self.answer(&questions).await;
        for position in positions {
            if settlements[position] == Settlement::Done {
                settlements[position] = answered.clone();
            }
        }
        settlements
    }
}

impl Intake {
    /// Writes occurrences and their deliveries. What overtook one of them on its way is found in the transaction, where it
    /// cannot change any more; the batch is then laid out anew.
    async fn try_take(&self, dispatches: &[Dispatch]) -> Result<(), Error> {
        let mut asked = Cow::Borrowed(dispatches);
        let mut cancelled = HashSet::new();
        while !asked.is_empty() {
            let planned = self.plan(&asked, &cancelled).await?;
            let reserved = self.reserve(&planned).await;
            // Leases are counted from the transaction's beginning, so no later than from here.
            let lease_ends = Instant::now() + LEASE;
            let mut transaction = self.pool.begin().await?;
            revisions::share_intake(&mut *transaction).await?;
            let overtaken = revisions::overtaken(&mut *transaction, &asked).await?;
            if overtaken.is_empty() {
                return self.write(transaction, &planned, reserved, lease_ends).await;
            }
            transaction.rollback().await?;
            make_up(asked.to_mut(), &mut cancelled, &overtaken);
        }
        Ok(())
    }

    async fn write(
        &self,
        mut transaction: Transaction<'_, Postgres>,
        planned: &[(Arc<Dispatch>, Vec<Planned>)],
        mut reserved: Reserved,
        lease_ends: Instant,
    ) -> Result<(), Error> {
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
    async fn plan(
        &self,
        dispatches: &[Dispatch],
        cancelled: &HashSet<Uuid>,
    ) -> Result<Vec<(Arc<Dispatch>, Vec<Planned>)>, Error> {
        let devices = self.devices_of(dispatches).await?;
        let suppressed = self.suppressed_of(dispatches).await?;
        let preferences = self.preferences_of(dispatches).await?;
        let (now, nothing_said) = (self.clock.now(), Preferences::default());
        let mut planned = Vec::with_capacity(dispatches.len());
        for dispatch in dispatches {
            let devices = devices.get(&dispatch.user_id).map_or(&[][..], Vec::as_slice);
            let preferences = preferences.get(&dispatch.user_id).unwrap_or(&nothing_said);
            let mut dispatch = dispatch.clone();
            let rows = if cancelled.contains(&dispatch.occurrence_id()) {
                plan::cancelled(&dispatch)
            } else {
                let until = plan::suit(&mut dispatch, preferences, now);
                plan::rows(&dispatch, devices, |digest| suppressed.contains(digest), preferences, until, now)
            };
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

/// Brings occurrences to what overtook them: those of erased users are dropped, the others are what their newer version says, or
/// cancelled.
fn make_up(dispatches: &mut Vec<Dispatch>, cancelled: &mut HashSet<Uuid>, overtaken: &HashMap<Uuid, Overtaken>) {
    dispatches.retain_mut(|dispatch| match overtaken.get(&dispatch.occurrence_id()) {
        None => true,
        Some(Overtaken::Erased) => false,
        Some(Overtaken::Revised { version, content }) => {
            dispatch.version = *version;
            match content.clone() {
                Some(content) => revision::revise(&mut dispatch.send, content),
                None => {
                    cancelled.insert(dispatch.occurrence_id());
                }
            }
            true
        }
    });
}

fn with_channel(dispatches: &[Dispatch], channel: Channel) -> impl Iterator<Item = &Dispatch> {
    dispatches.iter().filter(move |it| it.send.content.channels.contains(&channel))
}
