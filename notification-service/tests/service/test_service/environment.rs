//! Environment variables of a [`TestService`](super::TestService).

use std::collections::BTreeMap;

use sandbox::Sandbox;

/// Returns the environment of a service, with some variables changed.
pub(super) fn environment(
    url: &str,
    sandbox: &Sandbox,
    variables: &[(&str, &str)],
) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [
        ("BIND_ADDRESS", "127.0.0.1"),
        ("PORT", "0"),
        ("ADMIN_PORT", "0"),
        ("DATABASE_URL", url),
        ("BUS", "postgres"),
        ("BUS_DATABASE_URL", url),
        ("FCM_PROJECT_CONFIG", &sandbox.fcm_project_config()),
        ("FCM_ENDPOINT", &sandbox.url()),
        ("AWS_ENDPOINT_URL", &sandbox.url()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("SES_SOURCE_EMAIL", "reminders@example.com"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    environment
        .extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    environment
}
