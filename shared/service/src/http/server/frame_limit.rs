//! Limit of HTTP/2 frames that are cheap for the client and expensive for the server (RFC 9113,
//! section 10.5).
//!
//! A normal client sends few frames besides its requests. The connection of a client that floods it
//! with SETTINGS, PING, RST_STREAM, PRIORITY, empty DATA or CONTINUATION frames is closed.

use std::time::Duration;

use tokio::time::Instant;

const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;

/// Allowed frames of a kind: at once, and per second after that.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    burst: u32,
    per_second: u32,
}

/// Allowance of control frames, of which clients need few.
const CONTROL: Allowance = Allowance { burst: 500, per_second: 50 };
/// Allowance of WINDOW_UPDATE frames, which a client sends about twice for each 16 KiB received.
const WINDOW_UPDATES: Allowance = Allowance { burst: 5_000, per_second: 2_000 };

/// Counts the frames of one connection as they are read.
#[derive(Debug)]
pub(super) struct FrameMeter {
    /// Remaining bytes of the preface or of a payload.
    skip: usize,
    header: [u8; HEADER_BYTES],
    filled: usize,
    control: Bucket,
    window_updates: Bucket,
}

/// Error for a client that exceeds an allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many HTTP/2 frames that carry no request")]
pub(super) struct FrameFlood;

impl FrameMeter {
    /// Creates a meter that expects the preface of the connection first.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            skip: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            filled: 0,
            control: Bucket::new(CONTROL, now),
            window_updates: Bucket::new(WINDOW_UPDATES, now),
        }
    }

    /// Counts the frames in bytes that were read.
    ///
    /// # Errors
    /// If the client exceeds its allowance.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), FrameFlood> {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER_BYTES - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER_BYTES {
                self.filled = 0;
                self.count(now)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, now: Instant) -> Result<(), FrameFlood> {
        let [high, middle, low, kind, ..] = self.header;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        match kind {
            // DATA with content and HEADERS belong to requests, which have limits of their own.
            0x0 if self.skip > 0 => Ok(()),
            0x1 => Ok(()),
            0x8 => self.window_updates.take(now),
            _ => self.control.take(now),
        }
    }
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    allowance: Allowance,
    left: u32,
    refilled_at: Instant,
}

impl Bucket {
    fn new(allowance: Allowance, now: Instant) -> Self {
        Self { allowance, left: allowance.burst, refilled_at: now }
    }

    fn take(&mut self, now: Instant) -> Result<(), FrameFlood> {
        if self.left == 0 {
            self.refill(now);
        }
        self.left = self.left.checked_sub(1).ok_or(FrameFlood)?;
        Ok(())
    }

    /// Refills the bucket by the time since the last refill.
    fn refill(&mut self, now: Instant) {
        let Allowance { burst, per_second } = self.allowance;
        let elapsed =
            now.saturating_duration_since(self.refilled_at).min(Duration::from_secs(3_600));
        let earned = elapsed.as_millis() * u128::from(per_second) / 1_000;
        if earned > 0 {
            self.left = u32::try_from(earned).unwrap_or(burst).min(burst);
            self.refilled_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).expect("a length").to_be_bytes();
        let head = [length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        head.into_iter().chain(std::iter::repeat_n(0, payload)).collect()
    }

    /// Returns a meter that has read a preface and these bytes.
    fn after(bytes: &[u8], now: Instant) -> (FrameMeter, Result<(), FrameFlood>) {
        let mut meter = FrameMeter::new(now);
        let read = meter.read(&[&[0; PREFACE_BYTES], bytes].concat(), now);
        (meter, read)
    }

    #[test]
    fn refuses_control_frames_beyond_burst() {
        let now = Instant::now();
        for kind in [0x2, 0x3, 0x4, 0x6, 0x9, 0x42] {
            let (mut meter, read) = after(&frame(kind, 8).repeat(500), now);
            assert_eq!(read, Ok(()), "{kind}");
            assert_eq!(meter.read(&frame(kind, 8), now), Err(FrameFlood), "{kind}");
        }
    }

    #[test]
    fn refuses_empty_data_frames_beyond_burst() {
        assert_eq!(after(&frame(0x0, 0).repeat(501), Instant::now()).1, Err(FrameFlood));
    }

    #[test]
    fn refills_allowance_with_time() {
        let now = Instant::now();
        let (mut meter, read) = after(&frame(0x6, 8).repeat(500), now);
        assert_eq!(read, Ok(()));
        let later = now + Duration::from_secs(1);
        assert_eq!(meter.read(&frame(0x6, 8).repeat(50), later), Ok(()));
        assert_eq!(meter.read(&frame(0x6, 8), later), Err(FrameFlood));
    }

    #[test]
    fn allows_unlimited_requests_and_bodies() {
        let now = Instant::now();
        let mut meter = FrameMeter::new(now);
        let requests = [frame(0x1, 40), frame(0x0, 900)].concat().repeat(3_000);
        for piece in [&[0; PREFACE_BYTES][..], &requests].concat().chunks(7) {
            assert_eq!(meter.read(piece, now), Ok(()));
        }
    }
}
