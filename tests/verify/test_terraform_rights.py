"""Roles of the services: they allow exactly the calls that the code makes. Terraform plans them,
and MiniStack decides by them, as IAM would.

MiniStack's IAM differs from AWS in two points. It requires rights to PublishBatch and similar
calls, which AWS covers by Publish, so the tests make single calls. And it knows neither resources
nor conditions of SES's first API, so infra/terraform/tests/iam.tftest.hcl alone checks the right to
send.
"""

import base64
import json
import re

from botocore import UNSIGNED
from botocore.exceptions import ClientError
from conftest import ROOT, SERVICES
from terraform_tools import INFRA, MiniStack, terraform

# As in infra/terraform/tests/iam.tftest.hcl.
ACCOUNT, REGION, PREFIX, NAMESPACE = "123456789012", "eu-central-1", "prod", "production"
ISSUER = "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF"
TOPICS = ["event", "notification", "ses-feedback"]
QUEUES = [f"{name}{suffix}" for name in TOPICS for suffix in ("", "-dlq")]

# SDK call -> the rights it takes on AWS. A batch is covered by the right to its single call.
RIGHTS = {
    "publish_batch": "sns:Publish",
    "get_topic_attributes": "sns:GetTopicAttributes",
    "receive_message": "sqs:ReceiveMessage",
    "delete_message_batch": "sqs:DeleteMessage",
    "change_message_visibility_batch": "sqs:ChangeMessageVisibility",
    "send_message_batch": "sqs:SendMessage",
    "get_queue_attributes": "sqs:GetQueueAttributes",
    "get_queue_url": "sqs:GetQueueUrl",
    "send_raw_email": "ses:SendRawEmail",
    "send_templated_email": "ses:SendTemplatedEmail",
    "get_send_quota": "ses:GetSendQuota",
    "get_template": "ses:GetTemplate",
}
CONSUMES = ["attributes", "delete", "hide", "receive", "url"]
REJECTS = ["send", "url"]
REDRIVES = ["attributes", "send", "url"]
# Service -> what it may do with which topic or queue.
MAY = {
    "reminder-service": {"event-topic": ["ask", "publish"]},
    "event-service": {
        "event-topic": ["ask", "publish"],
        "event-queue": sorted({*CONSUMES, *REDRIVES}),
        "event-queue-dlq": sorted({*CONSUMES, *REJECTS}),
        # It shows and redrives notification-service's dead letters, too.
        "notification-queue": REDRIVES,
        "notification-queue-dlq": CONSUMES,
        "ses-feedback-queue": REDRIVES,
        "ses-feedback-queue-dlq": CONSUMES,
    },
    "notification-scheduler": {"notification-topic": ["ask", "publish"]},
    "notification-service": {
        "event-topic": ["ask", "publish"],
        "notification-queue": CONSUMES,
        "notification-queue-dlq": REJECTS,
        "ses-feedback-queue": CONSUMES,
        "ses-feedback-queue-dlq": REJECTS,
        "ses": ["quota", "template"],
    },
}


def test_grants_one_right_per_call():
    sources = [
        *(ROOT / "shared/bus/src/aws").glob("*.rs"),
        ROOT / "notification-service/src/channels/email.rs",
    ]
    code = "\n".join(path.read_text() for path in sources)
    called = set(re.findall(r"self\s*\.(?:sns|sqs|client)\s*\.(\w+)\(", code))
    assert called == set(RIGHTS), "RIGHTS says what each call of the SDK takes"
    granted = re.findall(
        r'"((?:sns|sqs|ses):\w+)"', (INFRA / "terraform/modules/iam/statements.tf").read_text()
    )
    assert set(granted) - {"ses:FromAddress"} == set(RIGHTS.values())


def test_allows_exactly_the_calls_of_services(tmp_path):
    planned = plan(tmp_path)
    with MiniStack(
        tmp_path,
        secure=True,
        SERVICES="sns,sqs,ses,iam,sts",
        MINISTACK_ACCOUNT_ID=ACCOUNT,
        MINISTACK_REGION=REGION,
    ) as aws:
        for name in TOPICS:
            aws.client("sns").create_topic(Name=f"{PREFIX}-{name}-topic")
        for name in QUEUES:
            aws.client("sqs").create_queue(QueueName=queue_name(name))
        make_roles(aws.client("iam"), planned)
        strangers_are_refused(aws)
        allowed = {service: what_is_allowed(aws, service) for service in SERVICES}
    assert allowed == {
        service: sorted((target, name) for target, names in MAY[service].items() for name in names)
        for service in SERVICES
    }


def plan(folder):
    """Returns the plan of Terraform's own test of the roles, by address."""
    place = INFRA / "terraform"
    terraform("get", cwd=place, data=folder / "data")
    said = terraform(
        "test", "-json", "-verbose", "-filter=tests/iam.tftest.hcl", cwd=place, data=folder / "data"
    )
    planned = next(
        message["test_plan"]
        for message in map(json.loads, said.splitlines())
        if message["type"] == "test_plan"
    )
    return {change["address"]: change["change"]["after"] for change in planned["resource_changes"]}


def make_roles(iam, planned):
    for service in SERVICES:
        role, policy = (
            planned[f'aws_iam_role.this["{service}"]'],
            planned[f'aws_iam_role_policy.this["{service}"]'],
        )
        iam.create_role(RoleName=role["name"], AssumeRolePolicyDocument=role["assume_role_policy"])
        iam.put_role_policy(
            RoleName=role["name"], PolicyName=policy["name"], PolicyDocument=policy["policy"]
        )


def strangers_are_refused(aws):
    """Checks that only the service's own service account can assume its role."""
    ours = subject(NAMESPACE, f"{PREFIX}-event-service")
    assert assumed(aws, f"{PREFIX}-event-service", ours)
    for stranger in [
        subject(NAMESPACE, f"{PREFIX}-reminder-service"),
        subject("staging", f"{PREFIX}-event-service"),
        subject(NAMESPACE, "default"),
        {**ours, "aud": "somebody.else"},
        {**ours, "iss": "https://oidc.example.com/id/2"},
    ]:
        assert not is_allowed(
            lambda claims=stranger: assumed(aws, f"{PREFIX}-event-service", claims)
        ), stranger


def what_is_allowed(aws, service):
    credentials = assumed(aws, f"{PREFIX}-{service}", subject(NAMESPACE, f"{PREFIX}-{service}"))
    return sorted(
        (target, name) for target, name, call in calls(aws, credentials) if is_allowed(call)
    )


def calls(aws, credentials):
    """Returns all calls that some service makes, for each topic and queue, and some that none
    makes.
    """
    sns, sqs, ses = (aws.client(name, credentials) for name in ("sns", "sqs", "ses"))
    for name in TOPICS:
        arn = f"arn:aws:sns:{REGION}:{ACCOUNT}:{PREFIX}-{name}-topic"
        yield f"{name}-topic", "ask", lambda arn=arn: sns.get_topic_attributes(TopicArn=arn)
        yield f"{name}-topic", "publish", lambda arn=arn: sns.publish(TopicArn=arn, Message="x")
        yield (
            f"{name}-topic",
            "change",
            lambda arn=arn: sns.set_topic_attributes(
                TopicArn=arn, AttributeName="DisplayName", AttributeValue="x"
            ),
        )
        yield f"{name}-topic", "remove", lambda arn=arn: sns.delete_topic(TopicArn=arn)
    for name in QUEUES:
        queue, target = queue_name(name), queue_name(name).removeprefix(f"{PREFIX}-")
        url = f"{aws.endpoint}/{ACCOUNT}/{queue}"
        receipt = {"QueueUrl": url, "ReceiptHandle": "x"}
        yield target, "receive", lambda url=url: sqs.receive_message(QueueUrl=url)
        yield target, "delete", lambda receipt=receipt: sqs.delete_message(**receipt)
        yield (
            target,
            "hide",
            lambda receipt=receipt: sqs.change_message_visibility(**receipt, VisibilityTimeout=1),
        )
        yield target, "send", lambda url=url: sqs.send_message(QueueUrl=url, MessageBody="x")
        yield (
            target,
            "attributes",
            lambda url=url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]),
        )
        yield target, "url", lambda queue=queue: sqs.get_queue_url(QueueName=queue)
        yield target, "purge", lambda url=url: sqs.purge_queue(QueueUrl=url)
        yield (
            target,
            "change",
            lambda url=url: sqs.set_queue_attributes(
                QueueUrl=url, Attributes={"DelaySeconds": "1"}
            ),
        )
    yield "ses", "quota", ses.get_send_quota
    yield "ses", "template", lambda: ses.get_template(TemplateName="x")
    yield "ses", "identities", ses.list_identities
    yield "iam", "roles", aws.client("iam", credentials).list_roles


def is_allowed(call):
    """Returns True if the call was authorized, whatever its result."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"] not in (
            "AccessDenied",
            "AccessDeniedException",
            "AuthorizationError",
        )
    return True


def queue_name(name):
    return f"{PREFIX}-{name.removesuffix('-dlq')}-queue{'-dlq' if name.endswith('-dlq') else ''}"


def subject(namespace, account):
    """Returns the subject of a service account's token."""
    return {
        "iss": f"https://{ISSUER}",
        "sub": f"system:serviceaccount:{namespace}:{account}",
        "aud": "sts.amazonaws.com",
    }


def assumed(aws, role, claims):
    """Returns the credentials of the role for a token with this subject."""
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    token = ".".join(
        [
            *(
                base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
                for part in parts
            ),
            "AAAA",
        ]
    )
    sts = aws.client("sts", signature_version=UNSIGNED)
    return sts.assume_role_with_web_identity(
        RoleArn=f"arn:aws:iam::{aws.account}:role/{role}",
        RoleSessionName="test",
        WebIdentityToken=token,
    )["Credentials"]
