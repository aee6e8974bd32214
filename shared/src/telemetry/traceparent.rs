//! W3C trace context of requests and messages
//! (<https://www.w3.org/TR/trace-context/>).

use std::{fmt, str::FromStr};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// Error for a text that is not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct Malformed;

impl Traceparent {
    /// Generates a trace that is not sampled.
    #[must_use]
    pub fn generate() -> Self {
        Self {
            trace_id: rand::random::<u128>().max(1),
            parent_id: rand::random::<u64>().max(1),
            flags: 0,
        }
    }

    /// Returns the trace of a span: the exporter's if traces are exported, else `fallback`.
    #[must_use]
    pub fn of(span: &Span, fallback: Self) -> Self {
        let context = span.context();
        let current = context.span().span_context().clone();
        if !current.is_valid() {
            return fallback;
        }
        Self {
            trace_id: u128::from_be_bytes(current.trace_id().to_bytes()),
            parent_id: u64::from_be_bytes(current.span_id().to_bytes()),
            flags: current.trace_flags().to_u8(),
        }
    }

    /// Makes a span a child of this trace if traces are exported.
    pub fn adopt(self, span: &Span) {
        let remote = SpanContext::new(
            TraceId::from_bytes(self.trace_id.to_be_bytes()),
            SpanId::from_bytes(self.parent_id.to_be_bytes()),
            TraceFlags::new(self.flags),
            true,
            TraceState::default(),
        );
        // Fails if no layer exports traces, which is the usual case.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

impl FromStr for Traceparent {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut parts = text.split('-');
        let (Some("00"), Some(trace), Some(parent), Some(flags), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Malformed);
        };
        let lengths_fit = (trace.len(), parent.len(), flags.len()) == (32, 16, 2);
        if !lengths_fit || text.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'+') {
            return Err(Malformed);
        }
        let parsed = Self {
            trace_id: u128::from_str_radix(trace, 16).map_err(|_| Malformed)?,
            parent_id: u64::from_str_radix(parent, 16).map_err(|_| Malformed)?,
            flags: u8::from_str_radix(flags, 16).map_err(|_| Malformed)?,
        };
        if parsed.trace_id == 0 || parsed.parent_id == 0 { Err(Malformed) } else { Ok(parsed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_traceparent_as_it_was_read() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(
            text.parse::<Traceparent>().map(|traceparent| traceparent.to_string()),
            Ok(text.to_owned())
        );
    }

    #[test]
    fn refuses_zeros_wrong_lengths_and_versions() {
        for text in [
            "",
            "00-0-0-00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<Traceparent>(), Err(Malformed), "{text}");
        }
    }
}
