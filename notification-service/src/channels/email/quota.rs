//! Sending quota of an SES account, from `GetSendQuota`. Pure.

/// Assumed rate until the account's is known, in e-mails a second: that of an account just out of
/// the SES sandbox.
pub const DEFAULT_RATE: f64 = 14.0;

/// Sending quota of an SES account.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    /// E-mails a second.
    pub per_second: f64,
    /// E-mails left of the quota of 24 hours, `None` if it is unlimited.
    pub day_left: Option<i64>,
}

impl Quota {
    /// Converts `MaxSendRate`, `Max24HourSend` (-1: unlimited) and `SentLast24Hours`. For unusable
    /// numbers it assumes the default rate and an unlimited quota.
    pub(super) fn read(max_send_rate: f64, max_24_hours: f64, sent_24_hours: f64) -> Self {
        let is_rate = max_send_rate.is_finite() && max_send_rate > 0.0;
        let is_limited =
            max_24_hours.is_finite() && max_24_hours >= 0.0 && sent_24_hours.is_finite();
        Self {
            per_second: if is_rate { max_send_rate } else { DEFAULT_RATE },
            // The cast saturates.
            day_left: is_limited
                .then(|| (max_24_hours - sent_24_hours.max(0.0)).floor().max(0.0) as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_rest_of_daily_quota() {
        let left = |max, sent| Quota::read(14.0, max, sent).day_left;
        assert_eq!(
            [left(200.0, 50.0), left(200.0, 300.0), left(200.0, -1.0)],
            [Some(150), Some(0), Some(200)]
        );
        assert_eq!([left(-1.0, 50.0), left(f64::NAN, 0.0), left(200.0, f64::NAN)], [None; 3]);
        assert_eq!(left(1e300, 0.0), Some(i64::MAX));
    }

    #[test]
    fn assumes_default_rate_when_unusable() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!((Quota::read(rate, -1.0, 0.0).per_second - DEFAULT_RATE).abs() < 1e-9);
        }
    }
}
