//! A JSON body that is written while it is read, so that its length is no matter, and the limit of
//! how many are written at once.

use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use super::{ApiError, Reason};
use crate::config::Reader;

/// Bytes that are gathered before they are handed to the connection.
const PART: usize = 16 * 1024;
/// Parts that wait for a slow client; the writer then waits as well.
const WAITING: usize = 2;
/// Time after which a body that is still being written is cut off.
const DEADLINE: Duration = Duration::from_secs(10 * 60);
/// Time after which a client whose export is refused may ask again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Error of a body whose client is gone.
#[derive(Debug, thiserror::Error)]
#[error("the client went away")]
pub struct ClientGone;

/// Error with which a body is cut off: the connection ends without the end of the body, which every
/// HTTP client reports.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off")]
struct BrokenOff;

type WriteError = Box<dyn std::error::Error + Send + Sync>;

enum Part {
    Bytes(Bytes),
    End,
}

/// Writing side of a body. The body counts as complete only once [`BodyWriter::finish`] was called.
#[derive(Debug)]
pub struct BodyWriter {
    parts: mpsc::Sender<Part>,
    buffer: Vec<u8>,
}

impl BodyWriter {
    /// Writes bytes, waiting for the client when it reads slowly.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), ClientGone> {
        self.buffer.extend_from_slice(bytes.as_ref());
        if self.buffer.len() < PART {
            return Ok(());
        }
        self.flush().await
    }

    /// Ends the body.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn finish(mut self) -> Result<(), ClientGone> {
        self.flush().await?;
        self.parts.send(Part::End).await.map_err(|_| ClientGone)
    }

    async fn flush(&mut self) -> Result<(), ClientGone> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        self.parts.send(Part::Bytes(bytes)).await.map_err(|_| ClientGone)
    }
}

/// Answers 200 with a JSON body, as [`streamed`] does.
pub fn streamed_json<W, F>(permit: ExportPermit, write: W) -> Response
where
    W: FnOnce(BodyWriter) -> F + Send + 'static,
    F: Future<Output = Result<(), WriteError>> + Send,
{
    streamed(permit, HeaderValue::from_static("application/json"), write)
}

/// Answers 200 with a body that `write` writes in a task of its own. When it fails or takes longer
/// than ten minutes, the body is cut off. `permit` is held until then.
pub fn streamed<W, F>(permit: ExportPermit, content_type: HeaderValue, write: W) -> Response
where
    W: FnOnce(BodyWriter) -> F + Send + 'static,
    F: Future<Output = Result<(), WriteError>> + Send,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    let writer = BodyWriter { parts: sender, buffer: Vec::new() };
    tokio::spawn(async move {
        match timeout(DEADLINE, write(writer)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is::<ClientGone>() => {
                tracing::debug!("an export's client went away");
            }
            Ok(Err(error)) => {
                tracing::warn!(error = &*error as &dyn std::error::Error, "an export broke off");
            }
            Err(_) => tracing::warn!("an export took too long and was cut off"),
        }
        drop(permit);
    });
    let parts = stream::unfold(Some(receiver), async |receiver: Option<mpsc::Receiver<Part>>| {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Part::Bytes(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(Part::End) => None,
            None => Some((Err(BrokenOff), None)),
        }
    });
    ([(CONTENT_TYPE, content_type)], Body::from_stream(parts)).into_response()
}

/// Limit of exports that a process writes at once: so many in all, and one a user.
#[derive(Debug, Clone)]
pub struct ExportLimit {
    permits: Arc<Semaphore>,
    users: Arc<Mutex<HashSet<String>>>,
}

/// Right to write one export.
#[derive(Debug)]
pub struct ExportPermit {
    _permit: OwnedSemaphorePermit,
    user_id: String,
    users: Arc<Mutex<HashSet<String>>>,
}

impl ExportLimit {
    /// A limit of `most` exports.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(most)), users: Arc::default() }
    }

    /// Reads `EXPORTS_MAX`.
    pub fn read(reader: &mut Reader<'_>) -> Option<usize> {
        let most = reader.or("EXPORTS_MAX", "exports that a process writes at once, 1 to 64", 4);
        if most.is_some_and(|most| !(1..=64).contains(&most)) {
            reader.fault("EXPORTS_MAX", "is malformed: expected 1 to 64");
        }
        most
    }

    /// Takes the right to write an export of a user.
    ///
    /// # Errors
    /// `RATE_LIMITED` when one of the user's, or the most in all, are being written.
    pub fn acquire(&self, user_id: &str) -> Result<ExportPermit, ApiError> {
        let refused =
            |message: &str| ApiError { retry_after: Some(RETRY_AFTER), ..ApiError::new(Reason::RateLimited, message) };
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.contains(user_id) {
            return Err(refused("an export of this user is being written; try again"));
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| refused("too many exports are being written; try again"))?;
        users.insert(user_id.to_owned());
        let (users, user_id) = (Arc::clone(&self.users), user_id.to_owned());
        Ok(ExportPermit { _permit: permit, user_id, users })
    }
}

impl Drop for ExportPermit {
    fn drop(&mut self) {
        self.users.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.user_id);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn permit() -> ExportPermit {
        ExportLimit::new(1).acquire("ada").expect("the first")
    }

    #[tokio::test]
    async fn body_is_whole_when_writer_finishes() {
        let response = streamed_json(permit(), async |mut writer: BodyWriter| {
            for _ in 0..PART {
                writer.write("abcd").await?;
            }
            Ok(writer.finish().await?)
        });
        let body = response.into_body().collect().await.expect("whole").to_bytes();
        assert_eq!(body.len(), 4 * PART);
    }

    #[tokio::test]
    async fn body_breaks_off_when_writer_fails() {
        let response = streamed_json(permit(), async |mut writer: BodyWriter| {
            writer.write("[1,").await?;
            Err("the database went away".into())
        });
        assert!(response.into_body().collect().await.is_err());
    }

    #[test]
    fn refuses_second_export_of_a_user() {
        let limit = ExportLimit::new(2);
        let first = limit.acquire("ada").expect("the first");
        assert_eq!(limit.acquire("ada").expect_err("busy").reason, Reason::RateLimited);
        let _other = limit.acquire("bob").expect("another's");
        assert!(limit.acquire("eve").is_err(), "two is the most");
        drop(first);
        limit.acquire("ada").expect("again");
    }
}
