//! Bodies of requests and responses, with limits for their transfer.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::activity::{OpenRequest, Receiving};

/// Most bytes of a response that are passed to a connection at once. HTTP/2 buffers as many for a
/// client that does not read.
const MAX_PART_BYTES: usize = 16 * 1024;

/// The body did not arrive in time.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the body did not arrive in time")]
pub struct BodyTimedOut;

/// Body of a request, which must arrive within a time limit.
pub(super) struct RequestBody {
    body: Incoming,
    timeout: Duration,
    receiving: Receiving,
    /// Set at the first wait, so that a body that arrived needs no timer.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, timeout: Duration, receiving: Receiving) -> Self {
        Self { body, timeout, receiving, deadline: None }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if this.deadline.is_none() {
            this.receiving.waits();
        }
        let timeout = this.timeout;
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(timeout)));
        deadline.as_mut().poll(context).map(|()| Some(Err(BodyTimedOut.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Body of a response, passed on in parts; the connection records whether a part waits for the
/// client.
pub(super) struct ResponseBody {
    body: Body,
    /// Bytes that were produced and not yet passed on.
    rest: Bytes,
    request: OpenRequest,
}

impl ResponseBody {
    pub(super) fn new(body: Body, request: OpenRequest) -> Self {
        request.offered(true);
        Self { body, rest: Bytes::new(), request }
    }

    fn part(&mut self, mut data: Bytes) -> Frame<Bytes> {
        self.rest = data.split_off(data.len().min(MAX_PART_BYTES));
        self.request.offered(true);
        Frame::data(data)
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            let rest = std::mem::take(&mut this.rest);
            return Poll::Ready(Some(Ok(this.part(rest))));
        }
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => this.part(data),
                Err(trailers) => trailers,
            }))),
            // The response waits for its source or has ended, so no part waits for the client.
            other => {
                this.request.offered(false);
                other
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
