//! Reading of a user's reminders page by page, for exports that are too large for memory.

use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    domain::reminder::Reminder,
    store::{self, Seen},
};

/// Reminders of a page.
const PAGE: i64 = 100;

/// Pages of a user's reminders, newest first.
#[derive(Debug)]
pub struct ReminderPages {
    pool: PgPool,
    user_id: String,
    /// Number of reminders after which the pages end.
    max: usize,
    read: usize,
    /// The last reminder of the page before.
    before: Option<Uuid>,
    is_last: bool,
    /// Page that is read and not returned yet.
    read_ahead: Option<Vec<Seen<Reminder>>>,
}

impl ReminderPages {
    pub(super) fn new(pool: PgPool, user_id: String, max: usize) -> Self {
        Self { pool, user_id, max, read: 0, before: None, is_last: false, read_ahead: None }
    }

    /// Reads the first page, so that a failure is known before an answer begins.
    ///
    /// # Errors
    /// If the statement fails.
    pub(super) async fn read_ahead(&mut self) -> Result<(), sqlx::Error> {
        self.read_ahead = self.next().await?;
        Ok(())
    }

    /// Reads the next page; `None` after the last one.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn next(&mut self) -> Result<Option<Vec<Seen<Reminder>>>, sqlx::Error> {
        if let Some(page) = self.read_ahead.take() {
            return Ok(Some(page));
        }
        if self.is_last || self.read >= self.max {
            return Ok(None);
        }
        let page = store::page(&self.pool, &self.user_id, self.before, PAGE).await?;
        self.before = page.last().map(|last| last.value.id);
        self.read += page.len();
        self.is_last = (page.len() as i64) < PAGE;
        Ok(Some(page))
    }

    /// Returns `true` if older reminders were left out of the pages that were read.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        !self.is_last
    }
}
