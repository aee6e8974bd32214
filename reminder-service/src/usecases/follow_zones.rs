//! Floating reminders follow the zones of their users.
//!
//! One process at a time, by a lease, reads from notification-service which zones changed, and
//! moves the floating reminders of these users, a batch of each user in turn. Each batch is an
//! ordinary change of its reminders with their events in one transaction. No transaction is open
//! while another service is asked, or rules are expanded: a reminder that changed meanwhile is
//! planned again. Changes are read again until they are applied, so that nothing is lost with a
//! process, and applying one again changes nothing.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use contract::{Channel, Traceparent};
use db::FailureClass;
use uuid::Uuid;

use super::{Error, Resources, accept_address::accept_address, compute::off_thread};
use crate::{
    domain::{
        caller::{Caller, Origin},
        events,
        reminder::{Reminder, TimeZone},
    },
    peers::ZoneChange,
    store::{self, ChangedReminder, Condition, FeedLease, Seen, Unstamped},
};

/// Time after which another process reads the changes if the one that did has ended.
const LEASE: Duration = Duration::from_secs(15);
/// Time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);
/// Reminders of one user that are moved in one transaction.
const BATCH: usize = 200;
/// Batches between two renewals of the lease.
const BATCHES: usize = 20;
/// Users in memory from which on no further changes are read.
const MAX_USERS: usize = 1_000;

/// Follower of the changes of zones.
#[derive(Debug)]
pub struct ZoneFollower {
    resources: Resources,
    /// Name of this process in the lease.
    holder: Uuid,
    /// Cursor behind the changes that were read; `None` before the first.
    cursor: Option<String>,
    /// Users whose reminders are not all moved yet, in turn.
    moves: VecDeque<Move>,
    /// Time from which on changes are read again.
    next_reading: Instant,
    /// Time up to which all changes are read, or others read them.
    current: Instant,
}

/// Move of a user's floating reminders.
#[derive(Debug)]
struct Move {
    caller: Caller,
    zone: TimeZone,
    /// Last reminder that was moved or left.
    after: Uuid,
    /// `true` if a reminder changed while its move was planned, so that all are read again.
    is_repeated: bool,
}

/// State after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Following {
    /// There is no floating reminder.
    Unneeded,
    /// Another process reads the changes.
    Other,
    /// Everything that was read is applied.
    Current,
    /// Further changes are to be read or applied.
    Behind,
}

impl ZoneFollower {
    /// A follower that has read nothing yet.
    #[must_use]
    pub fn new(resources: Resources) -> Self {
        Self {
            resources,
            holder: Uuid::new_v4(),
            cursor: None,
            moves: VecDeque::new(),
            next_reading: Instant::now(),
            current: Instant::now(),
        }
    }

    /// Time since which changes may not be known yet.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.current.elapsed()
    }

    /// Reads changes if it is time, and moves some reminders.
    ///
    /// # Errors
    /// [`Error`]: a step to repeat later. What is applied stays.
    pub async fn step(&mut self) -> Result<Following, Error> {
        let applied = self.cursor.as_deref().filter(|_| self.moves.is_empty());
        match store::lease_feed(&self.resources.pool, self.holder, LEASE, applied).await? {
            FeedLease::Held { is_new: false, .. } => {}
            // What another process has read meanwhile may be newer.
            FeedLease::Held { position, is_new: true } => self.begin_at(position),
            other => {
                self.begin_at(None);
                self.current = Instant::now();
                let is_read = other == FeedLease::Other;
                return Ok(if is_read { Following::Other } else { Following::Unneeded });
            }
        }
        let is_time = self.moves.len() < MAX_USERS && self.next_reading <= Instant::now();
        let read = if is_time { self.read().await } else { Ok(()) };
        self.move_some().await?;
        read?;
        let is_current = self.moves.is_empty() && self.next_reading > Instant::now();
        Ok(if is_current { Following::Current } else { Following::Behind })
    }

    fn begin_at(&mut self, position: Option<String>) {
        (self.cursor, self.next_reading) = (position, Instant::now());
        self.moves.clear();
    }

    /// Reads changes, and notes those users who have floating reminders in another zone.
    async fn read(&mut self) -> Result<(), Error> {
        let Resources { pool, peers, .. } = &self.resources;
        let read = peers.zone_changes(self.cursor.as_deref()).await?;
        let changes: Vec<(ZoneChange, TimeZone)> =
            read.changes.into_iter().filter_map(with_known_zone).collect();
        let (users, zones): (Vec<&str>, Vec<&str>) =
            changes.iter().map(|(change, zone)| (change.user_id.as_str(), zone.name())).unzip();
        let elsewhere = store::users_elsewhere(pool, &users, &zones).await?;
        let elsewhere: HashSet<String> = elsewhere.into_iter().collect();
        for (change, zone) in changes {
            if elsewhere.contains(&change.user_id) {
                self.note(change, zone);
            }
        }
        self.cursor = Some(read.next);
        if !read.has_more {
            self.current = Instant::now();
            self.next_reading = Instant::now() + INTERVAL;
        }
        Ok(())
    }

    /// Notes the zone of a user. One in progress goes on, unless the zone changed again.
    fn note(&mut self, change: ZoneChange, zone: TimeZone) {
        let ZoneChange { user_id, email, .. } = change;
        let email_verified = email.is_some();
        let caller = Caller { user_id, email: email.unwrap_or_default(), email_verified };
        let known = self.moves.iter_mut().find(|known| known.caller.user_id == caller.user_id);
        match known {
            Some(known) if known.zone == zone => {}
            Some(known) => *known = Move::new(caller, zone),
            None => self.moves.push_back(Move::new(caller, zone)),
        }
    }

    /// Moves a batch of each of the first users in turn. A user whose reminders the database
    /// refuses to change is left; the others must not wait for that.
    async fn move_some(&mut self) -> Result<(), Error> {
        for _ in 0..BATCHES {
            let Some(mut first) = self.moves.pop_front() else { return Ok(()) };
            match first.move_batch(&self.resources, self.holder).await {
                Ok(Batch::More) => self.moves.push_back(first),
                Ok(Batch::Last) => {}
                Ok(Batch::LeaseLost) => {
                    self.moves.push_front(first);
                    return Ok(());
                }
                Err(error) if is_of_user(&error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "floating reminders of a user were not moved to another zone"
                ),
                Err(error) => {
                    self.moves.push_back(first);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Result of a batch.
enum Batch {
    /// There may be more reminders to move.
    More,
    /// All reminders are moved.
    Last,
    /// Nothing was changed, as the lease has ended.
    LeaseLost,
}

impl Move {
    fn new(caller: Caller, zone: TimeZone) -> Self {
        Self { caller, zone, after: Uuid::nil(), is_repeated: false }
    }

    /// Moves the next reminders while the lease lasts.
    async fn move_batch(&mut self, resources: &Resources, holder: Uuid) -> Result<Batch, Error> {
        let (user_id, zone) = (&self.caller.user_id, self.zone);
        let pool = &resources.pool;
        let read = store::floating_elsewhere(pool, user_id, zone, self.after, BATCH as i64).await?;
        let is_last = read.len() < BATCH;
        let last = read.last().map_or(self.after, |(id, _)| *id);
        let seen: Vec<_> = read.into_iter().filter_map(|(_, seen)| seen.ok()).collect();
        let origin = Origin {
            caller: self.accepted(resources, &seen).await?,
            traceparent: Traceparent::generate(),
        };
        let plans = off_thread(user_id, move || {
            seen.into_iter().filter_map(|seen| plan(seen, zone, &origin)).collect::<Vec<_>>()
        });
        let plans = plans.await?;
        if !plans.is_empty() {
            let mut transaction = pool.begin().await?;
            if !store::hold_feed(&mut transaction, holder).await? {
                return Ok(Batch::LeaseLost);
            }
            let moved = store::update_many(&mut transaction, user_id, &plans).await?;
            transaction.commit().await?;
            self.is_repeated |= moved.len() < plans.len();
            metrics::counter!("reminders_updated_total").increment(moved.len() as u64);
            resources.relay_handle.after_commit(plans.into_iter().filter_map(|plan| {
                let (version, at) = moved.get(&plan.reminder.id)?;
                Some(plan.message.stamped(*at, *version))
            }));
        }
        self.after = last;
        if !is_last {
            return Ok(Batch::More);
        }
        self.after = Uuid::nil();
        Ok(if std::mem::take(&mut self.is_repeated) { Batch::More } else { Batch::Last })
    }

    /// The user, without an address beyond the daily limit, as if it was not verified.
    async fn accepted(
        &self,
        resources: &Resources,
        seen: &[Seen<Reminder>],
    ) -> Result<Caller, Error> {
        let mut caller = self.caller.clone();
        let mut channels = seen.iter().map(|seen| &seen.value.details.channels);
        if let Some(channels) = channels.find(|channels| channels.contains(Channel::Email))
            && caller.email_verified
        {
            match accept_address(resources, &caller, channels).await {
                Err(Error::TooManyAddresses { .. }) => caller.email_verified = false,
                accepted => accepted?,
            }
        }
        Ok(caller)
    }
}

/// The zone of a change: UTC if the preferences name none. A zone that the time zone database in
/// use does not have is left out: the reminders stay in their zone.
fn with_known_zone(change: ZoneChange) -> Option<(ZoneChange, TimeZone)> {
    let zone = change.time_zone.as_deref().map(TimeZone::parse).unwrap_or(Ok(TimeZone::default()));
    if zone.is_err() {
        tracing::warn!(
            time_zone = change.time_zone.as_deref(),
            "time zone of a user is unknown to the time zone database in use and is not followed"
        );
    }
    Some((change, zone.ok()?))
}

/// Plans the move of a reminder; `None` if it stays.
fn plan(
    Seen { value: before, now }: Seen<Reminder>,
    zone: TimeZone,
    origin: &Origin,
) -> Option<ChangedReminder> {
    let moved = before.moved_to(zone, now)?;
    let message = Unstamped::of(&events::updated(origin, &moved.reminder).ok()?).ok()?;
    Some(ChangedReminder {
        condition: Some(Condition {
            effective_at: moved.effective_at,
            valid_until: moved.valid_until,
        }),
        is_rescheduled: true,
        reminder: moved.reminder,
        message,
    })
}

/// Returns `true` if the cause of an error is in a user's reminders.
fn is_of_user(error: &Error) -> bool {
    match error {
        Error::Sql(error) => {
            !matches!(db::failure_class(error), FailureClass::Outage | FailureClass::Conflict)
        }
        Error::Task(_) => true,
        _ => false,
    }
}
