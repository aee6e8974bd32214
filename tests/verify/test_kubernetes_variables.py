"""Variables of each process, compared with those that its binary reads: <service>/config.json,
generated from the binary's `config list`.

A new variable of a binary fails here until a manifest sets it or this file states why it is not
set.
"""

import json
import os
import subprocess

import pytest

from conftest import ROOT, SERVICES
from kubernetes_rendered import (
    VARIANTS,
    environment_of,
    identity,
    objects,
    pod_of,
    service_of,
    variables_known,
    workloads,
)

# Left at its default, or unset, in every environment, because …
LEFT = {
    "BIND_ADDRESS": "both listeners serve the pod's own address",
    "DATABASE_URL": "its parts are given (DB_HOST, …)",
    "BUS_DATABASE_URL": "of BUS=postgres only",
    "BUS_MAX_CONNECTIONS": "of BUS=postgres only",
    "DEAD_LETTER_DAYS": "of BUS=postgres only; on aws the dead-letter queues have a retention",
    "AWS_ENDPOINT_URL_SNS": "AWS_ENDPOINT_URL is enough where there is an emulator",
    "AWS_ENDPOINT_URL_SQS": "AWS_ENDPOINT_URL is enough where there is an emulator",
    "AWS_ENDPOINT_URL_SES": "AWS_ENDPOINT_URL is enough where there is an emulator",
    "AWS_SESSION_TOKEN": "no temporary keys are handed out by hand",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "no collector of traces is part of the cluster",
    "GATEWAY_SECRET": "no gateway vouches for callers",
    "PGSSLMODE": "DB_SSLMODE is set",
    "PGSSLROOTCERT": "DB_SSLMODE says what is verified",
    "MAX_EMAIL_ADDRESSES_PER_DAY": "the default is what the documentation promises",
    "JWT_PUBLIC_KEY": "issuers rotate keys: a key set is asked for (JWT_JWKS_URL)",
    "EVENT_CONCURRENCY": "the figures in docs/BENCHMARKS.md are with the default",
    "USER_EVENTS_PER_SECOND": "a user of these environments is a person; the default is far above what one needs",
    "USER_RELEASES_PER_SECOND": "a user of these environments is a person; the default is far above what one needs",
    "CLAIM_AHEAD_MILLISECONDS": "the default is longer than the way to notification-service",
    "PUSH_MAX_IN_FLIGHT": "the figures in docs/BENCHMARKS.md are with the default",
    "EMAIL_MAX_IN_FLIGHT": "SES's own rate decides, which the service asks for",
    "DEVICE_CHECKS_MAX_IN_FLIGHT": "the default keeps registrations from holding what pushes need",
    "FCM_MAX_PER_MINUTE": "the default is FCM's own quota of a project",
    "MAX_DEVICES_PER_USER": "the default is what the documentation promises",
    "PUSH_PER_USER_PER_MINUTE": "the default is what the documentation promises",
    "EMAIL_PER_USER_PER_MINUTE": "the default is what the documentation promises",
    "TAKEOVER_SECONDS": "the default leaves a process that is cut off the time that docs/adr/0015 promises",
    "RETENTION_DAYS": "the default is what the documentation promises",
    "UNSETTLED_AFTER_MINUTES": "the default is what the documentation promises",
    "EVENT_STREAMS_MAX": "the default fits the pods' memory",
    "EXPORTS_MAX": "the default fits the pods' memory",
    "TEMPLATES_DIR": "our own templates",
    "ALLOWED_HOSTS": "the gateway decides by which names the services are reached",
    "RATE_LIMIT_PER_SECOND": "the default is what the documentation promises",
    "RATE_LIMIT_BURST": "the default is what the documentation promises",
    "MAX_REMINDERS_PER_USER": "the default is what the documentation promises",
    "HTTP_BODY_MEMORY_MIB": "the memory limits are reckoned with the default",
    "MAX_CONNECTIONS": "the memory limits are reckoned with the default",
    "HTTP_HEADER_TIMEOUT_SECONDS": "the default fits a gateway",
    "HTTP_BODY_TIMEOUT_SECONDS": "the default fits a gateway",
    "HTTP_IDLE_TIMEOUT_SECONDS": "longer than the load balancer's 60 seconds",
    "HTTP_WRITE_TIMEOUT_SECONDS": "the default fits a gateway",
}
LEFT_ON_AWS = {
    "AWS_ENDPOINT_URL": "AWS itself",
    "AWS_ACCESS_KEY_ID": "the service account's role (IRSA)",
    "AWS_SECRET_ACCESS_KEY": "the service account's role (IRSA)",
    "FCM_ENDPOINT": "FCM itself",
}
LEFT_LOCALLY = {
    "JWT_JWKS_URL": "of AUTH_MODE=jwt only",
    "JWT_ISSUER": "of AUTH_MODE=jwt only",
    "JWT_AUDIENCE": "of AUTH_MODE=jwt only",
    "CORS_ALLOWED_ORIGINS": "no web client is served there",
    "SES_CONFIGURATION_SET": "MiniStack's mails do not bounce",
    "DB_SSLROOTCERT": "the database there speaks no TLS",
}
# All binaries know all names on the bus; these are the ones that each uses.
ON_THE_BUS = {
    "EVENT_TOPIC_ARN",
    "NOTIFICATION_TOPIC_ARN",
    "EVENT_QUEUE_URL",
    "NOTIFICATION_QUEUE_URL",
    "SES_FEEDBACK_QUEUE_URL",
}
USED = {
    "reminder-service": {"EVENT_TOPIC_ARN"},
    # The other service's queues for their dead letters, which it shows and puts back.
    "event-service": {
        "EVENT_TOPIC_ARN",
        "EVENT_QUEUE_URL",
        "NOTIFICATION_QUEUE_URL",
        "SES_FEEDBACK_QUEUE_URL",
    },
    "notification-scheduler": {"NOTIFICATION_TOPIC_ARN"},
    "notification-service": {"EVENT_TOPIC_ARN", "NOTIFICATION_QUEUE_URL", "SES_FEEDBACK_QUEUE_URL"},
}
# Other components change nothing of what a process is told.
TELLING = [
    name
    for name, (_, _, components) in VARIANTS.items()
    if not components or "colours" in components
]
CASES = [(variant, service) for variant in TELLING for service in SERVICES]


def processes(variant, service):
    """Returns the containers of a service in a variant: those of its Deployments and its migration."""
    return [
        (item, pod_of(item)["spec"]["containers"][0])
        for item in workloads(variant)
        if service_of(item) == service
    ]


def told(variant, container):
    """Returns the environment of a container's process: name -> value, or the reference to it."""
    config = {item["metadata"]["name"]: item["data"] for item in objects(variant, "ConfigMap")}
    found = {}
    for source in container["envFrom"]:
        found |= config[source["configMapRef"]["name"]]
    for entry in container["env"]:
        # An entry would silently win over a ConfigMap's.
        assert entry["name"] not in found, entry["name"]
        found[entry["name"]] = entry.get("value", entry.get("valueFrom"))
    return found


def variable(name):
    """Returns the variable that a name sets: X_FILE sets X."""
    return name.removesuffix("_FILE")


@pytest.mark.parametrize(("variant", "service"), CASES)
def test_sets_known_variables_only(variant, service):
    for item, container in processes(variant, service):
        names = [variable(name) for name in told(variant, container)]
        assert set(names) <= set(variables_known(service)), identity(item)
        assert len(names) == len(set(names)), f"{identity(item)}: X and X_FILE are both given"


@pytest.mark.parametrize(("variant", "service"), CASES)
def test_sets_or_excludes_every_variable(variant, service):
    left = LEFT | (LEFT_LOCALLY if VARIANTS[variant][0] == "local" else LEFT_ON_AWS)
    known = set(variables_known(service)) - (ON_THE_BUS - USED[service])
    for item, container in processes(variant, service):
        names = {variable(name) for name in told(variant, container)}
        assert known - names == known & set(left), identity(item)


def test_excludes_known_variables_only():
    read = {name for service in SERVICES for name in variables_known(service)}
    assert set(LEFT) | set(LEFT_ON_AWS) | set(LEFT_LOCALLY) | ON_THE_BUS <= read


@pytest.mark.parametrize(("variant", "service"), CASES)
def test_reads_secrets_from_secrets_only(variant, service):
    secret = {name for name, setting in variables_known(service).items() if setting["secret"]}
    for item, container in processes(variant, service):
        files = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod_of(item)["spec"]["volumes"]}
        for name, value in told(variant, container).items():
            if variable(name) not in secret:
                continue
            if name.endswith("_FILE"):
                folder, _, file = value.rpartition("/")
                volume = volumes[files[folder]]
                # The sandbox's account is written by an init container.
                assert "emptyDir" in volume or file in {
                    entry["path"] for entry in volume["secret"]["items"]
                }, identity(item)
            else:
                assert "secretKeyRef" in value, f"{identity(item)}: {name}"


@pytest.mark.parametrize(("variant", "service"), CASES)
def test_sets_required_variables_with_values(variant, service):
    for item, container in processes(variant, service):
        given = told(variant, container)
        required = {
            name for name, setting in variables_known(service).items() if setting["required"]
        }
        assert required <= {variable(name) for name in given}, identity(item)
        assert all(
            value if isinstance(value, str) else list(value) == ["secretKeyRef"]
            for value in given.values()
        )


@pytest.mark.parametrize(("variant", "service"), CASES)
def test_sets_environment_name_and_addresses(variant, service):
    for _, container in processes(variant, service):
        given = told(variant, container)
        assert given["APP_ENV"] == environment_of(variant)[0]
        assert {
            port["name"]: str(port["containerPort"]) for port in container.get("ports", [])
        } in (
            {"http": given["PORT"], "admin": given["ADMIN_PORT"]},
            {"admin": given["ADMIN_PORT"]},
            {},
        )


@pytest.mark.parametrize("service", sorted(set(SERVICES) - {"notification-scheduler"}))
@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_sets_same_variables_for_migration(environment, service):
    [(_, serves)] = processes(environment, service)
    [(_, migrates)] = processes(f"{environment}/migrate", service)
    for part in ("env", "envFrom", "volumeMounts", "image"):
        assert serves[part] == migrates[part]


def binary(service):
    """Returns a built binary that reads the listed variables, if there is one: an older one does
    not know newer variables.
    """
    for profile in ("debug", "release"):
        program = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / profile / service
        if program.exists():
            listed = json.loads(
                subprocess.run([program, "config", "list"], env={}, capture_output=True).stdout
            )
            if {setting["name"] for setting in listed} == set(variables_known(service)):
                return program
    return None


# What the Secrets' keys could hold.
VALUES = {
    "source_email": "Reminders <reminders@example.com>",
    "project_config": json.dumps(
        {
            "project_id": "reminders",
            "client_email": "reminders@example.com",
            "token_uri": "https://oauth2.example.com/token",
            "private_key": (ROOT / "suite/sandbox/keys/test-only-private-key.pem").read_text(),
        }
    ),
}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("variant", ["development", "production", "local"])
def test_passes_config_check_of_binary(variant, service, tmp_path):
    """If a binary is built, it gets the environment of a pod."""
    program = binary(service)
    if not program:
        pytest.skip(f"{service} is not built, or before its config.json: cargo build --bins")
    for _, container in processes(variant, service):
        environment = {}
        for name, value in told(variant, container).items():
            if name.endswith("_FILE"):
                key = value.rpartition("/")[2]
                (tmp_path / key).write_text(VALUES.get(key, "anything"))
                value = str(tmp_path / key)
            environment[name] = (
                value
                if isinstance(value, str)
                else VALUES.get(value["secretKeyRef"]["key"], "anything")
            )
        done = subprocess.run(
            [program, "config", "check"], env=environment, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
