//! Makes what an environment needs of AWS on an emulator: topics, queues with their dead letters,
//! subscriptions, the sender's identity and the stored e-mail template.
//!
//! On AWS itself that is Terraform's work (`infra/terraform`); this is its counterpart where there
//! is none, with the same names. Every step may be repeated: what is there is brought up to date,
//! what lies in a queue stays.

mod email;
mod messaging;

use std::collections::BTreeMap;

use anyhow::Context as _;
use shared::bus::settings::{AwsSettings, sdk_config};

/// What to make.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In front of every name: `dev-`, or nothing.
    pub prefix: String,
    /// Who the e-mails are from; SES is told that the address is verified.
    pub source_email: String,
}

/// Makes everything, and gives the variables by which the services find it.
///
/// # Errors
/// When no emulator's endpoint is configured, or a step fails; the step is named.
pub async fn provision(
    aws: &AwsSettings,
    plan: &Plan,
) -> anyhow::Result<BTreeMap<&'static str, String>> {
    anyhow::ensure!(
        aws.endpoint_url.is_some()
            || (aws.sns_endpoint_url.is_some() && aws.sqs_endpoint_url.is_some()),
        "AWS_ENDPOINT_URL is not set: this sets up a local AWS (an emulator). For AWS itself there is Terraform, in infra/"
    );
    let sns = aws_sdk_sns::Client::new(&sdk_config(&aws.at(&aws.sns_endpoint_url)).await);
    let sqs = aws_sdk_sqs::Client::new(&sdk_config(&aws.at(&aws.sqs_endpoint_url)).await);
    let ses = aws_sdk_ses::Client::new(&sdk_config(&aws.at(&aws.ses_endpoint_url)).await);
    let made = messaging::make(&sns, &sqs, &plan.prefix).await.context("topics and queues")?;
    let template = email::make(&ses, plan).await.context("SES")?;
    let mut variables = made.variables();
    variables.extend([
        ("SES_SOURCE_EMAIL", plan.source_email.clone()),
        ("SES_EMAIL_TEMPLATE", template),
    ]);
    Ok(variables)
}
