//! Reason codes: why an occurrence, a delivery, a device or a message is in its state.
//!
//! `docs/REASONS.md` explains each code; a test compares the page with this list. Errors of REST
//! calls have a list of their own, `http::Reason`.

use std::{borrow::Cow, fmt, ops::Deref};

use serde::{Deserialize, Serialize};

words! {
    /// Reason code: why an occurrence, a delivery, a device or a message is in its state. Later
    /// versions may add codes.
    Reason {
        // Occurrences and deliveries that are cancelled.

        /// The reminder or notification was deleted.
        Deleted = "DELETED",
        /// An edit removed the delivery time or the channel.
        Edited = "EDITED",
        /// The instance was acknowledged.
        Acknowledged = "ACKNOWLEDGED",
        /// The instance was snoozed, and is notified at the time of the snooze instead.
        Snoozed = "SNOOZED",
        /// The reminder was paused.
        Paused = "PAUSED",
        /// The user's data was erased.
        Erased = "ERASED",
        /// Cancelled after the release of its occurrence, for a cause that is not known: an earlier
        /// version cancelled it.
        Cancelled = "CANCELLED",
        /// No notification is stored for the occurrence.
        NotificationGone = "NOTIFICATION_GONE",

        // Occurrences and deliveries that are not sent.

        /// The time after which the occurrence is no longer sent had passed.
        Expired = "EXPIRED",
        /// A later occurrence of the same series is due as well, and is sent instead.
        Missed = "MISSED",
        /// The notification topic can never accept the message.
        Unpublishable = "UNPUBLISHABLE",
        /// The message was lost between the services, and the occurrence expired meanwhile.
        LostInTransit = "LOST_IN_TRANSIT",
        /// The running version cannot read the stored row or the message.
        Unreadable = "UNREADABLE",
        /// The time zone data changed since the previous occurrence, and may have moved this one.
        TimeZoneDataChanged = "TIME_ZONE_DATA_CHANGED",
        /// The user switched the channel off.
        OptedOut = "OPTED_OUT",
        /// The user has no registered device.
        NoDevice = "NO_DEVICE",
        /// The device was removed or became invalid before the message was sent.
        DeviceGone = "DEVICE_GONE",
        /// The user has no e-mail address, or it is malformed.
        NoAddress = "NO_ADDRESS",
        /// The e-mail address bounced, or its owner complained.
        AddressSuppressed = "ADDRESS_SUPPRESSED",
        /// Attempts failed until the time for retries was over.
        RetriesExhausted = "RETRIES_EXHAUSTED",

        // Deliveries that are pending or deferred.

        /// Deferred until the end of the user's quiet hours.
        QuietHours = "QUIET_HOURS",
        /// More is due for the user than is sent to one user in a minute.
        RateLimited = "RATE_LIMITED",
        /// Late, as after an outage: waits a few seconds for changes that may be under way.
        AwaitingChanges = "AWAITING_CHANGES",

        // Corrections by SES after it accepted an e-mail.

        /// The mailbox refused the e-mail permanently.
        Bounced = "BOUNCED",
        /// SES could not render its template.
        RenderingFailed = "RENDERING_FAILED",
        /// SES did not send the e-mail.
        RejectedByProvider = "REJECTED_BY_PROVIDER",

        // Devices.

        /// The token was registered by another user, and the device moved to that user.
        Moved = "MOVED",
        /// The device was removed because its user registered more devices than allowed.
        DeviceLimit = "DEVICE_LIMIT",
        /// FCM no longer knows the token.
        Unregistered = "UNREGISTERED",
        /// FCM says that the token is invalid.
        InvalidToken = "INVALID_TOKEN",

        // Answers of any provider.

        /// The provider returned a code or an HTTP status that this version does not know.
        UnrecognisedCode = "UNRECOGNISED_CODE",
        /// The provider refused a field of the request.
        InvalidArgument = "INVALID_ARGUMENT",
        /// The provider reported an internal error.
        Internal = "INTERNAL",
        /// The provider is temporarily unavailable.
        Unavailable = "UNAVAILABLE",
        /// The provider's answer cannot be read.
        UnreadableAnswer = "UNREADABLE_ANSWER",
        /// The attempt was cut off before the lease of its delivery ended.
        DeadlineExceeded = "DEADLINE_EXCEEDED",
        /// The provider did not answer in time.
        Timeout = "TIMEOUT",
        /// The connection was lost before the answer.
        ConnectionLost = "CONNECTION_LOST",
        /// No connection to the provider could be opened.
        ConnectFailed = "CONNECT_FAILED",
        /// Opening a connection to the provider took too long.
        ConnectTimeout = "CONNECT_TIMEOUT",
        /// TLS or HTTP could not be negotiated with the provider.
        HandshakeFailed = "HANDSHAKE_FAILED",
        /// The provider closed the connection without taking the request.
        RequestNotTaken = "REQUEST_NOT_TAKEN",
        /// The provider closed the connection before it answered.
        HungUp = "HUNG_UP",

        // FCM.

        /// The token belongs to another Firebase project.
        SenderIdMismatch = "SENDER_ID_MISMATCH",
        /// The key of APNs or Web Push in the Firebase project is refused.
        ThirdPartyAuthError = "THIRD_PARTY_AUTH_ERROR",
        /// A quota of FCM is used up.
        QuotaExceeded = "QUOTA_EXCEEDED",
        /// FCM, or a proxy before it, asks for fewer requests.
        TooManyRequests = "TOO_MANY_REQUESTS",
        /// The message is larger than FCM accepts.
        PayloadTooLarge = "PAYLOAD_TOO_LARGE",
        /// FCM refuses the message in the present state of the project or the token.
        FailedPrecondition = "FAILED_PRECONDITION",
        /// The service account may not send messages for the project.
        PermissionDenied = "PERMISSION_DENIED",
        /// FCM refuses the access token, and the renewed one too.
        Unauthenticated = "UNAUTHENTICATED",
        /// The project or the endpoint does not exist.
        EndpointNotFound = "ENDPOINT_NOT_FOUND",
        /// Google refuses the signature of the service account, or the clock is wrong.
        OauthInvalidGrant = "OAUTH_INVALID_GRANT",
        /// Google does not know the service account.
        OauthInvalidClient = "OAUTH_INVALID_CLIENT",
        /// Google refuses to issue an access token, for another cause.
        OauthRefused = "OAUTH_REFUSED",
        /// Google's token endpoint is unavailable.
        OauthUnavailable = "OAUTH_UNAVAILABLE",
        /// The answer of Google's token endpoint cannot be read.
        OauthUnreadable = "OAUTH_UNREADABLE",
        /// The request for an access token could not be signed with the service account's key.
        OauthSigning = "OAUTH_SIGNING",

        // SES.

        /// SES refused the e-mail.
        MessageRejected = "MESSAGE_REJECTED",
        /// SES refused a parameter of the request.
        InvalidParameterValue = "INVALID_PARAMETER_VALUE",
        /// The recipient's address cannot be written into an e-mail.
        InvalidAddress = "INVALID_ADDRESS",
        /// The recipient's address has letters beyond ASCII before the `@`, which SES cannot send
        /// to.
        LocalPartNotAscii = "LOCAL_PART_NOT_ASCII",
        /// The e-mail cannot be encoded.
        NotWritable = "NOT_WRITABLE",
        /// The account's quota of 24 hours is used up.
        DailyQuotaExceeded = "DAILY_QUOTA_EXCEEDED",
        /// The account's sending rate is exceeded.
        SendingRateExceeded = "SENDING_RATE_EXCEEDED",
        /// SES asks for fewer requests.
        Throttling = "THROTTLING",
        /// The sender's address or domain is not verified.
        SenderNotVerified = "SENDER_NOT_VERIFIED",
        /// The MAIL FROM domain is not verified.
        MailFromDomainNotVerified = "MAIL_FROM_DOMAIN_NOT_VERIFIED",
        /// Sending is paused or suspended for the account.
        AccountSendingPaused = "ACCOUNT_SENDING_PAUSED",
        /// Sending is paused for the configuration set.
        ConfigurationSetSendingPaused = "CONFIGURATION_SET_SENDING_PAUSED",
        /// The configuration set does not exist.
        ConfigurationSetDoesNotExist = "CONFIGURATION_SET_DOES_NOT_EXIST",
        /// The template does not exist.
        TemplateDoesNotExist = "TEMPLATE_DOES_NOT_EXIST",
        /// The template is invalid, or its variables are.
        InvalidTemplate = "INVALID_TEMPLATE",
        /// The stored template uses a variable that the service does not set.
        TemplateVariableUnknown = "TEMPLATE_VARIABLE_UNKNOWN",
        /// The AWS identity may not send with SES.
        AccessDenied = "ACCESS_DENIED",
        /// AWS refuses the credentials or the signature.
        CredentialsRefused = "CREDENTIALS_REFUSED",
        /// No AWS credentials are configured.
        NoCredentials = "NO_CREDENTIALS",
        /// AWS refuses the time of the request: a clock is wrong.
        RequestExpired = "REQUEST_EXPIRED",
        /// The endpoint does not offer the action that is called.
        InvalidAction = "INVALID_ACTION",

        // Dead letters.

        /// The message belongs to another queue.
        Misrouted = "MISROUTED",
        /// A field of the message has a value that is not allowed.
        Invalid = "INVALID",
        /// The database refuses a value of the message.
        NotStorable = "NOT_STORABLE",
        /// The message failed alone, several times, while others succeeded.
        FailedAlone = "FAILED_ALONE",
        /// The handler of the message panicked.
        HandlerPanicked = "HANDLER_PANICKED",
        /// The message is too large to be read.
        TooLarge = "TOO_LARGE",
        /// The message was received too often without being settled.
        NotSettled = "NOT_SETTLED",
    }
}

/// A reason code as it is stored or received. A later version may write codes that this one does
/// not know; they are kept as they are. Only a [`Reason`] makes a new one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReasonCode(Cow<'static, str>);

impl ReasonCode {
    /// Wraps a stored code.
    #[must_use]
    pub const fn stored(code: String) -> Self {
        Self(Cow::Owned(code))
    }

    /// Returns the text of the code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the reason; `None` if this version does not know the code.
    #[must_use]
    pub fn known(&self) -> Option<Reason> {
        self.0.parse().ok()
    }
}

impl Deref for ReasonCode {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<Reason> for ReasonCode {
    fn from(reason: Reason) -> Self {
        Self(Cow::Borrowed(reason.as_str()))
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Codes of the tables of a page: the first column, in backquotes.
    fn codes_of<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
        let (_, section) = page.split_once(heading).expect("the heading");
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.filter_map(|row| row.split_once('`')).map(|(code, _)| code).collect()
    }

    #[test]
    fn page_explains_every_code_once() {
        let page = include_str!("../../../docs/REASONS.md");
        let (page, _) = page.split_once("## Errors of REST calls").expect("the last section");
        let explained = codes_of(page, "# Reason codes");
        let distinct: BTreeSet<&str> = explained.iter().copied().collect();
        assert_eq!(explained.len(), distinct.len(), "a code is explained twice");
        let codes: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(distinct, codes);
    }

    #[test]
    fn codes_are_upper_snake_case() {
        for reason in Reason::ALL {
            let code = reason.as_str();
            let is_allowed = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
            assert!(code.bytes().all(is_allowed), "{code}");
            assert_eq!(code.parse(), Ok(*reason));
        }
    }

    #[test]
    fn keeps_code_of_later_version() {
        let code: ReasonCode = serde_json::from_str("\"FROM_THE_FUTURE\"").expect("a code");
        assert_eq!((code.as_str(), code.known()), ("FROM_THE_FUTURE", None));
        assert_eq!(serde_json::to_string(&code).expect("JSON"), "\"FROM_THE_FUTURE\"");
        assert_eq!(ReasonCode::from(Reason::Edited).known(), Some(Reason::Edited));
    }
}
