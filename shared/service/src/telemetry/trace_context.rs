//! Trace contexts of messages and of exported spans.

use contract::Traceparent;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Returns the trace context of a span: the exporter's if traces are exported, else `fallback`.
#[must_use]
pub fn traceparent_of(span: &Span, fallback: Traceparent) -> Traceparent {
    let context = span.context();
    let current = context.span().span_context().clone();
    let exported = Traceparent::new(
        u128::from_be_bytes(current.trace_id().to_bytes()),
        u64::from_be_bytes(current.span_id().to_bytes()),
        current.trace_flags().to_u8(),
    );
    exported.unwrap_or(fallback)
}

/// Makes `span` a child of a trace if traces are exported.
pub fn set_parent(span: &Span, parent: Traceparent) {
    let remote = SpanContext::new(
        TraceId::from_bytes(parent.trace_id().to_be_bytes()),
        SpanId::from_bytes(parent.parent_id().to_be_bytes()),
        TraceFlags::new(parent.flags()),
        true,
        TraceState::default(),
    );
    // Fails if no layer exports traces, which is the usual case.
    let _ = span.set_parent(Context::new().with_remote_span_context(remote));
}
