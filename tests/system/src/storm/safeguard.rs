//! Guards that a storm leans on, each taken out by a trigger in the services' databases, so that
//! the binaries stay what they are.

use sqlx::AssertSqlSafe;

use crate::{House, Service};

/// A guard against loss or repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// An event is applied once: its id is remembered in the transaction of its effect.
    Inbox,
    /// A message is written in the transaction of the change that it tells of.
    Outbox,
    /// An occurrence, channel and address is delivered once.
    LedgerKey,
    /// A scheduler that has lost its lease changes nothing: each claim raises the number that it
    /// has to show.
    Fence,
}

impl Guard {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Inbox, Self::Outbox, Self::LedgerKey, Self::Fence];

    /// Takes the guard out.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn take_out(self, house: &House) {
        let (service, table, event, body) = match self {
            // What was remembered is forgotten just before it is looked up.
            Self::Inbox => (
                Service::Events,
                "events",
                "insert",
                "delete from events where event_id = new.event_id and occurred_at = new.occurred_at; return new;",
            ),
            // The change is written, its message is not.
            Self::Outbox => (Service::Reminders, "outbox", "insert", "return null;"),
            // An occurrence that comes again finds no trace of itself.
            Self::LedgerKey => (
                Service::Notifications,
                "dispatches",
                "insert",
                "delete from deliveries where occurrence_id = new.occurrence_id;
                 delete from dispatches where occurrence_id = new.occurrence_id; return new;",
            ),
            // Every claim has the same number, that of a stale one as well.
            Self::Fence => (Service::Events, "occurrences", "update", "new.fence = 1; return new;"),
        };
        let sql = format!(
            "create function guard_is_out() returns trigger language plpgsql as $$ begin {body} end $$;
             create trigger guard_is_out before {event} on {table} for each row execute function guard_is_out()"
        );
        let pool = house.pool(service).await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.expect("the guard is taken out");
        pool.close().await;
    }
}
