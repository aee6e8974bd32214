//! W3C trace context of requests and messages
//! (<https://www.w3.org/TR/trace-context/>).

use std::{fmt, str::FromStr};

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
pub struct MalformedTraceparent;

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

    /// Creates a trace context of its parts; `None` if an id is zero.
    #[must_use]
    pub fn new(trace_id: u128, parent_id: u64, flags: u8) -> Option<Self> {
        (trace_id != 0 && parent_id != 0).then_some(Self { trace_id, parent_id, flags })
    }

    /// Returns the id of the trace, never zero.
    #[must_use]
    pub const fn trace_id(self) -> u128 {
        self.trace_id
    }

    /// Returns the id of the parent span, never zero.
    #[must_use]
    pub const fn parent_id(self) -> u64 {
        self.parent_id
    }

    /// Returns the trace flags; bit 0 is "sampled".
    #[must_use]
    pub const fn flags(self) -> u8 {
        self.flags
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

impl FromStr for Traceparent {
    type Err = MalformedTraceparent;

    fn from_str(text: &str) -> Result<Self, MalformedTraceparent> {
        let mut parts = text.split('-');
        let (Some("00"), Some(trace), Some(parent), Some(flags), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MalformedTraceparent);
        };
        let lengths_fit = (trace.len(), parent.len(), flags.len()) == (32, 16, 2);
        if !lengths_fit || text.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'+') {
            return Err(MalformedTraceparent);
        }
        let trace_id = u128::from_str_radix(trace, 16).map_err(|_| MalformedTraceparent)?;
        let parent_id = u64::from_str_radix(parent, 16).map_err(|_| MalformedTraceparent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| MalformedTraceparent)?;
        Self::new(trace_id, parent_id, flags).ok_or(MalformedTraceparent)
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
            assert_eq!(text.parse::<Traceparent>(), Err(MalformedTraceparent), "{text}");
        }
    }
}
