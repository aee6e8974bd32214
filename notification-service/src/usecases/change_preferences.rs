//! Change of a user's preferences, which applies to the user's pending deliveries as well.

use std::time::Duration;

use service::outbox::{self, RelayHandle};
use sqlx::{PgPool, Postgres, Transaction};

use super::{
    Error,
    revise_pending_deliveries::{Revised, apply_preferences},
};
use crate::{
    domain::preferences::Preferences,
    store::{self, preferences, zone_changes},
};

/// Changes preferences.
pub struct ChangePreferences<'a> {
    /// Pool of the devices database.
    pub pool: &'a PgPool,
    /// Hands published messages to the relay.
    pub relay_handle: &'a RelayHandle,
    /// Time after which other processes take over deliveries that a process claimed.
    pub takeover: Duration,
}

impl ChangePreferences<'_> {
    /// Stores the preferences of a user and applies them to the pending deliveries, a bounded
    /// number in each transaction; the first one stores them. `email` is the verified address of
    /// the user.
    ///
    /// # Errors
    /// If a statement fails. The preferences may have been stored and applied to some deliveries.
    pub async fn change(
        &self,
        user_id: &str,
        email: Option<&str>,
        wanted: &Preferences,
    ) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        preferences::put(&mut *transaction, user_id, wanted).await?;
        zone_changes::record(&mut *transaction, user_id, wanted.zone(), email).await?;
        while self.apply(transaction, user_id, wanted).await? {
            transaction = self.pool.begin().await?;
            preferences::hold(&mut *transaction, user_id).await?;
            if preferences::of_user(&mut *transaction, user_id).await? != *wanted {
                // A later request stored other preferences, and applies them itself.
                break;
            }
        }
        Ok(())
    }

    /// Applies preferences to some of the pending deliveries, and commits. Returns `true` if there
    /// are more.
    async fn apply(
        &self,
        mut transaction: Transaction<'_, Postgres>,
        user_id: &str,
        wanted: &Preferences,
    ) -> Result<bool, Error> {
        let now = store::now(&mut *transaction).await?;
        let Revised { messages, has_more } =
            apply_preferences(&mut transaction, user_id, wanted, self.takeover, now).await?;
        outbox::insert(&mut *transaction, &messages).await?;
        transaction.commit().await?;
        self.relay_handle.after_commit(messages);
        Ok(has_more)
    }
}
