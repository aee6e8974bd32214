//! Check of the caller's e-mail address against the limit of different addresses per day.

use chrono::Utc;

use super::{Error, Resources};
use crate::{
    domain::{caller::Caller, email_addresses::until_next_day, reminder::Channels},
    store,
};

/// Refuses e-mail to a further address if the user has reached the limit of today. Asks the
/// database once for each user, address and day in this process, in a transaction of its own:
/// callers must hold no connection.
///
/// # Errors
/// [`Error::TooManyAddresses`] until midnight (UTC).
pub(super) async fn accept_address(
    resources: &Resources,
    caller: &Caller,
    channels: &Channels,
) -> Result<(), Error> {
    if is_accepted(resources, caller, channels) {
        return Ok(());
    }
    let addresses = &resources.addresses;
    let mut transaction = resources.pool.begin().await?;
    let is_accepted = store::record_address(
        &mut transaction,
        &caller.user_id,
        &caller.email,
        i64::from(addresses.limit()),
    )
    .await?;
    transaction.commit().await?;
    let now = Utc::now();
    if !is_accepted {
        return Err(Error::TooManyAddresses { retry_after: until_next_day(now) });
    }
    addresses.record(now.date_naive(), caller);
    Ok(())
}

/// Returns `true` if [`accept_address`] accepts without asking the database.
pub(super) fn is_accepted(resources: &Resources, caller: &Caller, channels: &Channels) -> bool {
    resources.addresses.is_accepted(Utc::now().date_naive(), caller, channels)
}
