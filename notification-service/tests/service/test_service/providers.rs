//! FCM and SES around a [`TestService`]: their behaviour, and the messages that they accepted.

use std::sync::Arc;

use sandbox::{Captured, Mode};

use super::TestService;

impl TestService {
    /// Returns the number of times that the account's quota was read from SES.
    pub(crate) fn quotas_read(&self) -> u64 {
        self.sandbox.stats().quotas_read
    }

    /// Returns the pushes to a token that FCM accepted.
    pub(crate) fn pushes(&self, token: &str) -> Vec<Arc<Captured>> {
        self.sandbox
            .captured()
            .into_iter()
            .filter(|captured| captured.push().is_some_and(|push| push.token == token))
            .collect()
    }

    /// Returns all e-mails that SES accepted.
    pub(crate) fn all_emails(&self) -> Vec<Arc<Captured>> {
        self.sandbox.captured().into_iter().filter(|captured| captured.email().is_some()).collect()
    }

    /// Returns the e-mails to an address that SES accepted.
    pub(crate) fn emails(&self, address: &str) -> Vec<Arc<Captured>> {
        let is_to = |captured: &Captured| {
            captured.email().is_some_and(|email| email.to.iter().any(|to| to == address))
        };
        self.sandbox.captured().into_iter().filter(|captured| is_to(captured)).collect()
    }

    /// Changes the mode of the providers, starting from the default.
    pub(crate) fn set_provider_mode(&self, change: impl FnOnce(&mut Mode)) {
        let mut mode = default_mode();
        change(&mut mode);
        self.sandbox.set_mode(mode);
    }
}

/// Returns the default mode: everything works, and the rate of SES is not a limit.
pub(super) fn default_mode() -> Mode {
    let mut mode = Mode::default();
    mode.ses.max_send_rate = Some(100_000);
    mode
}
