//! Change of a user's read marks.

use chrono::{DateTime, Utc};
use serde::Serialize;
use service::idempotency::{self, IdempotencyKey, Start};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Answer, Error};
use crate::store::inbox::{self, Unread};

/// Status of the answer that is stored for an idempotency key.
const OK: u16 = 200;

/// Change of read marks. An id is that of an occurrence or of one of its deliveries.
#[derive(Debug, Clone, Copy)]
pub enum Mark {
    /// Marks an occurrence as read.
    Read(Uuid),
    /// Marks an occurrence as unread.
    Unread(Uuid),
    /// Marks occurrences that were sent until a time as read, by default all.
    AllRead(Option<DateTime<Utc>>),
}

/// Changes read marks once per idempotency key. `answer` makes the answer from the number of
/// unread occurrences; it is stored for the key.
///
/// # Errors
/// [`Error::NoOccurrence`] if the user has no such occurrence; nothing was changed.
pub async fn change_read_marks<A: Serialize>(
    pool: &PgPool,
    user_id: &str,
    key: Option<&IdempotencyKey>,
    mark: Mark,
    answer: impl FnOnce(Unread) -> A,
) -> Result<Answer<A>, Error> {
    let mut once = match idempotency::once(pool, user_id, key).await? {
        Start::First(once) => once,
        Start::Repeat(replay) => return Ok(Answer::Repeat(replay)),
    };
    apply(once.connection(), user_id, mark).await?;
    let answer = answer(inbox::unread(once.connection(), user_id).await?);
    once.commit(OK, Some(&answer)).await?;
    Ok(Answer::First(answer))
}

async fn apply(connection: &mut PgConnection, user_id: &str, mark: Mark) -> Result<(), Error> {
    match mark {
        Mark::Read(id) => {
            let occurrence = occurrence(connection, user_id, id).await?;
            inbox::mark_read(connection, user_id, occurrence).await?;
        }
        Mark::Unread(id) => {
            let occurrence = occurrence(connection, user_id, id).await?;
            inbox::mark_unread(connection, user_id, occurrence).await?;
        }
        Mark::AllRead(up_to) => inbox::read_up_to(connection, user_id, up_to).await?,
    }
    Ok(())
}

async fn occurrence(connection: &mut PgConnection, user_id: &str, id: Uuid) -> Result<Uuid, Error> {
    inbox::occurrence(connection, user_id, id).await?.ok_or(Error::NoOccurrence)
}
