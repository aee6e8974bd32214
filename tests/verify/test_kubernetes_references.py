"""References between objects are valid: names, prefixes, labels, ports, keys."""

import pytest
import yaml

from conftest import ENVIRONMENTS, ROOT, SERVICES
from kubernetes_rendered import (
    OWNERS_OF_TABLES,
    PREFIXES,
    STAND_INS,
    VARIANTS,
    VERSION,
    WHOLE,
    bare,
    containers,
    environment_of,
    identity,
    matches,
    objects,
    pod_of,
    secret_keys,
    service_of,
    workloads,
)

every_variant = pytest.mark.parametrize("variant", VARIANTS)
every_whole = pytest.mark.parametrize("variant", WHOLE)
OF_THE_CLUSTER = {"Namespace", "PriorityClass", "ClusterRole", "ClusterRoleBinding"}
SCALERS = ("HorizontalPodAutoscaler", "ScaledObject")


def named(variant, *kinds):
    """Returns the names of objects of these kinds."""
    return {item["metadata"]["name"] for item in objects(variant, *kinds)}


@every_variant
def test_sets_prefix_and_namespace_of_objects(variant):
    environment, prefix = environment_of(variant)
    for item in objects(variant):
        if item["kind"] == "Namespace":
            assert item["metadata"]["name"] == environment
        else:
            assert item["metadata"]["name"].startswith(prefix), identity(item)
            assert not item["metadata"]["name"].startswith(prefix + prefix), identity(item)
        if item["kind"] not in OF_THE_CLUSTER:
            assert item["metadata"]["namespace"] == environment, identity(item)


@every_variant
def test_renders_each_object_once(variant):
    found = objects(variant)
    assert len({(item["kind"], item["metadata"]["name"]) for item in found}) == len(found)
    for item in found:
        assert "config.kubernetes.io/local-config" not in item["metadata"].get("annotations", {}), (
            identity(item)
        )


@every_variant
def test_tags_images_with_version_and_environment(variant):
    # A desk builds what development runs, and has no registry.
    is_local = VARIANTS[variant][0] == "local"
    tag = f"{VERSION}-{'dev' if is_local else environment_of(variant)[1].removesuffix('-')}"
    for item in workloads(variant):
        for container in containers(pod_of(item)):
            name, _, found = container["image"].partition("@")[0].rpartition(":")
            if name.rpartition("/")[2] in STAND_INS:
                assert found and found != "latest"
                continue
            assert found == tag, f"{identity(item)}: {container['image']}"
            if service_of(item) and container in pod_of(item)["spec"]["containers"]:
                assert name == ("" if is_local else "registry.example.com/reminders/") + service_of(
                    item
                )


@every_variant
def test_selects_own_pods_only(variant):
    chosen = [
        (item, item["spec"]["selector"])
        for item in workloads(variant)
        if "selector" in item["spec"]
    ]
    for item, selector in chosen:
        others = [
            other for other, _ in chosen if matches(selector, pod_of(other)["metadata"]["labels"])
        ]
        assert [identity(other) for other in others] == [identity(item)]


@every_whole
def test_routes_services_to_listening_pods(variant):
    for service in objects(variant, "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        behind = [
            item
            for item in workloads(variant)
            if matches(selector, pod_of(item)["metadata"]["labels"])
        ]
        assert behind, identity(service)
        for item in behind:
            ports = {
                port["name"]: port["containerPort"]
                for one in pod_of(item)["spec"]["containers"]
                for port in one["ports"]
            }
            for port in service["spec"]["ports"]:
                # The same number on both sides: the VPC's own network policies rely on it.
                assert ports[port["targetPort"]] == port["port"], (
                    f"{identity(service)} -> {identity(item)}"
                )


@every_variant
def test_selects_no_migration_by_services(variant):
    migrations = [
        pod_of(item)["metadata"]["labels"] for item in workloads(variant) if item["kind"] == "Job"
    ]
    for service in objects(variant, "Service"):
        assert not any(
            matches({"matchLabels": service["spec"]["selector"]}, labels) for labels in migrations
        )


@every_whole
def test_has_one_autoscaler_and_budget_at_most(variant):
    deployments = {
        item["metadata"]["name"]: item
        for item in objects(variant, "Deployment")
        if service_of(item)
    }
    targets = [item["spec"]["scaleTargetRef"] for item in objects(variant, *SCALERS)]
    assert all(target.get("kind", "Deployment") == "Deployment" for target in targets)
    scaled = [target["name"] for target in targets]
    assert len(scaled) == len(set(scaled))
    assert set(scaled) <= set(deployments)
    small = VARIANTS[variant][0] in ("development", "local")
    for name, item in deployments.items():
        # A number in the manifest and an autoscaler would undo each other at every deployment.
        assert ("replicas" in item["spec"]) == (name not in scaled) == small, name
    for item in deployments.values():
        labels = pod_of(item)["metadata"]["labels"]
        budgets = [
            budget
            for budget in objects(variant, "PodDisruptionBudget")
            if matches(budget["spec"]["selector"], labels)
        ]
        assert [budget["metadata"]["name"] for budget in budgets] == [item["metadata"]["name"]]


@pytest.mark.parametrize("variant", ["staging", "production"])
def test_scales_from_three_to_twelve_pods(variant):
    scalers = objects(variant, "HorizontalPodAutoscaler")
    assert len(scalers) == len(SERVICES)
    for scaler in scalers:
        spec = scaler["spec"]
        assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 12)
        [metric] = spec["metrics"]
        assert metric["resource"] == {
            "name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 50},
        }


@every_whole
def test_routes_ingresses_to_services(variant):
    services = {item["metadata"]["name"]: item for item in objects(variant, "Service")}
    for ingress in objects(variant, "Ingress"):
        for path in (path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            assert backend["port"]["name"] in {
                port["name"] for port in services[backend["name"]]["spec"]["ports"]
            }


@every_whole
def test_refers_to_existing_middlewares(variant):
    environment, _ = environment_of(variant)
    for ingress in objects(variant, "Ingress"):
        for name in ingress["metadata"]["annotations"][
            "traefik.ingress.kubernetes.io/router.middlewares"
        ].split(","):
            assert name in {
                f"{environment}-{middleware}@kubernetescrd"
                for middleware in named(variant, "Middleware")
            }


@every_variant
def test_refers_to_existing_pod_settings(variant):
    _, prefix = environment_of(variant)
    config = {item["metadata"]["name"]: set(item["data"]) for item in objects(variant, "ConfigMap")}
    secrets = {prefix + name: keys for name, keys in secret_keys().items()}
    secrets |= {
        item["metadata"]["name"]: set(item["stringData"]) for item in objects(variant, "Secret")
    }
    for item in workloads(variant):
        spec = pod_of(item)["spec"]
        assert spec.get("serviceAccountName", "default") in named(variant, "ServiceAccount") | {
            "default"
        }, identity(item)
        assert spec.get("priorityClassName") in named(variant, "PriorityClass") | {None}, identity(
            item
        )
        for container in containers(pod_of(item)):
            for source in container.get("envFrom", []):
                assert source["configMapRef"]["name"] in config, identity(item)
            for reference in (
                entry["valueFrom"] for entry in container.get("env", []) if "valueFrom" in entry
            ):
                if "secretKeyRef" in reference:
                    assert (
                        reference["secretKeyRef"]["key"]
                        in secrets[reference["secretKeyRef"]["name"]]
                    ), identity(item)
                if "configMapKeyRef" in reference:
                    assert (
                        reference["configMapKeyRef"]["key"]
                        in config[reference["configMapKeyRef"]["name"]]
                    ), identity(item)
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            claims = {
                claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", [])
            }
            assert mounted <= {volume["name"] for volume in spec.get("volumes", [])} | claims, (
                identity(item)
            )
        for volume in spec.get("volumes", []):
            if "secret" in volume:
                assert {entry["key"] for entry in volume["secret"].get("items", [])} <= secrets[
                    volume["secret"]["secretName"]
                ]
            if "configMap" in volume:
                assert volume["configMap"]["name"] in config


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_names_migrations_by_version(environment):
    jobs = objects(f"{environment}/migrate", "Job")
    suffix = "-migrate-" + VERSION.replace(".", "-").lower()
    assert {job["metadata"]["name"] for job in jobs} == {
        f"{ENVIRONMENTS[environment]}-{service}{suffix}" for service in OWNERS_OF_TABLES
    }
    migrated = {
        job["metadata"]["name"]
        .removesuffix(suffix)
        .removeprefix(ENVIRONMENTS[environment] + "-"): job
        for job in jobs
    }
    for service, job in migrated.items():
        assert service_of(job) == service
        [container] = pod_of(job)["spec"]["containers"]
        assert container["args"] == ["migrate"]


def test_migrates_databases_by_their_owners():
    assert {service for service in SERVICES if (ROOT / service / "migrations").is_dir()} == set(
        OWNERS_OF_TABLES
    )


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_shares_objects_with_migration(environment):
    """The migration is applied first: neither may change the objects that both contain."""
    whole = {identity(item): item for item in objects(environment)}
    for item in objects(f"{environment}/migrate"):
        if item["kind"] != "Job":
            assert whole[identity(item)] == item


@every_whole
def test_connects_peers_to_their_services(variant):
    ports = {
        item["metadata"]["name"]: {port["name"]: port["port"] for port in item["spec"]["ports"]}
        for item in objects(variant, "Service")
    }
    _, prefix = environment_of(variant)
    [config] = [
        item["data"]
        for item in objects(variant, "ConfigMap")
        if item["metadata"]["name"].startswith(f"{prefix}reminder-service-")
    ]
    for variable, service in {
        "EVENT_SERVICE_URL": "event-service",
        "NOTIFICATION_SERVICE_URL": "notification-service",
    }.items():
        assert config[variable] == f"http://{prefix}{service}:{ports[prefix + service]['http']}"


@pytest.mark.parametrize("variant", ["production+keda", "production+all"])
def test_scales_existing_objects_only(variant):
    environment, prefix = environment_of(variant)
    [region] = {
        item["data"]["AWS_REGION"]
        for item in objects(variant, "ConfigMap")
        if "AWS_REGION" in item["data"]
    }
    scaled = objects(variant, "ScaledObject")
    assert scaled
    for item in scaled:
        [target] = [
            one
            for one in objects(variant, "Deployment")
            if one["metadata"]["name"] == item["spec"]["scaleTargetRef"]["name"]
        ]
        told = {entry["name"] for entry in pod_of(target)["spec"]["containers"][0]["env"]}
        by_type = {trigger["type"]: trigger for trigger in item["spec"]["triggers"]}
        assert set(by_type) == {"cpu", "aws-sqs-queue", "aws-cloudwatch"}
        for trigger in (by_type["aws-sqs-queue"], by_type["aws-cloudwatch"]):
            assert trigger["authenticationRef"]["name"] in named(variant, "TriggerAuthentication")
            assert trigger["metadata"]["awsRegion"] == region
        variable = by_type["aws-sqs-queue"]["metadata"]["queueURLFromEnv"]
        assert variable in told
        # EVENT_QUEUE_URL is the URL of dev-event-queue.
        queue = prefix + variable.removesuffix("_URL").replace("_", "-").lower()
        assert by_type["aws-cloudwatch"]["metadata"]["dimensionValue"] == queue


@pytest.mark.parametrize(
    "variant", ["production+external-secrets", "production/migrate+external-secrets"]
)
def test_creates_every_secret_that_pods_read(variant):
    _, prefix = environment_of(variant)
    made = objects(variant, "ExternalSecret")
    [store] = objects(variant, "SecretStore")
    for item in made:
        assert item["spec"]["secretStoreRef"] == {
            "kind": "SecretStore",
            "name": store["metadata"]["name"],
        }
        # Of its own name, in the cluster and in Secrets Manager.
        assert "name" not in item["spec"]["target"]
        assert [source["extract"]["key"] for source in item["spec"]["dataFrom"]] == [
            item["metadata"]["name"]
        ]
    # The certificate is the ingress controller's business.
    assert {bare(item["metadata"]["name"], prefix) for item in made} == set(secret_keys()) - {
        "entry-tls"
    }
    aws = store["spec"]["provider"]["aws"]
    [reader] = [
        item
        for item in objects(variant, "ServiceAccount")
        if item["metadata"]["name"] == aws["auth"]["jwt"]["serviceAccountRef"]["name"]
    ]
    assert reader["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].endswith(
        f":role/{reader['metadata']['name']}"
    )
    assert aws["region"] == "eu-west-1"


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_assumes_role_named_like_service(environment):
    """infra/terraform/modules/iam creates the roles, which trust the service account of the same
    name.
    """
    for account in objects(environment, "ServiceAccount"):
        assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].endswith(
            f":role/{account['metadata']['name']}"
        )
        assert account["automountServiceAccountToken"] is False


def test_examples_of_secrets_are_complete():
    examples = list(yaml.safe_load_all((ROOT / "k8s/secrets/secrets.example.yaml").read_text()))
    assert {
        bare(item["metadata"]["name"], "dev-"): set(item["stringData"]) for item in examples
    } == secret_keys()
    for item in examples:
        assert all(
            value.startswith("<") and value.endswith(">") for value in item["stringData"].values()
        )


def test_renders_secrets_locally_only():
    assert {variant for variant in VARIANTS if objects(variant, "Secret")} == {"local"}
    wanted = secret_keys() | {"aws-secrets": {"access_key_id", "secret_access_key"}}
    for secret in objects("local", "Secret"):
        assert set(secret["stringData"]) == wanted.pop(bare(secret["metadata"]["name"], "local-"))
        assert all(secret["stringData"].values())
    # No certificate without an Ingress; the sandbox's account is written when a pod starts.
    assert set(wanted) == {"entry-tls", "fcm-secrets"}


def test_distinguishes_environments_by_prefix():
    assert len(set(PREFIXES.values())) == len(PREFIXES)


@pytest.mark.parametrize(
    ("variant", "keys"),
    [
        ("production+region", ["region"]),
        ("production+zone", ["region", "zone"]),
        ("production/migrate+zone", ["region", "zone"]),
    ],
)
def test_binds_pods_to_region_or_zone(variant, keys):
    facts = dict(
        line.split("=", 1)
        for line in (ROOT / "k8s/overlays/production/environment/facts.env")
        .read_text()
        .splitlines()
        if "=" in line
    )
    wanted = {"region": facts["AWS_REGION"], "zone": facts["ZONE"]}
    for item in workloads(variant):
        required = pod_of(item)["spec"]["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        [term] = required["nodeSelectorTerms"]
        assert term["matchExpressions"] == [
            {"key": f"topology.kubernetes.io/{key}", "operator": "In", "values": [wanted[key]]}
            for key in keys
        ]


@pytest.mark.parametrize("variant", sorted(ENVIRONMENTS))
def test_pipeline_may_write_custom_objects(variant):
    """infra/terraform/modules/pipeline puts the deploying role into this group; the EKS policy
    covers the objects of Kubernetes itself.
    """
    _, prefix = environment_of(variant)
    (binding,) = [
        item
        for item in objects(variant, "RoleBinding")
        if item["metadata"]["name"] == prefix + "deployers"
    ]
    assert binding["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": prefix + "deployers"}
    ]
    (role,) = [
        item
        for item in objects(variant, "Role")
        if item["metadata"]["name"] == binding["roleRef"]["name"]
    ]
    allowed = {
        (group, kind)
        for rule in role["rules"]
        if {"create", "patch", "delete"} <= set(rule["verbs"])
        for group in rule["apiGroups"]
        for kind in rule["resources"]
    }
    for name in (variant, "production+all"):
        for item in objects(name):
            group = item["apiVersion"].rpartition("/")[0]
            if "." in group and not group.endswith(".k8s.io"):
                assert (group, item["kind"].lower() + "s") in allowed, identity(item)
