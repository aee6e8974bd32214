//! Use cases of the service. Each combines a transaction, the domain's rules, the store and the
//! outbox.

mod accept_address;
mod acknowledge_occurrence;
mod change_occurrence;
mod change_reminder;
mod compute;
mod create_feed;
mod create_reminder;
mod create_reminders;
mod delete_reminder;
mod erase_user;
mod error;
mod export_calendar;
mod export_user;
mod find_due;
mod follow_zones;
mod import_calendar;
mod list_agenda;
mod list_by_next_delivery;
mod optimistic_update;
mod pause_reminder;
mod rank;
mod read_last_outcomes;
mod read_pages;
mod read_user_zone;
mod republish_reminders;
mod revoke_feed;
mod rotate_feed;
mod snooze_occurrence;

use service::{idempotency::Replay, outbox::RelayHandle};
use sqlx::PgPool;

use crate::{
    domain::{email_addresses::EmailAddresses, quota::Quota},
    peers::Peers,
};

pub use acknowledge_occurrence::acknowledge_occurrence;
pub use change_occurrence::{change_following, change_occurrence};
pub use change_reminder::change_reminder;
pub use compute::TaskError;
pub(crate) use compute::off_thread;
pub use create_feed::create_feed;
pub use create_reminder::create_reminder;
pub use create_reminders::create_reminders;
pub use delete_reminder::delete_reminder;
pub use erase_user::{Erased, erase_user};
pub use error::Error;
pub use export_calendar::{CalendarExport, MAX_REMINDERS as CALENDAR_REMINDERS, export_calendar};
pub use export_user::{UserExport, export_user};
pub use find_due::{DueRecurring, find_due};
pub use follow_zones::{Following, ZoneFollower};
pub use import_calendar::{CalendarImport, Effect, EntryResult, Imported, Mode, import_calendar};
pub use list_agenda::{AgendaEntry, AgendaPage, list_agenda};
pub use list_by_next_delivery::{NextDeliveryPage, list_by_next_delivery};
pub use optimistic_update::Updated;
pub use pause_reminder::{pause_reminder, resume_reminder};
pub use read_last_outcomes::{LastOutcome, LastOutcomes, read_last_outcomes};
pub use read_pages::ReminderPages;
pub use read_user_zone::read_user_zone;
pub use republish_reminders::{Problem, Progress, Republished, republish_reminders};
pub use revoke_feed::revoke_feed;
pub use rotate_feed::rotate_feed;
pub use snooze_occurrence::snooze_occurrence;

/// Status that is stored with the answer to an idempotency key, unless something is created.
const OK: u16 = 200;

/// Resources that the use cases share.
#[derive(Debug, Clone)]
pub struct Resources {
    /// The reminders database.
    pub pool: PgPool,
    /// Hands committed messages to the relay.
    pub relay_handle: RelayHandle,
    /// Quota of reminders of each user.
    pub quota: Quota,
    /// Limit of the e-mail addresses of each user.
    pub addresses: EmailAddresses,
    /// Client of the other services.
    pub peers: Peers,
}

/// Answer of a use case that runs once for each idempotency key.
#[derive(Debug)]
pub enum Answer<A> {
    /// Answer of the first request.
    First(A),
    /// Stored answer to a repeated request.
    Repeat(Replay),
}
