//! Socket of a connection: replays the bytes that were read to detect the protocol, limits frames,
//! and aborts stalled writes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

use super::{activity::Activity, error_responses, frame_limit::FrameMeter};

/// The socket of one connection.
pub(super) struct Socket {
    stream: TcpStream,
    /// Bytes that were read before the protocol was known.
    read_ahead: Bytes,
    activity: Arc<Activity>,
    /// Counter of frames, for HTTP/2.
    frames: Option<FrameMeter>,
    write_timeout: Duration,
    /// Runs while a write waits for the client.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Replacement of a response of hyper.
    substitute: Option<Substitute>,
}

/// A response that is written instead of another one.
struct Substitute {
    response: Bytes,
    /// Number of bytes of the response that is replaced.
    replaced: usize,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        read_ahead: Bytes,
        activity: Arc<Activity>,
        write_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            read_ahead,
            activity,
            frames: None,
            write_timeout,
            stalled: None,
            substitute: None,
        }
    }

    /// Counts the frames of HTTP/2.
    pub(super) fn with_frames_counted(mut self) -> Self {
        self.frames = Some(FrameMeter::new(Instant::now()));
        self
    }

    /// Aborts a write that waits for too long.
    fn timed<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let timeout = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }

    fn write_substitute(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while let Some(substitute) = &mut self.substitute {
            if substitute.response.is_empty() {
                let replaced = substitute.replaced;
                self.substitute = None;
                return Poll::Ready(Ok(replaced));
            }
            let written = Pin::new(&mut self.stream).poll_write(context, &substitute.response);
            if let Poll::Ready(Ok(length)) = &written {
                substitute.response.advance(*length);
            }
            ready!(self.timed(context, written))?;
        }
        Poll::Ready(Ok(0))
    }

    /// Prepares a replacement in the error format of the API if hyper refuses a request itself.
    fn substitutes(&mut self, bytes: &[u8]) -> bool {
        if self.substitute.is_none()
            && self.frames.is_none()
            && let Some(response) = error_responses::replacement_for(bytes)
        {
            self.substitute = Some(Substitute { response, replaced: bytes.len() });
        }
        self.substitute.is_some()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.read_ahead.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        } else {
            let length = this.read_ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.read_ahead.split_to(length));
        }
        let read = &buffer.filled()[before..];
        if let Some(frames) = &mut this.frames {
            frames.read(read, Instant::now()).map_err(io::Error::other)?;
        } else if !read.is_empty() {
            this.activity.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.substitutes(bytes) {
            return this.write_substitute(context);
        }
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.timed(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(first) = slices.iter().find(|slice| !slice.is_empty())
            && this.substitutes(first)
        {
            return this.write_substitute(context);
        }
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.timed(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
