//! Safeguards against loss and repetition. A trigger in the databases disables each, so that the
//! binaries stay unchanged.

use sqlx::AssertSqlSafe;

use crate::{Service, TestSuite};

/// A safeguard against loss or repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safeguard {
    /// An event is applied once: its id is stored in the transaction of its effect.
    Inbox,
    /// A message is written in the transaction of the change that it reports.
    Outbox,
    /// A delivery is unique by occurrence, channel and address.
    LedgerKey,
    /// A scheduler that has lost its lease changes nothing: each claim increments the fence token
    /// that it must present.
    Fence,
}

impl Safeguard {
    /// All safeguards.
    pub const ALL: [Self; 4] = [Self::Inbox, Self::Outbox, Self::LedgerKey, Self::Fence];

    /// Disables the safeguard.
    ///
    /// # Panics
    /// If the database refuses.
    pub async fn disable(self, suite: &TestSuite) {
        let (service, table, event, body) = match self {
            // The id of an earlier event is deleted just before it is looked up.
            Self::Inbox => (
                Service::Events,
                "events",
                "insert",
                "delete from events
                 where event_id = new.event_id and occurred_at = new.occurred_at; return new;",
            ),
            // The change is written without its message.
            Self::Outbox => (Service::Reminders, "outbox", "insert", "return null;"),
            // An occurrence that arrives again finds no earlier delivery.
            Self::LedgerKey => (
                Service::Notifications,
                "dispatches",
                "insert",
                "delete from deliveries where occurrence_id = new.occurrence_id;
                 delete from dispatches where occurrence_id = new.occurrence_id; return new;",
            ),
            // Every claim has the same fence token, including a stale one.
            Self::Fence => (Service::Events, "occurrences", "update", "new.fence = 1; return new;"),
        };
        let sql = format!(
            "create function without_safeguard() returns trigger language plpgsql
                 as $$ begin {body} end $$;
             create trigger without_safeguard before {event} on {table}
                 for each row execute function without_safeguard()"
        );
        let pool = suite.pool(service).await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.expect("the safeguard is disabled");
        pool.close().await;
    }
}
