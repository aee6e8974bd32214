//! Changes of an import, in one transaction.

use service::outbox::OutboxMessage;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    super::{
        Error,
        create_reminders::{Draft, write_drafts},
    },
    Effect,
    plan::Action,
};
use crate::{
    domain::{
        calendar::{Identity, Unchanged},
        caller::Origin,
        events,
        reminder::Channels,
    },
    store::{self, ChangedReminder, Unstamped},
};

/// Actions of an import with the messages that they publish.
pub(super) struct Changes {
    drafts: Vec<Result<Draft, Error>>,
    updates: Vec<ChangedReminder>,
    /// Step of each entry, or its refusal.
    steps: Vec<Result<Step, Error>>,
}

/// Step of an entry: it takes the next draft, its reminder is updated, or is kept.
enum Step {
    Create,
    Update(Uuid),
    Keep {
        id: Uuid,
        /// `true` if its entry or the version differs from that of the last import.
        is_recorded: bool,
    },
}

/// Result of an import before its commit.
pub(super) struct Applied {
    /// Effect of each entry with its reminder, or the reason of its refusal.
    pub(super) results: Vec<Result<(Effect, Uuid), Error>>,
    /// Messages to publish after the commit.
    pub(super) messages: Vec<OutboxMessage>,
}

impl Changes {
    /// Makes the messages of the actions.
    pub(super) fn of(actions: Vec<Result<Action, Error>>, origin: &Origin) -> Self {
        let mut changes = Self {
            drafts: Vec::new(),
            updates: Vec::new(),
            steps: Vec::with_capacity(actions.len()),
        };
        for action in actions {
            let step = action.and_then(|action| changes.step(action, origin));
            changes.steps.push(step);
        }
        changes
    }

    fn step(&mut self, action: Action, origin: &Origin) -> Result<Step, Error> {
        match action {
            Action::Keep { id, reason } => {
                let is_recorded =
                    matches!(reason, None | Some(Unchanged::SameEntry { is_newer: true }));
                Ok(Step::Keep { id, is_recorded })
            }
            Action::Create(details) => {
                self.drafts.push(Draft::of(*details, origin));
                Ok(Step::Create)
            }
            Action::Update { after, is_rescheduled } => {
                let event = events::updated(origin, &after)?;
                let message = Unstamped::of(&event)?;
                let id = after.id;
                self.updates.push(ChangedReminder {
                    reminder: *after,
                    is_rescheduled,
                    condition: None,
                    message,
                });
                Ok(Step::Update(id))
            }
        }
    }

    /// Channels of the reminders that are created or changed.
    pub(super) fn channels(&self) -> impl Iterator<Item = &Channels> + Send {
        let created = self.drafts.iter().flatten().map(Draft::channels);
        created.chain(self.updates.iter().map(|update| &update.reminder.details.channels))
    }

    /// Writes the changes, up to `max` reminders of the user, and records which entries became
    /// which reminders.
    pub(super) async fn apply(
        self,
        connection: &mut PgConnection,
        user_id: &str,
        identities: &[Identity],
        max: u32,
    ) -> Result<Applied, Error> {
        let Self { drafts, updates, steps } = self;
        let (created, mut messages) = match drafts.is_empty() {
            true => (Vec::new(), Vec::new()),
            false => write_drafts(connection, user_id, drafts, max).await?,
        };
        let mut updated = match updates.is_empty() {
            true => Default::default(),
            false => store::update_many(connection, user_id, &updates).await?,
        };
        for update in updates {
            if let Some((version, at)) = updated.get(&update.reminder.id) {
                messages.push(update.message.stamped(*at, *version));
            }
        }
        let mut created = created.into_iter();
        let mut result = |step: Step| match step {
            Step::Create => created
                .next()
                .unwrap_or(Err(Error::NoDeliveryAhead))
                .map(|id| (Effect::Created, id)),
            Step::Update(id) => match updated.remove(&id) {
                Some(_) => Ok((Effect::Updated, id)),
                None => Err(Error::NoDeliveryAhead),
            },
            Step::Keep { id, .. } => Ok((Effect::Unchanged, id)),
        };
        let (mut results, mut imports) = (Vec::with_capacity(steps.len()), Vec::new());
        for (step, identity) in steps.into_iter().zip(identities) {
            let is_recorded = !matches!(step, Ok(Step::Keep { is_recorded: false, .. }));
            let result = step.and_then(&mut result);
            if let Ok((_, id)) = result
                && is_recorded
            {
                imports.push((identity, id));
            }
            results.push(result);
        }
        if !imports.is_empty() {
            store::record_imports(connection, user_id, &imports).await?;
        }
        Ok(Applied { results, messages })
    }
}
