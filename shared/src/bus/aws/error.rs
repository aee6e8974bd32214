//! Which class an error of AWS has.

use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::bus::{Error, PublishError};

/// Codes that stay until somebody changes something: what is missing, forbidden or wrong. (SNS's
/// and SQS's lists of errors, and the errors common to all of AWS.)
const MISCONFIGURED: [&str; 21] = [
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
    "NotFound",
    "NotFoundException",
    "OptInRequired",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "ResourceNotFoundException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// A call's failure, classified by its code; without one (no connection, no answer in time) the bus
/// is unavailable.
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
    if misconfigured {
        Error::Misconfigured { action, source }
    } else {
        Error::Unavailable { action, source }
    }
}

/// Whether the call was refused for what one of its entries holds.
pub(super) fn blames_data<E: ProvideErrorMetadata>(error: &E) -> bool {
    error.code().is_some_and(names_data) && !names_target(error.message())
}

/// What becomes of an entry that failed within a successful call.
///
/// Neither SNS nor SQS lists the codes of entries, and both report throttling and refusals of KMS
/// or of a policy as the sender's fault (`KMS.ThrottlingException`, `KMS.AccessDeniedException`,
/// `AccessDenied`). Such an entry is as good as any other, and is published once the configuration
/// is mended. Only a code that names the message's own data gives it up.
pub(super) fn of_entry(code: &str, message: Option<&str>, sender_fault: bool) -> PublishError {
    let text = format!("{code}: {}", message.unwrap_or("no message"));
    let is_unpublishable = sender_fault && names_data(code) && !names_target(message);
    if is_unpublishable { PublishError::Unpublishable(text) } else { PublishError::Retry(text) }
}

/// The whole chain in one line, for results that carry text only.
pub(super) fn text<E: std::error::Error>(error: &E) -> String {
    DisplayErrorContext(error).to_string()
}

fn is_misconfiguration(code: &str) -> bool {
    MISCONFIGURED.contains(&code) || is_kms(code) && !is_throttling(code)
}

/// Returns whether a code says that a message's own data is refused.
fn names_data(code: &str) -> bool {
    [
        "InvalidParameter",
        "InvalidMessageContents",
        "BatchRequestTooLong",
        "InvalidAttributeValue",
        "MessageTooLong",
    ]
    .iter()
    .any(|known| code.contains(known))
}

/// Returns whether a refusal is about the topic or queue and not about the message.
fn names_target(message: Option<&str>) -> bool {
    message.is_some_and(|message| {
        ["TopicArn", "Queue", "queue"].iter().any(|target| message.contains(target))
    })
}

/// KMS's refusals: `KMSAccessDenied` of SNS, `KmsAccessDenied` of SQS, `KMS.AccessDeniedException`
/// of both.
fn is_kms(code: &str) -> bool {
    code.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("kms"))
}

fn is_throttling(code: &str) -> bool {
    code.contains("Throttl") || code.contains("TooManyRequests") || code.contains("OverLimit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_an_entry_only_for_its_own_data() {
        for code in ["InvalidParameter", "InvalidParameterValue", "InvalidMessageContents"] {
            assert!(matches!(of_entry(code, None, true), PublishError::Unpublishable(_)), "{code}");
            assert!(matches!(of_entry(code, None, false), PublishError::Retry(_)), "{code}");
        }
    }

    #[test]
    fn keeps_an_entry_when_its_target_is_refused() {
        let message = Some("a parameter is not valid for this queue type");
        assert!(matches!(of_entry("InvalidParameterValue", message, true), PublishError::Retry(_)));
    }

    #[test]
    fn keeps_an_entry_when_its_configuration_is_refused() {
        for code in [
            "InternalError",
            "KMSThrottling",
            "KMS.ThrottlingException",
            "KMS.AccessDeniedException",
            "KMS.DisabledException",
            "KMSAccessDenied",
            "KmsAccessDenied",
            "KmsInvalidKeyUsage",
            "KMSOptInRequired",
            "AccessDenied",
            "AuthorizationError",
            "EndpointDisabled",
            "NotFound",
            "RequestThrottled",
            "ThrottlingException",
            "OverLimit",
            "a code of tomorrow",
        ] {
            assert!(matches!(of_entry(code, None, true), PublishError::Retry(_)), "{code}");
        }
    }

    #[test]
    fn what_is_missing_is_misconfigured_and_what_passes_is_not() {
        for code in [
            "NotFound",
            "AWS.SimpleQueueService.NonExistentQueue",
            "AuthorizationError",
            "KMSAccessDenied",
            "KmsDisabled",
            "KMS.NotFoundException",
        ] {
            assert!(is_misconfiguration(code), "{code}");
        }
        for code in [
            "Throttling",
            "KMSThrottling",
            "KMS.ThrottlingException",
            "KmsThrottled",
            "InternalError",
            "ServiceUnavailable",
            "ExpiredToken",
            "RequestExpired",
        ] {
            assert!(!is_misconfiguration(code), "{code}");
        }
    }
}
