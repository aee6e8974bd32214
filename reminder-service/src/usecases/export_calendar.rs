//! Export of a user's reminders as a calendar file.

use super::{Error, ReminderPages, Resources};
use crate::{domain::calendar::Calendar, store};

/// Largest number of reminders of one file, the newest.
pub const MAX_REMINDERS: usize = 10_000;

/// A calendar, and the reminders that become its events.
#[derive(Debug)]
pub struct CalendarExport {
    /// The calendar with the time zones of the reminders.
    pub calendar: Calendar,
    /// The newest 10,000 reminders.
    pub reminders: ReminderPages,
    /// `false`: paused reminders are left out.
    pub with_paused: bool,
}

/// Begins an export of the caller's reminders as a calendar file.
///
/// # Errors
/// [`Error::Sql`].
pub async fn export_calendar(
    resources: &Resources,
    user_id: String,
    with_paused: bool,
) -> Result<CalendarExport, Error> {
    let zones = store::zones(&resources.pool, &user_id, MAX_REMINDERS as i64).await?;
    let zones = zones.into_iter().map(|zone| (zone.time_zone, zone.first, zone.last));
    let calendar = Calendar::new(zones);
    let reminders = ReminderPages::new(resources.pool.clone(), user_id, MAX_REMINDERS);
    Ok(CalendarExport { calendar, reminders, with_paused })
}
