//! Topics, queues and dead letters on the emulator, made as an operator makes them: by `suite
//! provision`, or by Terraform.

use std::{collections::BTreeMap, path::Path, time::Duration};

use shared::bus::settings::{AwsCredentials, AwsSettings, sdk_config};
use support::{
    ministack::{CREDENTIALS, MiniStack},
    process::Command,
};

/// The region that everything is in.
pub const REGION: &str = "us-east-1";
/// How long Terraform may take: it waits more than a minute for what SQS's attributes settle to.
const TERRAFORM_LIMIT: Duration = Duration::from_secs(400);
/// `terraform`: the journeys run on what Terraform made.
const CHOICE: &str = "JOURNEYS_PROVISIONED_BY";

/// How the SDK reaches the emulator.
#[must_use]
pub fn settings(endpoint: &str) -> AwsSettings {
    AwsSettings {
        region: REGION.to_owned(),
        endpoint_url: Some(endpoint.to_owned()),
        credentials: Some(AwsCredentials::fixed(CREDENTIALS.0, CREDENTIALS.1)),
        ..AwsSettings::default()
    }
}

/// Makes everything and says what the services' variables for it are.
pub(crate) async fn provision(ministack: &MiniStack) -> BTreeMap<String, String> {
    let endpoint = ministack.endpoint();
    let mut variables = access(endpoint);
    variables.insert("BUS".to_owned(), "aws".to_owned());
    match std::env::var_os(CHOICE) {
        Some(choice) if choice == "terraform" => variables.extend(by_terraform(endpoint).await),
        Some(other) => panic!("{CHOICE}={}: expected terraform, or nothing", other.display()),
        None => {
            variables.extend(by_the_suite(endpoint, &[]).await);
            envelope(endpoint, &variables["EVENT_TOPIC_ARN"]).await;
        }
    }
    // The journeys read the service's own e-mails.
    variables.remove("SES_EMAIL_TEMPLATE");
    variables
}

/// `suite provision`, and what it printed.
///
/// # Panics
/// When it fails; with everything it said.
pub async fn by_the_suite(endpoint: &str, arguments: &[&str]) -> BTreeMap<String, String> {
    let command = Command::new("suite").without_ports().envs(access(endpoint)).arg("provision");
    let command = arguments.iter().fold(command, |command, argument| command.arg(*argument));
    let (code, output) = command.run().await;
    assert_eq!(code, Some(0), "suite provision: {output}");
    let pairs = output.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn by_terraform(endpoint: &str) -> BTreeMap<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/terraform-local.sh");
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("variables.json");
    let of_this_process = ["HOME", "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR"];
    let environment = of_this_process
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

/// How the services reach the emulator.
fn access(endpoint: &str) -> BTreeMap<String, String> {
    let variables = [
        ("AWS_REGION", REGION),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", CREDENTIALS.0),
        ("AWS_SECRET_ACCESS_KEY", CREDENTIALS.1),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Turns raw delivery off for what a topic's queues get: consumers read envelopes as well.
async fn envelope(endpoint: &str, topic: &str) {
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

/// The subjects of the mails that SES took for an address.
pub(crate) async fn mailed(endpoint: &str, address: &str) -> Vec<String> {
    let mails = all_mails(endpoint).await.into_iter();
    mails.filter(|(to, _)| to == address).map(|(_, subject)| subject).collect()
}

/// The recipient and the subject of every mail that SES took.
pub(crate) async fn all_mails(endpoint: &str) -> Vec<(String, String)> {
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
