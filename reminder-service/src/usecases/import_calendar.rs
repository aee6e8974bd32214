//! Import of a calendar file: its entries become reminders, or update those of an earlier import.
//!
//! Rules are expanded outside of a transaction. The reminders of an earlier import are read, the
//! effect of each entry is planned, and the plan is applied if the reminders are still the same;
//! otherwise it is planned again. Imports of one user wait for each other.

mod apply;
mod plan;

use std::sync::Arc;

use contract::Channel;
use serde::Serialize;
use service::idempotency::{self, IdempotencyKey, Start};
use uuid::Uuid;

use super::{
    Answer, Error, OK, Resources, accept_address::accept_address, compute::off_thread,
    create_reminders::accept_addresses,
};
use crate::{
    domain::{
        calendar::{Counterpart, Entry, Identity, Import, Note, Refused, identities},
        caller::Origin,
        reminder::{Channels, Details, InvalidDetails},
    },
    store,
};
use apply::{Applied, Changes};
use plan::{Action, Comparison, compared, older_versions};

/// Number of plans of one import before it is refused.
const MAX_ATTEMPTS: usize = 8;

/// Treatment of entries that were imported before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// They update their reminders.
    #[default]
    Sync,
    /// They become further reminders.
    Add,
}

/// Entries of a calendar file that are to be imported.
#[derive(Debug)]
pub struct CalendarImport {
    file: Import,
    details: Vec<Result<Details, InvalidDetails>>,
    identities: Vec<Identity>,
    mode: Mode,
    is_atomic: bool,
}

/// An entry with the fields of the reminder that it becomes.
#[derive(Debug)]
struct ImportedEntry {
    entry: Entry,
    details: Result<Details, InvalidDetails>,
    identity: Identity,
}

/// Effect of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A reminder was created.
    Created,
    /// The reminder of an earlier import was updated.
    Updated,
    /// The reminder of an earlier import is as the entry says, or newer, or its user changed it.
    Unchanged,
}

/// Result of an entry.
#[derive(Debug)]
pub struct EntryResult {
    /// First line of the entry.
    pub line: usize,
    /// UID of the entry.
    pub uid: Option<String>,
    /// Title of the entry.
    pub title: Option<String>,
    /// Effect of the entry and the id of its reminder, or the reason of its refusal.
    pub result: Result<(Effect, Uuid), Error>,
}

/// Result of an import.
#[derive(Debug)]
pub struct Imported {
    /// Results of the entries. If nothing was changed, those that are not refused are left out.
    pub entries: Vec<EntryResult>,
    /// Components and lines of the file that were refused.
    pub refused: Vec<Refused>,
    /// Parts of entries that were left out.
    pub notes: Vec<Note>,
}

impl CalendarImport {
    /// Computes the reminders of the entries, which may take time. `is_atomic` changes no reminder
    /// if an entry is refused.
    #[must_use]
    pub fn of(file: Import, mode: Mode, is_atomic: bool) -> Self {
        let details = file.entries.iter().map(Entry::details).collect();
        let identities = identities(&file.entries);
        Self { file, details, identities, mode, is_atomic }
    }

    /// Delivers by push the entries that would be delivered by e-mail because of their alarms.
    fn replace_email_alarms(&mut self, reason: &str) {
        for (entry, details) in self.file.entries.iter().zip(&mut self.details) {
            if let (Some(_), Ok(details)) = (entry.email_alarm, details) {
                details.channels = Channels::default();
            }
        }
        self.file.replace_email_alarms(reason);
    }
}

impl ImportedEntry {
    fn with(&self, result: Result<(Effect, Uuid), Error>) -> EntryResult {
        let Entry { line, uid, title, .. } = &self.entry;
        EntryResult { line: *line, uid: uid.clone(), title: title.clone(), result }
    }
}

/// Imports a calendar file once per idempotency key. `answer` makes the answer, which is stored for
/// the key if the import is committed.
///
/// # Errors
/// [`Error`]: no reminder was created or changed.
pub async fn import_calendar<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    mut import: CalendarImport,
    answer: impl FnOnce(Imported) -> A,
) -> Result<Answer<A>, Error> {
    if import.file.has_email_alarms()
        && let Some(refusal) = refused_email(resources, origin).await?
    {
        import.replace_email_alarms(refusal.to_string().trim_start_matches("channels: "));
    }
    let CalendarImport { file, details, identities, mode, is_atomic } = import;
    let Import { entries, refused, mut notes } = file;
    let user_id = &origin.caller.user_id;
    let entries = entries.into_iter().zip(details).zip(&identities);
    let entries: Arc<[_]> = entries
        .map(|((entry, details), identity)| ImportedEntry {
            entry,
            details,
            identity: identity.clone(),
        })
        .collect();
    for _ in 0..MAX_ATTEMPTS {
        let found = match mode {
            Mode::Sync => store::counterparts(&resources.pool, user_id, &identities).await?,
            Mode::Add => vec![None; entries.len()],
        };
        let actions = plan(resources, origin, &entries, &identities, &found).await?;
        let older = older_versions(&entries, &actions);
        let changes = Changes::of(actions, origin);
        // Before the transaction begins, since this takes a connection of its own. A repeat is
        // answered even if the address is not accepted any more.
        let accepted = accept_addresses(resources, origin, changes.channels()).await;
        let mut once = match idempotency::once(&resources.pool, user_id, key).await? {
            Start::First(once) => once,
            Start::Repeat(replay) => return Ok(Answer::Repeat(replay)),
        };
        accepted?;
        let connection = once.connection();
        store::lock_imports(connection, user_id).await?;
        if mode == Mode::Sync
            && store::counterparts(&mut *connection, user_id, &identities).await? != found
        {
            once.rollback().await?;
            continue;
        }
        let Applied { results, messages } =
            changes.apply(connection, user_id, &identities, resources.quota.max()).await?;
        let is_refused = !refused.is_empty() || results.iter().any(Result::is_err);
        let is_rolled_back = is_atomic && is_refused;
        let count =
            |effect| results.iter().flatten().filter(|(found, _)| *found == effect).count() as u64;
        let (created, updated) = (count(Effect::Created), count(Effect::Updated));
        let mut results: Vec<_> =
            entries.iter().zip(results).map(|(entry, result)| entry.with(result)).collect();
        if is_rolled_back {
            results.retain(|entry| entry.result.is_err());
        } else {
            notes.extend(older);
            notes.sort_by_key(|note| note.line);
        }
        let answer = answer(Imported { entries: results, refused, notes });
        if is_rolled_back {
            once.rollback().await?;
            return Ok(Answer::First(answer));
        }
        once.commit(OK, Some(&answer)).await?;
        metrics::counter!("reminders_created_total").increment(created);
        metrics::counter!("reminders_updated_total").increment(updated);
        resources.quota.invalidate(user_id);
        resources.relay_handle.after_commit(messages);
        return Ok(Answer::First(answer));
    }
    Err(Error::Contended)
}

/// Plans the effect of each entry.
async fn plan(
    resources: &Resources,
    origin: &Origin,
    entries: &Arc<[ImportedEntry]>,
    identities: &[Identity],
    counterparts: &[Option<Counterpart>],
) -> Result<Vec<Result<Action, Error>>, Error> {
    let caller = origin.caller.clone();
    let ids = compared(identities, counterparts);
    let stored = match ids.is_empty() {
        true => Vec::new(),
        false => store::read_some(&resources.pool, &caller.user_id, &ids).await?,
    };
    let stored = stored.into_iter().map(|seen| (seen.value.id, seen)).collect();
    let (entries, counterparts) = (Arc::clone(entries), counterparts.to_vec());
    let user_id = caller.user_id.clone();
    let planned = off_thread(&user_id, move || {
        Comparison { entries: &entries, counterparts: &counterparts, stored }.actions(&caller)
    });
    Ok(planned.await?)
}

/// Reason for which the caller cannot be reached by e-mail; `None` if there is none.
async fn refused_email(resources: &Resources, origin: &Origin) -> Result<Option<Error>, Error> {
    let email = Channels::from_fields(Some(Channel::Email), None)?.unwrap_or_default();
    if let Err(unusable) = origin.caller.check_channels(&email) {
        return Ok(Some(unusable.into()));
    }
    match accept_address(resources, &origin.caller, &email).await {
        Err(refusal @ Error::TooManyAddresses { .. }) => Ok(Some(refusal)),
        accepted => accepted.map(|()| None),
    }
}
