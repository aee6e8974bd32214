//! Which class an error of AWS has.

use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::bus::{Error, PublishError};

/// Codes that stay until somebody changes something: what is missing, forbidden or wrong. (SNS's and SQS's lists of
/// errors, and the errors common to all of AWS.)
const MISCONFIGURED: [&str; 26] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "InvalidAddress",
    "InvalidClientTokenId",
    "InvalidParameter",
    "InvalidParameterException",
    "InvalidParameterValue",
    "InvalidParameterValueException",
    "InvalidSecurity",
    "InvalidSecurityException",
    "IncompleteSignature",
    "KMSAccessDenied",
    "KMSDisabled",
    "KMSInvalidState",
    "KMSNotFound",
    "KMSOptInRequired",
    "NotFound",
    "NotFoundException",
    "OptInRequired",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "ResourceNotFoundException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// A call's failure, classified by its code; without one (no connection, no answer in time) the bus is unavailable.
pub(super) fn of<E, R>(action: &'static str, error: SdkError<E, R>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let misconfigured = match &error {
        SdkError::ConstructionFailure(_) => true,
        _ => code.is_some_and(is_misconfiguration),
    };
    let source = Box::new(error);
    if misconfigured { Error::Misconfigured { action, source } } else { Error::Unavailable { action, source } }
}

/// Whether the call was refused for what one of its entries holds.
pub(super) fn blames_data<E: ProvideErrorMetadata>(error: &E) -> bool {
    let names_target = error.message().is_some_and(|message| message.contains("TopicArn") || message.contains("Queue"));
    let refused = |code: &str| {
        ["InvalidParameter", "InvalidMessageContents", "BatchRequestTooLong", "InvalidAttributeValue"]
            .iter()
            .any(|known| code.contains(known))
    };
    error.code().is_some_and(refused) && !names_target
}

/// What becomes of an entry that failed within a successful call.
pub(super) fn of_entry(code: &str, message: Option<&str>, sender_fault: bool) -> PublishError {
    let text = format!("{code}: {}", message.unwrap_or("no message"));
    // Throttling counts as the sender's fault, yet passes.
    if sender_fault && !is_throttling(code) { PublishError::Unpublishable(text) } else { PublishError::Retry(text) }
}

/// The whole chain in one line, for results that carry text only.
pub(super) fn text<E: std::error::Error>(error: &E) -> String {
    DisplayErrorContext(error).to_string()
}

fn is_misconfiguration(code: &str) -> bool {
    MISCONFIGURED.contains(&code)
}

fn is_throttling(code: &str) -> bool {
    code.contains("Throttl") || code.contains("TooManyRequests") || code.contains("OverLimit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_given_up_only_by_its_own_fault() {
        assert!(matches!(of_entry("InvalidParameter", None, true), PublishError::Unpublishable(_)));
        assert!(matches!(of_entry("InternalError", None, false), PublishError::Retry(_)));
        assert!(matches!(of_entry("KMSThrottling", None, true), PublishError::Retry(_)));
    }

    #[test]
    fn what_is_missing_is_misconfigured_and_what_passes_is_not() {
        for code in ["NotFound", "AWS.SimpleQueueService.NonExistentQueue", "AuthorizationError"] {
            assert!(is_misconfiguration(code), "{code}");
        }
        for code in ["Throttling", "InternalError", "ServiceUnavailable", "ExpiredToken", "RequestExpired"] {
            assert!(!is_misconfiguration(code), "{code}");
        }
    }
}
