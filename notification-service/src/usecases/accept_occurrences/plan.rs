//! Plan of the deliveries of a batch: looks up devices, suppressed addresses and preferences,
//! delays deliveries that must not begin yet, and reserves permits for the others.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use contract::{Channel, Reason};
use uuid::Uuid;

use super::{
    AcceptOccurrences, MAX_ROWS,
    ledger_batch::Reservations,
    planned_deliveries::{self, InitialState, PlannedDelivery},
};
use crate::{
    dispatch::is_urgent,
    domain::{
        delivery::{Dispatch, address_digest},
        preferences::Preferences,
        revision::{self, Change},
    },
    store::{
        intake::{self, LiveDevice},
        preferences,
        revisions::SupersededBy,
    },
};

/// Longest wait of a batch for permits of the push dispatcher: cheaper than to write rows without a
/// lease now and to claim them later.
const PATIENCE: Duration = Duration::from_millis(250);

/// Occurrence with the deliveries that are to be written.
pub(super) type PlannedOccurrence = (Arc<Dispatch>, Vec<PlannedDelivery>);

/// Deliveries of the first of some occurrences.
pub(super) struct Plan {
    /// Number of occurrences considered.
    pub(super) taken: usize,
    /// Occurrences with their deliveries, without those of erased users.
    pub(super) occurrences: Vec<PlannedOccurrence>,
}

/// State of an occurrence after a revision or an erasure superseded it.
enum Superseded {
    Wanted,
    Cancelled(Reason),
    Erased,
}

impl AcceptOccurrences {
    /// Plans the deliveries of as many of the occurrences as have no more than [`MAX_ROWS`]
    /// together, but of one at least.
    pub(super) async fn plan(
        &self,
        dispatches: &[Dispatch],
        superseded: &HashMap<Uuid, SupersededBy>,
    ) -> Result<Plan, sqlx::Error> {
        let devices = self.devices_of(dispatches).await?;
        let suppressed = self.suppressed_of(dispatches).await?;
        let preferences = self.preferences_of(dispatches).await?;
        let (now, default_preferences) = (self.clock.now(), Preferences::default());
        let mut plan = Plan { taken: 0, occurrences: Vec::with_capacity(dispatches.len()) };
        let mut left = MAX_ROWS;
        for dispatch in dispatches {
            let devices = devices.get(&dispatch.user_id).map_or(&[][..], Vec::as_slice);
            let preferences = preferences.get(&dispatch.user_id).unwrap_or(&default_preferences);
            let mut dispatch = dispatch.clone();
            let superseded = superseded.get(&dispatch.occurrence_id());
            let deliveries = match supersede(&mut dispatch, superseded) {
                Superseded::Erased => Vec::new(),
                Superseded::Cancelled(reason) => planned_deliveries::cancelled(&dispatch, reason),
                Superseded::Wanted if dispatch.send.ended.is_some() => {
                    planned_deliveries::ended(&dispatch)
                }
                Superseded::Wanted => {
                    // One that was released ahead meets the quiet hours of its due time.
                    let now = now.max(dispatch.send.due_at);
                    let deferred_until =
                        planned_deliveries::apply_preferences(&mut dispatch, preferences, now);
                    planned_deliveries::plan(
                        &dispatch,
                        devices,
                        |digest| suppressed.contains(digest),
                        preferences,
                        deferred_until,
                        now,
                    )
                }
            };
            if deliveries.len() > left && plan.taken > 0 {
                break;
            }
            left = left.saturating_sub(deliveries.len());
            plan.taken += 1;
            if !deliveries.is_empty() {
                dispatch.deliveries = i32::try_from(deliveries.len()).unwrap_or(i32::MAX);
                plan.occurrences.push((Arc::new(dispatch), deliveries));
            }
        }
        Ok(plan)
    }

    /// Delays occurrences that may have been changed on their way, and deliveries beyond their
    /// user's rate. Nothing is charged before it is written. Returns `true` if an interruption
    /// delayed any of the occurrences.
    pub(super) fn delay(&self, planned: &mut [PlannedOccurrence]) -> bool {
        let (now, known, at) = (self.clock.now(), self.interruptions.known(), Instant::now());
        let mut any_delayed = false;
        let mut ahead = HashMap::<(Channel, bool, &str), u32>::new();
        for (dispatch, deliveries) in planned {
            let lateness = dispatch.arrival.and_then(|arrival| known.lateness(arrival, now, at));
            any_delayed |= lateness.is_some_and(|lateness| lateness.was_interrupted);
            let changes_by = lateness
                .and_then(|lateness| lateness.waits_until(dispatch.send.expires_at, now))
                .map(|until| (until, Reason::AwaitingChanges));
            for delivery in deliveries.iter_mut().filter(|row| row.state == InitialState::Pending) {
                let (channel, is_urgent) = (delivery.key.channel, is_urgent(dispatch));
                let user = dispatch.user_id.as_str();
                let before = ahead.entry((channel, is_urgent, user)).or_default();
                let start =
                    self.dispatchers.of(channel).earliest_start(user, is_urgent, *before, now);
                delivery.not_before =
                    changes_by.max(start.map(|start| (start, Reason::RateLimited)));
                *before += 1;
            }
        }
        any_delayed
    }

    /// Reserves permits for the deliveries that may begin now.
    pub(super) async fn reserve(&self, planned: &[PlannedOccurrence]) -> Reservations {
        let count = |channel| {
            let limit = self.dispatchers.of(channel).permits_per_user();
            let mut of_users = HashMap::<(bool, &str), usize>::new();
            for (dispatch, deliveries) in planned {
                let may_begin = |delivery: &&PlannedDelivery| {
                    delivery.key.channel == channel
                        && delivery.state == InitialState::Pending
                        && delivery.not_before.is_none()
                };
                let deliveries = deliveries.iter().filter(may_begin).count();
                let key = (is_urgent(dispatch), dispatch.user_id.as_str());
                *of_users.entry(key).or_default() += deliveries;
            }
            of_users.into_values().map(|deliveries| deliveries.min(limit)).sum()
        };
        let (push, email) = tokio::join!(
            self.dispatchers.push.reserve(count(Channel::Push), PATIENCE),
            self.dispatchers.email.reserve(count(Channel::Email), Duration::ZERO),
        );
        Reservations { push, email }
    }

    async fn devices_of(
        &self,
        dispatches: &[Dispatch],
    ) -> Result<HashMap<String, Vec<LiveDevice>>, sqlx::Error> {
        let users: HashSet<&str> = with_channel(dispatches, Channel::Push)
            .map(|dispatch| dispatch.user_id.as_str())
            .collect();
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
            .filter_map(|dispatch| dispatch.user_email.as_deref())
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
        let users: HashSet<&str> =
            dispatches.iter().map(|dispatch| dispatch.user_id.as_str()).collect();
        let users: Vec<&str> = users.into_iter().collect();
        preferences::of_users(&self.pool, &users).await
    }
}

/// Applies to an occurrence the revision or erasure that superseded it, if any.
fn supersede(dispatch: &mut Dispatch, superseded: Option<&SupersededBy>) -> Superseded {
    match superseded {
        None => Superseded::Wanted,
        Some(SupersededBy::Erasure) => Superseded::Erased,
        Some(SupersededBy::Revision { version, change }) => {
            dispatch.version = *version;
            match change.clone() {
                Change::Content(content) => {
                    revision::replace_content(&mut dispatch.send, content);
                    Superseded::Wanted
                }
                Change::Cancellation(reason) => Superseded::Cancelled(reason),
            }
        }
    }
}

fn with_channel(dispatches: &[Dispatch], channel: Channel) -> impl Iterator<Item = &Dispatch> {
    dispatches.iter().filter(move |dispatch| dispatch.send.content.channels.contains(&channel))
}
