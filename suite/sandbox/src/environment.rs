//! Variables by which a service sends to the sandbox in place of the real providers.

use crate::service_account;

/// Variables for pushes, of a sandbox at `base_url`.
pub fn fcm_variables(base_url: &str) -> [(&'static str, String); 2] {
    [
        ("FCM_ENDPOINT", base_url.to_owned()),
        ("FCM_PROJECT_CONFIG", service_account(base_url).to_string()),
    ]
}

/// Variables for e-mails, of a sandbox at `base_url`. It accepts any credentials.
pub fn ses_variables(base_url: &str) -> [(&'static str, String); 4] {
    [
        ("AWS_ENDPOINT_URL", base_url.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "sandbox".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "sandbox".to_owned()),
    ]
}
