//! A stream that tells when the other side has said its first word.
//!
//! An HTTP/2 server's first word is SETTINGS (RFC 9113, section 3.4). Until it is there, nobody
//! knows whether anyone listens: a server that is about to go away closes such a connection without
//! a GOAWAY, and a black hole says nothing at all. A request given to it would be lost in doubt.

use hyper::rt::{Read, ReadBufCursor, Write};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// A stream on which a first word is awaited.
pub(super) struct Greeted<S> {
    stream: S,
    first_word: Option<oneshot::Sender<()>>,
}

impl<S> Greeted<S> {
    /// The stream, and what resolves with the first word, or fails with the stream's end.
    pub(super) fn new(stream: S) -> (Self, oneshot::Receiver<()>) {
        let (first_word, heard) = oneshot::channel();
        (Greeted { stream, first_word: Some(first_word) }, heard)
    }
}

impl<S: Read + Unpin> Read for Greeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first_word.is_none() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let room = buffer.remaining();
        // Read through a cursor of our own, to see whether there was anything.
        let mut first = [0u8; 1_024];
        let mut first = hyper::rt::ReadBuf::new(&mut first[..room.min(1_024)]);
        ready!(Pin::new(&mut self.stream).poll_read(context, first.unfilled()))?;
        buffer.put_slice(first.filled());
        match self.first_word.take() {
            Some(heard) if !first.filled().is_empty() => drop(heard.send(())),
            ended => self.first_word = ended,
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for Greeted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
