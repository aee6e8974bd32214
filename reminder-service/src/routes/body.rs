//! Bodies with the fields of a reminder, and their conversion into domain types.

mod new_reminder;
mod occurrence_change;
mod reminder_change;

use contract::{Channel, Recurrence};
use rest::{Faults, json::WholeNumber};
use utoipa::ToSchema;

use crate::domain::reminder::{self, Channels, ExpiresAfter, InvalidField, NotifyOffsets};

pub(super) use new_reminder::NewReminder;
pub(super) use occurrence_change::OccurrenceChange;
pub(super) use reminder_change::ReminderChange;

/// Minutes before `date` at which it is delivered.
#[derive(ToSchema)]
#[schema(minimum = 0, maximum = 40320)]
#[expect(dead_code, reason = "describes the entries of a list, which are parsed as whole numbers")]
pub(super) struct NotifyOffset(i32);

fn rule(given: Recurrence) -> Result<reminder::Recurrence, InvalidField> {
    reminder::Recurrence::from(given).parse()
}

fn channels(
    faults: &mut Faults,
    notify_type: Option<Channel>,
    channels: Option<Vec<Channel>>,
) -> Option<Option<Channels>> {
    // Without its faulty entries, `channels` may contradict `notifyType`.
    if faults.has("channels") {
        return None;
    }
    faults.take(Channels::from_fields(notify_type, channels))
}

fn notify_offsets(
    one: Option<WholeNumber>,
    several: Option<Vec<WholeNumber>>,
) -> Result<Option<NotifyOffsets>, InvalidField> {
    let several =
        several.map(|offsets| offsets.into_iter().map(WholeNumber::saturating_i32).collect());
    NotifyOffsets::from_fields(one.map(WholeNumber::saturating_i32), several)
}

fn expires_after(minutes: WholeNumber) -> Result<ExpiresAfter, InvalidField> {
    ExpiresAfter::parse(minutes.saturating_i32())
}
