"""The rendered manifests: each environment, its migrations, and each with the components that it
may include.
"""

import fcntl
import functools
import hashlib
import json
import pathlib
import pickle
import shutil
import tempfile
import time
import tomllib

import yaml

from conftest import ENVIRONMENTS, ROOT, SERVICES, TOOLS, run, tool

PREFIXES = ENVIRONMENTS | {"local": "local"}
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
# Without an environment's prefix: PostgreSQL's image and MiniStack's have versions of their own.
STAND_INS = {"ministack", "postgres"}
OWNERS_OF_TABLES = ["reminder-service", "event-service", "notification-service"]

COMPONENTS = "../../components/"
# Name -> environment, folder in its overlay, and lines added to that folder's components.
VARIANTS = {name: (name, "", ()) for name in PREFIXES}
VARIANTS |= {f"{name}/migrate": (name, "migrate", ()) for name in ENVIRONMENTS}
VARIANTS |= {
    "production+keda": ("production", "", (COMPONENTS + "keda",)),
    "production+external-secrets": ("production", "", (COMPONENTS + "external-secrets",)),
    "production/migrate+external-secrets": (
        "production",
        "migrate",
        ("../" + COMPONENTS + "external-secrets",),
    ),
    "production+region": ("production", "", (COMPONENTS + "location/region",)),
    "production+zone": ("production", "", (COMPONENTS + "location/zone",)),
    "production/migrate+zone": ("production", "migrate", ("../" + COMPONENTS + "location/zone",)),
    "production+colours": ("production", "", ("colours",)),
    "production+backup": ("production", "", (COMPONENTS + "backup",)),
    # Everything at once, in the order that k8s/README.md asks for.
    "production+all": (
        "production",
        "",
        (
            *(COMPONENTS + name for name in ("external-secrets", "keda", "backup")),
            "colours",
            COMPONENTS + "location/zone",
        ),
    ),
}
WHOLE = [name for name, (_, part, _) in VARIANTS.items() if not part]


@functools.cache
def text(variant):
    """Renders a variant, once for all parallel processes."""
    kept = _folder() / (variant.replace("/", "--") + ".yaml")
    with open(f"{kept}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            half = kept.with_suffix(".half")
            half.write_text(_render(*VARIANTS[variant]))
            half.rename(kept)
    return kept.read_text()


@functools.cache
def _folder():
    """Folder of the renderings of the current manifests. Older folders are removed."""
    files = sorted(path for path in (ROOT / "k8s").rglob("*") if path.is_file())
    files.append(ROOT / "tests/verify/requirements.txt")
    digest = hashlib.sha256(
        b"".join(str(path).encode() + path.read_bytes() for path in files)
    ).hexdigest()[:16]
    folder = TOOLS / "rendered" / digest
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        if time.time() - other.stat().st_mtime > 24 * 60 * 60:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def _render(environment, part, components):
    folder = pathlib.Path("k8s/overlays") / environment / part
    if not components:
        return run(tool("kubectl"), "kustomize", ROOT / folder)
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(ROOT / "k8s", pathlib.Path(copy) / "k8s")
        file = pathlib.Path(copy) / folder / "kustomization.yaml"
        kustomization = yaml.safe_load(file.read_text())
        kustomization["components"] += components
        file.write_text(yaml.safe_dump(kustomization))
        return run(tool("kubectl"), "kustomize", file.parent)


def objects(variant, *kinds):
    """Returns new copies of a variant's objects, of the given kinds if any."""
    return [item for item in pickle.loads(_parsed(variant)) if not kinds or item["kind"] in kinds]


@functools.cache
def _parsed(variant):
    # Parsing takes longest of all; libyaml's parser is ten times as fast as the one in Python.
    return pickle.dumps(
        [item for item in yaml.load_all(text(variant), Loader=yaml.CSafeLoader) if item]
    )


def environment_of(variant):
    """Returns the name of a variant's environment, and its prefix with the hyphen."""
    name = VARIANTS[variant][0]
    return name, PREFIXES[name] + "-"


def identity(item):
    """Returns Kind/name of an object, for messages."""
    return f"{item['kind']}/{item['metadata']['name']}"


def pod_of(item):
    """Returns the pod template of a workload; None for other objects."""
    if item["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        return item["spec"]["template"]
    if item["kind"] == "CronJob":
        return item["spec"]["jobTemplate"]["spec"]["template"]
    return None


def workloads(variant):
    """Returns the objects that create pods."""
    return [item for item in objects(variant) if pod_of(item)]


def containers(pod):
    """Returns all containers of a pod, including init containers."""
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]


def service_of(item):
    """Returns the service that a workload runs, or None."""
    name = pod_of(item)["metadata"]["labels"].get("app.kubernetes.io/name")
    return name if name in SERVICES else None


def matches(selector, labels):
    """Returns True if a label selector matches."""
    operators = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, _: key in labels,
        "DoesNotExist": lambda key, _: key not in labels,
    }
    return all(
        labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()
    ) and all(
        operators[term["operator"]](term["key"], term.get("values", []))
        for term in selector.get("matchExpressions", [])
    )


def bare(name, prefix):
    """Returns a name without the environment's prefix and without the digest of a generated
    ConfigMap.
    """
    assert name.startswith(prefix), name
    return name.removeprefix(prefix)


def secret_keys():
    """Returns the Secrets that the base documents: bare name -> keys."""
    declared = yaml.safe_load_all((ROOT / "k8s/base/foundation/secrets.yaml").read_text())
    return {item["metadata"]["name"]: set(item["stringData"]) for item in declared}


def variables_known(service):
    """Returns the variables of a binary (its `config list`): name -> required."""
    listed = json.loads((ROOT / service / "config.json").read_text())
    return {setting["name"]: setting for setting in listed}


def quantity(value):
    """Converts a Kubernetes quantity to a number."""
    units = {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    for unit, factor in units.items():
        if str(value).endswith(unit):
            return float(str(value).removesuffix(unit)) * factor
    return float(value)
