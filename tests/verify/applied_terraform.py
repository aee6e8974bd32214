"""Terraform applied to MiniStack: its resources are created, used, changed by hand, and destroyed.

`scripts/terraform-local.sh check` runs this; `make verify` does not, because the AWS provider waits
several minutes for the attributes of SQS queues. MiniStack runs with TLS and enforces IAM.
"""

import json
import subprocess
import time

import pytest
from conftest import ROOT, SERVICES
from terraform_tools import MiniStack, provider_folders
from test_terraform_rights import assumed, is_allowed, subject

ISSUER = "oidc.example.com/id/local"
BOUNCE = {
    "eventType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "bouncedRecipients": [{"emailAddress": "ada@example.com"}],
    },
    "mail": {"messageId": "1"},
}


class Made:
    """An emulator, and the resources that the script created on it."""

    def __init__(self, aws, folder):
        self.aws, self.folder, self.output = aws, folder, folder / "variables.json"

    def script(self, command, *options):
        """Runs scripts/terraform-local.sh. Returns its exit status and its output."""
        plugins, _ = provider_folders()
        arguments = [
            ROOT / "scripts/terraform-local.sh",
            command,
            "--endpoint",
            self.aws.endpoint,
            "--state",
            self.folder / "state",
            *options,
        ]
        done = subprocess.run(
            list(map(str, arguments)),
            text=True,
            capture_output=True,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": str(self.folder),
                "TF_PLUGIN_MIRROR": str(plugins),
            },
        )
        return done.returncode, done.stdout + done.stderr

    def variables(self):
        return json.loads(self.output.read_text())

    def received(self, variable, **options):
        """Receives the messages of the queue that a variable names, within ten seconds."""
        for _ in range(100):
            answer = self.aws.client("sqs").receive_message(
                QueueUrl=self.variables()[variable],
                MessageAttributeNames=["All"],
                WaitTimeSeconds=0,
                **options,
            )
            if answer.get("Messages"):
                return answer["Messages"]
            time.sleep(0.1)
        return []


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("applied")
    with MiniStack(folder, secure=True, SERVICES="sns,sqs,ses,iam,sts,kms") as aws:
        made = Made(aws, folder)
        status, said = made.script("apply", "--output", made.output, "--enveloped", "event")
        assert status == 0, said
        yield made


def test_prints_variables_of_services(made):
    variables = made.variables()
    assert variables["EVENT_TOPIC_ARN"] == "arn:aws:sns:us-east-1:000000000000:local-event-topic"
    assert variables["NOTIFICATION_QUEUE_URL"].endswith("/local-notification-queue")
    assert variables["AWS_ENDPOINT_URL"] == made.aws.endpoint and variables["BUS"] == "aws"


def test_delivers_messages_raw_or_enveloped(made):
    attributes = {"eventType": {"DataType": "String", "StringValue": "reminder:created"}}
    for variable in ("EVENT_TOPIC_ARN", "NOTIFICATION_TOPIC_ARN"):
        made.aws.client("sns").publish(
            TopicArn=made.variables()[variable], Message="{}", MessageAttributes=attributes
        )
    [enveloped], [raw] = made.received("EVENT_QUEUE_URL"), made.received("NOTIFICATION_QUEUE_URL")
    assert (
        json.loads(enveloped["Body"])["MessageAttributes"]["eventType"]["Value"]
        == "reminder:created"
    )
    assert (
        raw["Body"] == "{}"
        and raw["MessageAttributes"]["eventType"]["StringValue"] == "reminder:created"
    )


def test_dead_letters_message_received_too_often(made):
    sqs, url = made.aws.client("sqs"), made.variables()["NOTIFICATION_QUEUE_URL"]
    sqs.purge_queue(QueueUrl=url)
    sqs.send_message(QueueUrl=url, MessageBody="never consumed")
    receipts = sum(
        len(
            sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, WaitTimeSeconds=0).get(
                "Messages", []
            )
        )
        for _ in range(10)
    )
    dead = sqs.receive_message(QueueUrl=f"{url}-dlq", WaitTimeSeconds=0)["Messages"]
    assert receipts == 5 and [it["Body"] for it in dead] == ["never consumed"]


def test_delivers_feedback_and_email(made):
    ses, variables = made.aws.client("sesv2"), made.variables()
    [destination] = ses.get_configuration_set_event_destinations(
        ConfigurationSetName=variables["SES_CONFIGURATION_SET"]
    )["EventDestinations"]
    assert destination["Enabled"] and {"BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE"} <= set(
        destination["MatchingEventTypes"]
    )
    # MiniStack keeps destinations and publishes nothing to them; the way from the topic on is real.
    made.aws.client("sns").publish(
        TopicArn=destination["SnsDestination"]["TopicArn"], Message=json.dumps(BOUNCE)
    )
    [message] = made.received("SES_FEEDBACK_QUEUE_URL")
    assert json.loads(message["Body"]) == BOUNCE
    sent = made.aws.client("ses").send_templated_email(
        Source=variables["SES_SOURCE_EMAIL"],
        Destination={"ToAddresses": ["ada@example.com"]},
        Template="local-reminder",
        TemplateData=json.dumps(
            {"title": "T", "message": "M", "when": "now", "url": "", "locale": "en"}
        ),
    )
    assert sent["MessageId"]


@pytest.mark.parametrize("service", SERVICES)
def test_limits_assumed_roles(made, service):
    claims = {**subject("local", f"local-{service}"), "iss": f"https://{ISSUER}"}
    credentials = assumed(made.aws, f"local-{service}", claims)
    sqs, sns, variables = (
        made.aws.client("sqs", credentials),
        made.aws.client("sns", credentials),
        made.variables(),
    )
    assert is_allowed(
        lambda: sqs.receive_message(QueueUrl=variables["EVENT_QUEUE_URL"], WaitTimeSeconds=0)
    ) == (service == "event-service")
    assert is_allowed(
        lambda: sns.publish(TopicArn=variables["NOTIFICATION_TOPIC_ARN"], Message="x")
    ) == (service == "notification-scheduler")


def test_changes_nothing_when_applied_again(made):
    status, said = made.script("plan", "--enveloped", "event")
    assert status == 0, said


def test_detects_manual_changes(made):
    sns = made.aws.client("sns")
    [subscription] = sns.list_subscriptions_by_topic(TopicArn=made.variables()["EVENT_TOPIC_ARN"])[
        "Subscriptions"
    ]
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    status, said = made.script("plan", "--enveloped", "event")
    assert status == 2 and 'aws_sns_topic_subscription.this["event"] will be created' in said, said


def test_destroys_all_resources(made):
    status, said = made.script("destroy")
    assert status == 0, said
    assert not made.aws.client("sqs").list_queues().get("QueueUrls")
    assert (
        not made.aws.client("sns").list_topics()["Topics"]
        and not made.aws.client("iam").list_roles()["Roles"]
    )
    assert (
        not made.aws.client("ses").list_identities()["Identities"]
        and not made.aws.client("sesv2").list_configuration_sets()["ConfigurationSets"]
    )
