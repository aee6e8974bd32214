//! Topics, queues and dead-letter queues on the emulator, created as an operator creates them: with
//! `suite provision`, or with Terraform.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bus::settings::{AwsCredentials, AwsSettings, sdk_config};
use support::{
    ministack::{CREDENTIALS, MiniStack},
    process::Command,
};

/// Region of all resources.
pub const REGION: &str = "us-east-1";
/// Longest time of Terraform, which waits more than a minute for the attributes of SQS queues.
const TERRAFORM_LIMIT: Duration = Duration::from_secs(400);
/// Variable that selects Terraform (`terraform`) for the journeys.
const CHOICE: &str = "JOURNEYS_PROVISIONED_BY";

/// Settings by which the SDK connects to the emulator.
#[must_use]
pub fn settings(endpoint: &str) -> AwsSettings {
    AwsSettings {
        region: REGION.to_owned(),
        endpoint_url: Some(endpoint.to_owned()),
        credentials: Some(AwsCredentials::fixed(CREDENTIALS.0, CREDENTIALS.1)),
        ..AwsSettings::default()
    }
}

/// Creates all resources and returns the variables of the services.
pub(crate) async fn provision(ministack: &MiniStack) -> BTreeMap<String, String> {
    let endpoint = ministack.endpoint();
    let mut variables = access(endpoint);
    variables.insert("BUS".to_owned(), "aws".to_owned());
    match std::env::var_os(CHOICE) {
        Some(choice) if choice == "terraform" => variables.extend(with_terraform(endpoint).await),
        Some(other) => panic!("{CHOICE}={}: expected terraform, or nothing", other.display()),
        None => {
            variables.extend(with_suite(endpoint, &[]).await);
            disable_raw_delivery(endpoint, &variables["EVENT_TOPIC_ARN"]).await;
        }
    }
    // The journeys read e-mails of the service's own templates.
    variables.remove("SES_EMAIL_TEMPLATE");
    variables
}

/// Runs `suite provision` and returns the variables that it printed.
///
/// # Panics
/// If it fails; the message contains its output.
pub async fn with_suite(endpoint: &str, arguments: &[&str]) -> BTreeMap<String, String> {
    let command = Command::new("suite").without_ports().envs(access(endpoint)).arg("provision");
    let command = arguments.iter().fold(command, |command, argument| command.arg(*argument));
    let (code, output) = command.run().await;
    assert_eq!(code, Some(0), "suite provision: {output}");
    let pairs = output.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn with_terraform(endpoint: &str) -> BTreeMap<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/terraform-local.sh");
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("variables.json");
    let inherited = ["HOME", "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR"];
    let environment = inherited
        .iter()
        .filter_map(|name| Some((*name, std::env::var_os(name)?.into_string().ok()?)));
    let command = Command::program("terraform-local.sh", script).without_ports().envs(environment);
    let command = command.arg("apply").arg("--endpoint").arg(endpoint);
    let command = command.arg("--state").arg(folder.path().display().to_string());
    let mut applying = command.arg("--output").arg(output.display().to_string()).start().await;
    let code = applying.ended(TERRAFORM_LIMIT).await;
    assert_eq!(code, Some(0), "{}", applying.log());
    let variables = std::fs::read(&output).expect("the variables were written");
    serde_json::from_slice(&variables).expect("the variables are a JSON object of texts")
}

/// Variables by which the services connect to the emulator.
fn access(endpoint: &str) -> BTreeMap<String, String> {
    let variables = [
        ("AWS_REGION", REGION),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", CREDENTIALS.0),
        ("AWS_SECRET_ACCESS_KEY", CREDENTIALS.1),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Turns raw delivery off for the queues of a topic, to test that consumers read envelopes as well.
async fn disable_raw_delivery(endpoint: &str, topic: &str) {
    let sns = aws_sdk_sns::Client::new(&sdk_config(&settings(endpoint)).await);
    let subscribed = sns
        .list_subscriptions_by_topic()
        .topic_arn(topic)
        .send()
        .await
        .expect("the topic is there");
    for subscription in subscribed.subscriptions() {
        let setting = sns
            .set_subscription_attributes()
            .subscription_arn(subscription.subscription_arn().expect("an ARN"));
        let set =
            setting.attribute_name("RawMessageDelivery").attribute_value("false").send().await;
        set.expect("the delivery is set");
    }
}

/// Subjects of the e-mails that SES accepted for an address.
pub(crate) async fn email_subjects(endpoint: &str, address: &str) -> Vec<String> {
    let mails = all_emails(endpoint).await.into_iter();
    mails.filter(|(to, _)| to == address).map(|(_, subject)| subject).collect()
}

/// Recipient and subject of each e-mail that SES accepted.
pub(crate) async fn all_emails(endpoint: &str) -> Vec<(String, String)> {
    let answer =
        support::http::Client::new(endpoint).get("/_ministack/ses/messages").await.expect(200).body;
    let accounts = answer["messages"].as_object().cloned().unwrap_or_default();
    let messages = accounts.values().filter_map(|messages| messages.as_array()).flatten();
    let read = messages.flat_map(|mail| {
        let subject = mail["Subject"].as_str().unwrap_or_default().to_owned();
        let to = mail["To"].as_array().cloned().unwrap_or_default();
        to.into_iter().filter_map(move |to| Some((to.as_str()?.to_owned(), subject.clone())))
    });
    read.collect()
}
