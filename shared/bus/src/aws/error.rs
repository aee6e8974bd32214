//! Classification of errors of AWS.

use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::{Error, PublishError};

/// Codes of errors that stay until the configuration is changed: something is missing, forbidden or
/// malformed. (Error lists of SNS and SQS, and the errors common to all of AWS.)
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

/// Classifies the failure of a call by its code; without one (no connection, no answer in time) the
/// bus is unavailable.
pub(super) fn classify<E, R>(action: &'static str, error: SdkError<E, R>) -> Error
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

/// Returns whether the call was refused for the content of one of its entries.
pub(super) fn is_content_refused<E: ProvideErrorMetadata>(error: &E) -> bool {
    error.code().is_some_and(is_content_code) && !is_about_target(error.message())
}

/// Classifies an entry that failed within a successful call.
///
/// Neither SNS nor SQS lists the codes of entries, and both report throttling and refusals of KMS
/// or of a policy as the sender's fault (`KMS.ThrottlingException`, `KMS.AccessDeniedException`,
/// `AccessDenied`). Such an entry is published once the configuration is repaired. Only a code that
/// names the content of the message makes it unpublishable.
pub(super) fn classify_entry(
    code: &str,
    message: Option<&str>,
    sender_fault: bool,
) -> PublishError {
    let text = format!("{code}: {}", message.unwrap_or("no message"));
    let is_unpublishable = sender_fault && is_content_code(code) && !is_about_target(message);
    if is_unpublishable { PublishError::Unpublishable(text) } else { PublishError::Retry(text) }
}

/// The whole error chain in one line, for results that carry only text.
pub(super) fn text<E: std::error::Error>(error: &E) -> String {
    DisplayErrorContext(error).to_string()
}

fn is_misconfiguration(code: &str) -> bool {
    MISCONFIGURED.contains(&code) || is_kms(code) && !is_throttling(code)
}

/// Returns whether a code says that the content of a message is refused.
fn is_content_code(code: &str) -> bool {
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
fn is_about_target(message: Option<&str>) -> bool {
    message.is_some_and(|message| {
        ["TopicArn", "Queue", "queue"].iter().any(|target| message.contains(target))
    })
}

/// Returns whether a code is a refusal of KMS: `KMSAccessDenied` of SNS, `KmsAccessDenied` of SQS,
/// `KMS.AccessDeniedException` of both.
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
    fn rejects_entry_only_for_its_content() {
        for code in ["InvalidParameter", "InvalidParameterValue", "InvalidMessageContents"] {
            assert!(
                matches!(classify_entry(code, None, true), PublishError::Unpublishable(_)),
                "{code}"
            );
            assert!(matches!(classify_entry(code, None, false), PublishError::Retry(_)), "{code}");
        }
    }

    #[test]
    fn retries_entry_when_target_is_refused() {
        let message = Some("a parameter is not valid for this queue type");
        assert!(matches!(
            classify_entry("InvalidParameterValue", message, true),
            PublishError::Retry(_)
        ));
    }

    #[test]
    fn retries_entry_when_configuration_is_refused() {
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
            "AnUnknownCode",
        ] {
            assert!(matches!(classify_entry(code, None, true), PublishError::Retry(_)), "{code}");
        }
    }

    #[test]
    fn classifies_missing_resource_as_misconfigured() {
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
