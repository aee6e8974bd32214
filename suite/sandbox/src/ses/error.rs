//! Error answers of SES.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header::CONTENT_TYPE};
use uuid::Uuid;

use super::{NAMESPACE, escaped};
use crate::SesMode;

/// An answer that is not 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    status: u16,
    code: String,
    message: String,
}

impl Fault {
    /// An error of the request.
    pub(super) fn sender(code: &str, message: &str) -> Self {
        Self::new(400, code, message)
    }

    fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }

    pub(super) fn missing_authentication() -> Self {
        Self::new(403, "MissingAuthenticationToken", "Missing Authentication Token")
    }

    pub(super) fn throttled() -> Self {
        Self::sender("Throttling", "Maximum sending rate exceeded.")
    }

    pub(super) fn over_quota() -> Self {
        Self::sender("Throttling", "Daily message quota exceeded.")
    }

    pub(super) fn rejected() -> Self {
        Self::sender(
            "MessageRejected",
            "Email address is not verified. The following identities failed the check.",
        )
    }

    pub(super) fn paused() -> Self {
        Self::sender(
            "AccountSendingPausedException",
            "Email sending is disabled for your entire account.",
        )
    }

    pub(super) fn configuration_set_paused() -> Self {
        let message = "Email sending is disabled for the configuration set.";
        Self::sender("ConfigurationSetSendingPausedException", message)
    }

    pub(super) fn unverified() -> Self {
        let message = "The MAIL FROM domain's MX record could not be read.";
        Self::sender("MailFromDomainNotVerifiedException", message)
    }

    pub(super) fn internal() -> Self {
        Self::new(
            500,
            "InternalFailure",
            "The request processing has failed because of an unknown error.",
        )
    }

    pub(super) fn unavailable() -> Self {
        Self::new(
            503,
            "ServiceUnavailable",
            "The request has failed due to a temporary failure of the server.",
        )
    }

    /// Answer to every send in this mode.
    pub(super) fn of_mode(mode: &SesMode) -> Option<Self> {
        let status = mode.status.or(mode.code.as_ref().map(|_| 400))?;
        let mut fault = match status {
            400 => Self::throttled(),
            403 => Self::new(
                403,
                "AccessDenied",
                "The security token included in the request is invalid.",
            ),
            503 => Self::unavailable(),
            other => Self { status: other, ..Self::internal() },
        };
        if let Some(code) = &mode.code {
            fault.code.clone_from(code);
        }
        if let Some(message) = &mode.message {
            fault.message.clone_from(message);
        }
        Some(fault)
    }

    /// The status and the code, for counting.
    pub(super) fn summary(&self) -> String {
        format!("{} {}", self.status, self.code)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = if status.is_server_error() { "Receiver" } else { "Sender" };
        let (code, message, id) = (escaped(&self.code), escaped(&self.message), Uuid::now_v7());
        let body = format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{kind}</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>"
        );
        (status, [(CONTENT_TYPE, "text/xml")], body).into_response()
    }
}
