//! Stream that is still readable after the peer has stopped reading.
//!
//! A server that has answered all requests and sent GOAWAY closes its socket. Anything that the
//! client writes then (such as a window update) fails. h2 gives up at the failed write, and so
//! loses the responses that have arrived and are not read yet, and the GOAWAY that names the
//! requests that were not handled. This wrapper reports a failed write as a successful one: the
//! connection ends when there is nothing left to read.

use hyper::rt::{Read, ReadBufCursor, Write};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Stream whose writes are discarded once the peer has closed it.
pub(super) struct ReadAfterClose<S> {
    stream: S,
    closed: bool,
}

impl<S> ReadAfterClose<S> {
    pub(super) fn new(stream: S) -> Self {
        ReadAfterClose { stream, closed: false }
    }

    /// Returns the result of a write. `whole` is the result of a complete one.
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

impl<S: Read + Unpin> Read for ReadAfterClose<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Write + Unpin> Write for ReadAfterClose<S> {
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
