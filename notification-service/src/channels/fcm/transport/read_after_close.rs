//! A stream that goes on reading after the other side has stopped reading.
//!
//! A server that has answered everything and said GOAWAY closes its socket. Whatever the client
//! still writes then (the acknowledgement of a window, say) fails; h2 gives up at the failed write
//! and with it the answers that have arrived and are not read yet, and the GOAWAY that says which
//! requests were left out. Here a failed write passes for a done one: the connection ends when
//! there is nothing left to read.

use hyper::rt::{Read, ReadBufCursor, Write};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A stream whose writes go nowhere once the other side has closed.
pub(super) struct ReadOn<S> {
    stream: S,
    closed: bool,
}

impl<S> ReadOn<S> {
    pub(super) fn new(stream: S) -> Self {
        ReadOn { stream, closed: false }
    }

    /// What a write has come to; `whole` is what it would have written.
    fn written<T>(&mut self, result: io::Result<T>, whole: T) -> io::Result<T> {
        match result {
            Err(error)
                if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
            {
                self.closed = true;
                Ok(whole)
            }
            other => other,
        }
    }
}

impl<S: Read + Unpin> Read for ReadOn<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Write + Unpin> Write for ReadOn<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.closed {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.written(result, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let whole = slices.iter().map(|slice| slice.len()).sum();
        if self.closed {
            return Poll::Ready(Ok(whole));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices));
        Poll::Ready(self.written(result, whole))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_flush(context));
        Poll::Ready(self.written(result, ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_shutdown(context));
        Poll::Ready(self.written(result, ()))
    }
}
