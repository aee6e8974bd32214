//! Stream that signals when the peer has sent its first byte.
//!
//! The first frame of an HTTP/2 server is SETTINGS (RFC 9113, section 3.4). Before it arrives, the
//! client does not know if the server is there: a server that shuts down closes such a connection
//! without a GOAWAY, and a black hole sends nothing at all. A request that was sent then would fail
//! with an unknown result.

use hyper::rt::{Read, ReadBufCursor, Write};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// Stream whose first byte is awaited.
pub(super) struct FirstByteSignal<S> {
    stream: S,
    first_byte: Option<oneshot::Sender<()>>,
}

impl<S> FirstByteSignal<S> {
    /// Wraps a stream. The receiver resolves with the first byte, or fails when the stream ends.
    pub(super) fn new(stream: S) -> (Self, oneshot::Receiver<()>) {
        let (first_byte, received) = oneshot::channel();
        (FirstByteSignal { stream, first_byte: Some(first_byte) }, received)
    }
}

impl<S: Read + Unpin> Read for FirstByteSignal<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first_byte.is_none() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let room = buffer.remaining();
        // Read through a separate cursor, to see if there was any data.
        let mut first = [0u8; 1_024];
        let mut first = hyper::rt::ReadBuf::new(&mut first[..room.min(1_024)]);
        ready!(Pin::new(&mut self.stream).poll_read(context, first.unfilled()))?;
        buffer.put_slice(first.filled());
        match self.first_byte.take() {
            Some(received) if !first.filled().is_empty() => drop(received.send(())),
            ended => self.first_byte = ended,
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for FirstByteSignal<S> {
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
