//! Streamed responses: a body of any length, written while the client reads it.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use tokio::{sync::mpsc, time::timeout};

use super::export_limit::{ExportPermit, Progress};

/// Bytes that are buffered before they are passed to the connection.
const BUFFER_BYTES: usize = 16 * 1024;
/// Number of parts that may wait for a slow client before the writer waits as well.
const MAX_WAITING: usize = 2;
/// Time after which an unfinished body is aborted.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Error of a body whose client closed the connection.
#[derive(Debug, thiserror::Error)]
#[error("the client closed the connection")]
pub struct ClientGone;

/// Error that aborts a body: the connection ends without the end of the body, which every HTTP
/// client reports.
#[derive(Debug, thiserror::Error)]
#[error("the body was aborted")]
struct Aborted;

type WriteError = Box<dyn std::error::Error + Send + Sync>;

enum Part {
    Bytes(Bytes),
    End,
}

/// Writer of a body. The body is complete only once [`BodyWriter::finish`] was called.
#[derive(Debug)]
pub struct BodyWriter {
    parts: mpsc::Sender<Part>,
    buffer: Vec<u8>,
    progress: Arc<Progress>,
}

impl BodyWriter {
    /// Writes bytes; waits for the client if it reads slowly.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), ClientGone> {
        self.buffer.extend_from_slice(bytes.as_ref());
        if self.buffer.len() < BUFFER_BYTES {
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
        self.send(Part::End, 0).await
    }

    async fn flush(&mut self) -> Result<(), ClientGone> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        let length = bytes.len();
        self.send(Part::Bytes(bytes), length).await
    }

    async fn send(&self, part: Part, length: usize) -> Result<(), ClientGone> {
        self.progress.begin_wait(Instant::now());
        let sent = self.parts.send(part).await.map_err(|_| ClientGone);
        self.progress.end_wait(length, Instant::now());
        sent
    }
}

/// Responds with 200 and a JSON body, as [`streamed`] does.
pub fn streamed_json<W, F>(permit: ExportPermit, write: W) -> Response
where
    W: FnOnce(BodyWriter) -> F + Send + 'static,
    F: Future<Output = Result<(), WriteError>> + Send,
{
    streamed(permit, HeaderValue::from_static("application/json"), write)
}

/// Responds with 200 and a body that `write` writes in a task of its own. The body is aborted if
/// `write` fails or takes longer than ten minutes, or if `permit` is revoked. `permit` is held
/// until the end.
pub fn streamed<W, F>(permit: ExportPermit, content_type: HeaderValue, write: W) -> Response
where
    W: FnOnce(BodyWriter) -> F + Send + 'static,
    F: Future<Output = Result<(), WriteError>> + Send,
{
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let writer = BodyWriter { parts: sender, buffer: Vec::new(), progress: permit.progress() };
    tokio::spawn(async move {
        let written = tokio::select! {
            written = timeout(DEADLINE, write(writer)) => written,
            () = permit.revoked() => {
                tracing::warn!(
                    "client read too slowly, its export was aborted to admit another user"
                );
                return;
            }
        };
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is::<ClientGone>() => {
                tracing::debug!("client of an export disconnected");
            }
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &*error as &dyn std::error::Error,
                    "export failed, the answer is incomplete"
                );
            }
            Err(_) => tracing::warn!("export exceeded its time limit, was aborted"),
        }
        drop(permit);
    });
    let parts = stream::unfold(Some(receiver), async |receiver: Option<mpsc::Receiver<Part>>| {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Part::Bytes(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(Part::End) => None,
            None => Some((Err(Aborted), None)),
        }
    });
    ([(CONTENT_TYPE, content_type)], Body::from_stream(parts)).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::{super::export_limit::ExportLimit, *};

    fn permit() -> ExportPermit {
        ExportLimit::new(1).acquire("ada").expect("the first")
    }

    #[tokio::test]
    async fn completes_body_when_writer_finishes() {
        let response = streamed_json(permit(), async |mut writer: BodyWriter| {
            for _ in 0..BUFFER_BYTES {
                writer.write("abcd").await?;
            }
            Ok(writer.finish().await?)
        });
        let body = response.into_body().collect().await.expect("whole").to_bytes();
        assert_eq!(body.len(), 4 * BUFFER_BYTES);
    }

    #[tokio::test]
    async fn aborts_body_when_writer_fails() {
        let response = streamed_json(permit(), async |mut writer: BodyWriter| {
            writer.write("[1,").await?;
            Err("the database went away".into())
        });
        assert!(response.into_body().collect().await.is_err());
    }

    #[tokio::test]
    async fn aborts_body_when_permit_is_revoked() {
        let limit = ExportLimit::new(1);
        let slow = limit.acquire("mallory").expect("the first");
        let progress = slow.progress();
        let response = streamed_json(slow, async |mut writer: BodyWriter| {
            loop {
                writer.write([b' '; BUFFER_BYTES]).await?;
            }
        });
        while !progress.is_waiting() {
            tokio::task::yield_now().await;
        }
        let later = Instant::now() + Duration::from_secs(60);
        let _permit = limit.acquire_at("ada", later).expect("in place of the slow one");
        assert!(response.into_body().collect().await.is_err());
    }
}
