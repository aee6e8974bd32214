//! Creates the AWS resources of an environment on an emulator: topics, queues with dead-letter
//! queues, subscriptions, the sender's identity and the stored e-mail template.
//!
//! On AWS itself Terraform creates them (`infra/terraform`), with the same names. Every step may be
//! repeated: existing resources are brought up to date, and messages in a queue are kept.

mod email;
mod messaging;

use std::collections::BTreeMap;

use anyhow::Context as _;
use bus::settings::{AwsSettings, sdk_config};

/// Parameters of the resources.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Prefix of every name: `dev-`, or nothing.
    pub prefix: String,
    /// Sender of the e-mails; SES records the address as verified.
    pub source_email: String,
}

/// Creates all resources, and returns the variables by which the services find them.
///
/// # Errors
/// If no endpoint of an emulator is configured, or a step fails; the error names the step.
pub async fn provision(
    aws: &AwsSettings,
    plan: &Plan,
) -> anyhow::Result<BTreeMap<&'static str, String>> {
    anyhow::ensure!(
        aws.endpoint_url.is_some()
            || (aws.sns_endpoint_url.is_some() && aws.sqs_endpoint_url.is_some()),
        "AWS_ENDPOINT_URL is not set: this command sets up a local AWS (an emulator). For AWS \
         itself use Terraform, in infra/terraform"
    );
    let sns = aws_sdk_sns::Client::new(&sdk_config(&aws.at(&aws.sns_endpoint_url)).await);
    let sqs = aws_sdk_sqs::Client::new(&sdk_config(&aws.at(&aws.sqs_endpoint_url)).await);
    let ses = aws_sdk_ses::Client::new(&sdk_config(&aws.at(&aws.ses_endpoint_url)).await);
    let messaging =
        messaging::create(&sns, &sqs, &plan.prefix).await.context("topics and queues")?;
    let template = email::create(&ses, plan).await.context("SES")?;
    let mut variables = messaging.variables();
    variables.extend([
        ("SES_SOURCE_EMAIL", plan.source_email.clone()),
        ("SES_EMAIL_TEMPLATE", template),
    ]);
    Ok(variables)
}
