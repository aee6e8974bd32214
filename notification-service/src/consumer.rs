//! Takes what is due from the notification queue into the ledger: a batch is a handful of set-based
//! statements and one transaction. From its commit on the ledger owns the deliveries and the
//! messages are done; an occurrence that is known already was delivered twice by the queue, and
//! nothing follows from it. The queue also brings revisions of what was released and erasures of
//! users, in any order.

mod ask;
mod batch;
mod late;
mod plan;
mod reconcile;
mod second_thoughts;
mod series;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use shared::{
    bus::{Received, Settlement},
    consumer::{
        Handler,
        isolation::{Attempt, Failure, Isolation, Outcome},
    },
    contract::{Channel, DeliveryState},
    db::{self, FailureClass},
    outbox::{self, Handoff},
};
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    clock::DbClock,
    delivery::{DeliveryKey, Dispatch, address_digest, reason},
    dispatch::{Dispatchers, LEASE, Recalls, is_urgent},
    preferences::Preferences,
    revision,
    store::{
        self,
        intake::{self, LiveDevice},
        pending_deliveries, preferences,
        revisions::{self, Overtaken},
    },
    waiting,
};
use ask::Asked;
use batch::{Batch, Reserved};
pub use late::Interruptions;
use plan::{Fate, Planned};
use reconcile::Answer;
use second_thoughts::Revise;
use series::{missed, series_of};

/// How long a batch waits for places in the lane of pushes: cheaper than to write it now and to
/// claim it later.
const PATIENCE: Duration = Duration::from_millis(250);

/// Ledger rows that one transaction of the intake writes at the most, unless a single occurrence
/// has more.
const MAX_ROWS: usize = 2_000;
/// Occurrences that one transaction revises at the most.
const MAX_REVISED: usize = 200;

/// Rows leased by a transaction of this process whose commit was not answered: their occurrences
/// and their own ids.
type Doubtful = HashSet<(Uuid, Uuid)>;

/// The handler of the notification queue.
pub struct Intake {
    /// The devices database.
    pub pool: PgPool,
    /// Its time.
    pub clock: Arc<DbClock>,
    /// The way to the relay.
    pub handoff: Handoff,
    /// Where deliveries go that can be sent at once.
    pub dispatchers: Dispatchers,
    /// What recalls those of them that a revision changed.
    pub recalls: Arc<Recalls>,
    /// Outages after which what comes may have been changed on its way.
    pub interruptions: Interruptions,
    /// Holds batches while the database is away, and finds what makes them fail.
    pub isolation: Isolation,
    /// Devices of one user that are sent to: the most recently seen ones.
    pub max_devices: usize,
    /// After how long others take over what is written as leased.
    pub takeover: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("write deliveries")]
    Sql(#[from] sqlx::Error),
    #[error("write an event as JSON")]
    Json(#[from] serde_json::Error),
}

impl Failure for Error {
    fn class(&self) -> FailureClass {
        match self {
            Self::Json(_) => FailureClass::Data,
            Self::Sql(error) => db::failure_class(error),
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

/// Writes occurrences and their deliveries, a bounded number of ledger rows in each transaction.
struct Take<'a> {
    intake: &'a Intake,
    /// Rows that earlier attempts left in doubt.
    doubtful: Mutex<Doubtful>,
}

impl<'a> Take<'a> {
    fn new(intake: &'a Intake) -> Self {
        Self { intake, doubtful: Mutex::default() }
    }
}

impl Attempt for Take<'_> {
    type Item = Dispatch;
    type Error = Error;

    async fn attempt(&self, dispatches: &[Dispatch]) -> Result<(), Error> {
        let mut doubtful = self.doubtful.lock().await;
        let mut rest = dispatches;
        while !rest.is_empty() {
            let taken = self.intake.try_take(rest, &mut doubtful).await?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
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
        let noted = self.note(&erasures).await;
        let mut erasing = Vec::with_capacity(erasures.len());
        for ((erasure, position), outcome) in erasures.into_iter().zip(positions).zip(noted) {
            match outcome {
                Outcome::Done => erasing.push((erasure, position)),
                undone => settle(position, &undone),
            }
        }
        let (revisions, positions): (Vec<_>, Vec<_>) = revisions.into_iter().unzip();
        for (outcome, position) in
            self.isolation.apply(&Revise(self), &revisions).await.iter().zip(positions)
        {
            settle(position, outcome);
        }
        let (dispatches, positions): (Vec<_>, Vec<_>) = sends.into_values().unzip();
        for (outcome, positions) in
            self.isolation.apply(&Take::new(self), &dispatches).await.iter().zip(positions)
        {
            for position in positions {
                settle(position, outcome);
            }
        }
        // After the sends: what a question brings to be sent is known by now.
        let (questions, positions): (Vec<_>, Vec<_>) = questions.into_iter().unzip();
        for (outcome, position) in
            self.isolation.apply(&Answer(self), &questions).await.iter().zip(positions)
        {
            if settlements[position] == Settlement::Done {
                settlements[position] = outcome.settlement(batch[position].receive_count);
            }
        }
        // Last: nothing else of the batch waits for what a user had.
        let (erasures, positions): (Vec<_>, Vec<_>) = erasing.into_iter().unzip();
        for (outcome, position) in self.erase(&erasures).await.iter().zip(positions) {
            settlements[position] = outcome.settlement(batch[position].receive_count);
        }
        settlements
    }
}

impl Intake {
    /// Writes the first of some occurrences with their deliveries, up to [`MAX_ROWS`] rows; returns
    /// how many. What overtook one of them on its way is found in the transaction, where it cannot
    /// change any more; they are then laid out anew.
    async fn try_take(
        &self,
        dispatches: &[Dispatch],
        doubtful: &mut Doubtful,
    ) -> Result<usize, Error> {
        let mut overtaken = HashMap::new();
        loop {
            let mut plan = self.plan(dispatches, &overtaken).await?;
            let any_held_up = self.pace(&mut plan.rows);
            if plan.rows.is_empty() {
                return Ok(plan.taken);
            }
            let reserved = self.reserve(&plan.rows).await;
            // Leases are counted from the transaction's beginning, so no later than from here.
            let lease_ends = Instant::now() + LEASE;
            let mut transaction = self.pool.begin().await?;
            revisions::share_intake(&mut *transaction).await?;
            let laid_out: Vec<&Dispatch> =
                plan.rows.iter().map(|(dispatch, _)| &**dispatch).collect();
            let mut found = revisions::overtaken(&mut *transaction, &laid_out).await?;
            // A cancellation overtakes its own version too: it is laid out already.
            found.retain(|occurrence, now| overtaken.get(occurrence) != Some(now));
            if found.is_empty() {
                self.write(transaction, &plan.rows, reserved, lease_ends, doubtful).await?;
                self.interruptions.wrote(any_held_up, Instant::now());
                return Ok(plan.taken);
            }
            transaction.rollback().await?;
            overtaken.extend(found);
        }
    }

    async fn write(
        &self,
        mut transaction: Transaction<'_, Postgres>,
        planned: &[(Arc<Dispatch>, Vec<Planned>)],
        mut reserved: Reserved,
        lease_ends: Instant,
        doubtful: &mut Doubtful,
    ) -> Result<(), Error> {
        let rows: Vec<&Dispatch> = planned.iter().map(|(dispatch, _)| &**dispatch).collect();
        let new = intake::insert_dispatches(&mut transaction, &rows).await?;
        let mut batch = Batch::begin(self.clock.now(), lease_ends);
        let new_ones = || planned.iter().filter(|it| new.contains(&it.0.occurrence_id()));
        let missed = self.miss(&mut transaction, new_ones(), &mut batch).await?;
        for (dispatch, rows) in new_ones() {
            for row in rows {
                batch.add(dispatch, row, missed.contains(&row.key), &mut reserved)?;
            }
        }
        if !new.is_empty() {
            intake::insert_deliveries(&mut transaction, &batch.rows, self.takeover).await?;
            outbox::insert(&mut *transaction, &batch.messages).await?;
        }
        if !doubtful.is_empty() {
            let released = intake::release(&mut transaction, doubtful).await?;
            (batch.pushes_wait, batch.emails_wait) =
                (batch.pushes_wait || released > 0, batch.emails_wait || released > 0);
        }
        if let Err(error) = transaction.commit().await {
            let leased = batch.rows.iter().filter(|row| row.leased);
            doubtful.extend(leased.map(|row| (row.key.occurrence_id, row.id)));
            return Err(error.into());
        }
        doubtful.clear();
        self.charge(planned, &new);
        self.hand_over(batch);
        Ok(())
    }

    /// Which deliveries that are to be deferred a later occurrence of the same item takes the place
    /// of; what was deferred before and is missed now ends, and the batch tells of it.
    async fn miss<'a>(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        planned: impl Iterator<Item = &'a (Arc<Dispatch>, Vec<Planned>)>,
        batch: &mut Batch<'_>,
    ) -> Result<HashSet<DeliveryKey>, Error> {
        let mut deferred = Vec::new();
        for (dispatch, rows) in planned {
            for row in rows.iter().filter(|row| matches!(row.fate, Fate::Deferred(_))) {
                deferred.push((
                    series_of(dispatch, row.key.channel),
                    dispatch.send.due_at,
                    row.key,
                ));
            }
        }
        let items: HashSet<_> =
            deferred.iter().map(|((user, source, item, _), ..)| (*user, *source, *item)).collect();
        if items.is_empty() {
            return Ok(HashSet::new());
        }
        let items: Vec<_> = items.into_iter().collect();
        let users: Vec<&str> = items.iter().map(|item| item.0).collect();
        pending_deliveries::hold_deferring(&mut **transaction, &users).await?;
        let stored = pending_deliveries::deferred_of_items(&mut *transaction, &items).await?;
        let known = stored.iter().map(|waiting| {
            let dispatch = &waiting.dispatch;
            (series_of(dispatch, waiting.key.channel), dispatch.send.due_at, waiting.key)
        });
        let missed = missed(deferred.into_iter().chain(known));
        let stored: Vec<_> =
            stored.iter().filter(|waiting| missed.contains(&waiting.key)).cloned().collect();
        batch.messages.extend(waiting::miss(&mut *transaction, &stored, self.clock.now()).await?);
        Ok(missed)
    }

    /// Looks up devices, suppressed addresses and preferences, makes each occurrence what its user
    /// prefers and lays out its rows: of as many of the occurrences as have no more than
    /// [`MAX_ROWS`] together, but of one at least.
    async fn plan(
        &self,
        dispatches: &[Dispatch],
        overtaken: &HashMap<Uuid, Overtaken>,
    ) -> Result<Plan, Error> {
        let devices = self.devices_of(dispatches).await?;
        let suppressed = self.suppressed_of(dispatches).await?;
        let preferences = self.preferences_of(dispatches).await?;
        let (now, nothing_said) = (self.clock.now(), Preferences::default());
        let mut plan = Plan { taken: 0, rows: Vec::with_capacity(dispatches.len()) };
        let mut left = MAX_ROWS;
        for dispatch in dispatches {
            let devices = devices.get(&dispatch.user_id).map_or(&[][..], Vec::as_slice);
            let preferences = preferences.get(&dispatch.user_id).unwrap_or(&nothing_said);
            let mut dispatch = dispatch.clone();
            let known = overtaken.get(&dispatch.occurrence_id());
            let rows = match make_up(&mut dispatch, known) {
                MadeUp::Erased => Vec::new(),
                MadeUp::Cancelled => plan::cancelled(&dispatch),
                MadeUp::Wanted => {
                    let until = plan::suit(&mut dispatch, preferences, now);
                    plan::rows(
                        &dispatch,
                        devices,
                        |digest| suppressed.contains(digest),
                        preferences,
                        until,
                        now,
                    )
                }
            };
            if rows.len() > left && plan.taken > 0 {
                break;
            }
            left = left.saturating_sub(rows.len());
            plan.taken += 1;
            if !rows.is_empty() {
                dispatch.deliveries = i32::try_from(rows.len()).unwrap_or(i32::MAX);
                plan.rows.push((Arc::new(dispatch), rows));
            }
        }
        Ok(plan)
    }

    async fn devices_of(
        &self,
        dispatches: &[Dispatch],
    ) -> Result<HashMap<String, Vec<LiveDevice>>, sqlx::Error> {
        let users: HashSet<&str> =
            with_channel(dispatches, Channel::Push).map(|it| it.user_id.as_str()).collect();
        let users: Vec<String> = users.into_iter().map(ToOwned::to_owned).collect();
        let mut devices = HashMap::<String, Vec<LiveDevice>>::with_capacity(users.len());
        if !users.is_empty() {
            for device in intake::live_devices(&self.pool, &users, self.max_devices).await? {
                devices.entry(device.user_id.clone()).or_default().push(device);
            }
        }
        Ok(devices)
    }

    async fn suppressed_of(
        &self,
        dispatches: &[Dispatch],
    ) -> Result<HashSet<Vec<u8>>, sqlx::Error> {
        let digests: Vec<Vec<u8>> = with_channel(dispatches, Channel::Email)
            .filter_map(|it| it.user_email.as_deref())
            .map(address_digest)
            .collect();
        if digests.is_empty() {
            Ok(HashSet::new())
        } else {
            intake::suppressed(&self.pool, &digests).await
        }
    }

    async fn preferences_of(
        &self,
        dispatches: &[Dispatch],
    ) -> Result<HashMap<String, Preferences>, sqlx::Error> {
        let users: HashSet<&str> = dispatches.iter().map(|it| it.user_id.as_str()).collect();
        let users: Vec<&str> = users.into_iter().collect();
        preferences::of_users(&self.pool, &users).await
    }

    /// Puts off what may have been changed on its way, and what a user has due beyond their pace.
    /// Nothing is charged before it is written. Returns whether an interruption held up any of it.
    fn pace(&self, planned: &mut [(Arc<Dispatch>, Vec<Planned>)]) -> bool {
        let (now, known, at) = (self.clock.now(), self.interruptions.known(), Instant::now());
        let mut any_held_up = false;
        let mut ahead = HashMap::<(Channel, bool, &str), u32>::new();
        for (dispatch, rows) in planned {
            let late = dispatch.arrival.and_then(|arrival| known.lateness(arrival, now, at));
            any_held_up |= late.is_some_and(|late| late.was_held_up);
            let settled = late.and_then(|late| late.waits_until(dispatch.send.expires_at, now));
            let settled = settled.map(|until| (until, reason::AWAITING_CHANGES));
            for row in rows.iter_mut().filter(|row| row.fate == Fate::Made) {
                let (channel, is_urgent) = (row.key.channel, is_urgent(dispatch));
                let before = ahead.entry((channel, is_urgent, &dispatch.user_id)).or_default();
                let turn = self.dispatchers.of(channel).earliest_start(
                    &dispatch.user_id,
                    is_urgent,
                    *before,
                    now,
                );
                row.not_before = settled.max(turn.map(|turn| (turn, reason::RATE_LIMITED)));
                *before += 1;
            }
        }
        any_held_up
    }

    async fn reserve(&self, planned: &[(Arc<Dispatch>, Vec<Planned>)]) -> Reserved {
        let count = |channel| {
            let share = self.dispatchers.of(channel).permits_per_user();
            let mut of_users = HashMap::<(bool, &str), usize>::new();
            for (dispatch, rows) in planned {
                let now = |row: &&Planned| row.fate == Fate::Made && row.not_before.is_none();
                let rows = rows.iter().filter(now).filter(|row| row.key.channel == channel).count();
                *of_users.entry((is_urgent(dispatch), &dispatch.user_id)).or_default() += rows;
            }
            of_users.into_values().map(|rows| rows.min(share)).sum()
        };
        let (push, email) = tokio::join!(
            self.dispatchers.push.reserve(count(Channel::Push), PATIENCE),
            self.dispatchers.email.reserve(count(Channel::Email), Duration::ZERO),
        );
        Reserved { push, email }
    }

    fn charge(&self, planned: &[(Arc<Dispatch>, Vec<Planned>)], new: &HashSet<Uuid>) {
        let now = self.clock.now();
        for (dispatch, rows) in planned.iter().filter(|it| new.contains(&it.0.occurrence_id())) {
            for channel in [Channel::Push, Channel::Email] {
                let made = rows
                    .iter()
                    .filter(|row| row.key.channel == channel && row.fate == Fate::Made)
                    .count();
                if made > 0 {
                    let made = u32::try_from(made).unwrap_or(u32::MAX);
                    self.dispatchers.of(channel).charge(
                        &dispatch.user_id,
                        is_urgent(dispatch),
                        made,
                        now,
                    );
                }
            }
        }
    }

    fn hand_over(&self, batch: Batch<'_>) {
        for (channel, jobs, left_waiting) in [
            (Channel::Push, batch.pushes, batch.pushes_wait),
            (Channel::Email, batch.emails, batch.emails_wait),
        ] {
            let lane = self.dispatchers.of(channel);
            lane.accept(jobs);
            if left_waiting {
                lane.notify_backlog();
            }
        }
        for row in batch.rows.iter().filter(|row| row.state != DeliveryState::Pending) {
            metrics::counter!(
                "reminders_deliveries_total",
                "channel" => row.key.channel.as_str(),
                "state" => row.state.as_str()
            )
            .increment(1);
        }
        self.handoff.after_commit(batch.messages);
    }
}

/// The first of some occurrences, laid out.
struct Plan {
    /// Number of dispatches taken.
    taken: usize,
    /// Their deliveries; none of those whose users were erased.
    rows: Vec<(Arc<Dispatch>, Vec<Planned>)>,
}

/// State of an occurrence after a newer version or an erasure overtook it.
enum MadeUp {
    Wanted,
    Cancelled,
    Erased,
}

/// Brings an occurrence to what overtook it: its newer version, which says something else or that
/// it is cancelled, or the erasure of its user.
fn make_up(dispatch: &mut Dispatch, overtaken: Option<&Overtaken>) -> MadeUp {
    match overtaken {
        None => MadeUp::Wanted,
        Some(Overtaken::Erased) => MadeUp::Erased,
        Some(Overtaken::Revised { version, content }) => {
            dispatch.version = *version;
            match content.clone() {
                Some(content) => {
                    revision::revise(&mut dispatch.send, content);
                    MadeUp::Wanted
                }
                None => MadeUp::Cancelled,
            }
        }
    }
}

fn with_channel(dispatches: &[Dispatch], channel: Channel) -> impl Iterator<Item = &Dispatch> {
    dispatches.iter().filter(move |it| it.send.content.channels.contains(&channel))
}
