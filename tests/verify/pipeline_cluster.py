"""A simulated cluster of one namespace, for the scripts of the pipeline.

Its `kubectl` precedes the real one in PATH. The real kubectl renders manifests; this module answers
all other calls and records them. A test sets the behaviour beforehand: images that never become
ready, migrations that fail, and the existing Secrets.
"""

import copy
import functools
import json
import os
import pathlib
import re
import socketserver
import subprocess
import threading

import yaml

from conftest import ENVIRONMENTS, ROOT, SERVICES, rendered_text, tool

# Hands its arguments (and what it reads) to the Cluster, and says what that answers. Bash alone: it is started hundreds of times.
KUBECTL = """#!/bin/bash
exec 3<> "/dev/tcp/127.0.0.1/$CLUSTER_PORT"
printf '%s\\0' "$#" "$@" >&3
if [[ " $* " == *" -f - "* ]]; then printf '%s\\0' "$(cat)" >&3; fi
read -r code answer <&3
cat "$answer.out"
cat "$answer.err" >&2
exit "$code"
"""


@functools.cache
def secrets_read(environment):
    """Returns the Secrets and keys that pods read, found in the rendering independently of the
    scripts.
    """
    found = {}

    def look(value):
        if isinstance(value, dict):
            if "secretKeyRef" in value:
                found.setdefault(value["secretKeyRef"]["name"], set()).add(
                    value["secretKeyRef"]["key"]
                )
            if "secretName" in value:
                found.setdefault(value["secretName"], set()).update(
                    item["key"] for item in value.get("items", [])
                )
            value = list(value.values())
        if isinstance(value, list):
            for part in value:
                look(part)

    for folder in ("", "/migrate"):
        for item in documents(rendered_text(f"k8s/overlays/{environment}{folder}")):
            if item["kind"] in ("Deployment", "Job"):
                look(item["spec"]["template"])
    return {name: sorted(keys) for name, keys in found.items()}


def documents(text):
    """Parses YAML, with libyaml if it is available, since renderings are long."""
    return [
        item
        for item in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if item
    ]


RENDERINGS = {}


def kustomized(folder):
    """Renders a folder with the real kubectl, and caches the result for the same manifests."""
    text = pathlib.Path(folder, "kustomization.yaml").read_text()
    if text not in RENDERINGS:
        RENDERINGS[text] = subprocess.run(
            [tool("kubectl"), "kustomize", folder], capture_output=True, text=True
        )
    return RENDERINGS[text]


def image_of(deployment):
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]


def option(arguments, name):
    """Returns the value of --name VALUE or --name=VALUE."""
    for at, argument in enumerate(arguments):
        if argument == name:
            return arguments[at + 1]
        if argument.startswith(name + "="):
            return argument[len(name) + 1 :]
    return ""


class Cluster:
    def __init__(self, folder, environment="development"):
        self.environment, self.prefix, self.folder = environment, ENVIRONMENTS[environment], folder
        self.calls, self.order = [], []
        self.objects, self.applied, self.polled = {}, {}, {}
        self.administrator = True
        self.secrets = copy.deepcopy(secrets_read(environment))
        self.refused, self.failing_jobs, self.never_ready, self.cannot_undo, self.not_synced = (
            set(),
            set(),
            set(),
            set(),
            set(),
        )
        self.one_at_a_time = threading.Lock()
        (folder / "bin").mkdir()
        (folder / "bin" / "kubectl").write_text(KUBECTL)
        (folder / "bin" / "kubectl").chmod(0o755)
        self.server = socketserver.ThreadingTCPServer(
            ("127.0.0.1", 0), functools.partial(Call, self)
        )
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def run(self, script, *arguments, root=ROOT, **variables):
        """Runs a script of the project with the simulated kubectl."""
        environment = {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "CLUSTER_PORT": str(self.server.server_address[1]),
            "REGISTRY": "registry.example.com/reminders",
            "POLL_SECONDS": "0",
            **variables,
        }
        self.calls, self.order = [], []
        command = [root / "scripts" / script, *arguments]
        return subprocess.run(
            command,
            env=environment,
            text=True,
            capture_output=True,
            cwd=root,
            stdin=subprocess.DEVNULL,
        )

    def deploy(self, version, *options):
        return self.run("deploy.sh", self.environment, version, *options)

    def settle(self, version):
        """Puts the cluster into the state after a deployment of that version."""
        text = re.sub(
            rf":[0-9.]+-{self.prefix}$",
            f":{version}-{self.prefix}",
            rendered_text(f"k8s/overlays/{self.environment}"),
            flags=re.MULTILINE,
        )
        for item in documents(text):
            if item["kind"] == "Deployment":
                self.applied[item["metadata"]["name"]] = copy.deepcopy(item)
            self.store(item)

    def runs(self):
        """Returns the image tag of each service."""
        found = {
            service: self.objects.get(f"Deployment/{self.prefix}-{service}") for service in SERVICES
        }
        return {
            service: image_of(deployment).rsplit(":", 1)[1]
            for service, deployment in found.items()
            if deployment
        }

    def rolled_out(self):
        """Returns the services whose Deployments were applied, in order."""
        return [
            name.removeprefix(f"Deployment/{self.prefix}-")
            for name in self.order
            if name.startswith("Deployment/")
        ]

    def answer(self, arguments, given):
        """Returns exit code, output and errors of one call."""
        for name in ("--context", "--namespace"):
            if name in arguments:
                at = arguments.index(name)
                arguments = arguments[:at] + arguments[at + 2 :]
        if arguments[0] == "kustomize":
            done = kustomized(arguments[1])
            return done.returncode, done.stdout, done.stderr
        if arguments[0] == "create":
            done = subprocess.run([tool("kubectl"), *arguments], capture_output=True, text=True)
            return done.returncode, done.stdout, done.stderr
        self.calls.append(" ".join(arguments))
        try:
            return 0, getattr(self, "do_" + arguments[0])(arguments[1:], given) or "", ""
        except Refusal as refusal:
            return 1, "", f"{refusal}\n"

    def store(self, item):
        """Stores an object. A Deployment with another pod template gets a new revision; an earlier
        template gets a new revision too.
        """
        key = f"{item['kind']}/{item['metadata']['name']}"
        before = self.objects.get(key)
        if item["kind"] == "Deployment":
            revisions = before["revisions"] if before else {}
            if not before or before["spec"]["template"] != item["spec"]["template"]:
                kept = {
                    number: template
                    for number, template in revisions.items()
                    if template != item["spec"]["template"]
                }
                revisions = {**kept, max(revisions, default=0) + 1: item["spec"]["template"]}
            item = {**item, "revisions": revisions}
        self.objects[key] = item

    def do_apply(self, arguments, given):
        path = option(arguments, "-f")
        text = given if path == "-" else open(path).read()
        items = documents(text)
        if arguments[0] == "set-last-applied":
            self.applied |= {item["metadata"]["name"]: item for item in items}
            return
        for item in items:
            kind, name = item["kind"], item["metadata"]["name"]
            if kind in self.refused:
                raise Refusal(
                    f'error: no matches for kind "{kind}": ensure CRDs are installed first'
                )
            if "--dry-run=server" in arguments:
                continue
            self.order.append(f"{kind}/{name}")
            if kind == "Job":
                self.polled[name] = 0
            if kind == "Deployment":
                self.applied[name] = item
            self.store(item)

    def do_get(self, arguments, given):
        what, output = arguments[0], option(arguments, "--output")
        names = [name for name in arguments[1:] if not name.startswith("-") and name != output]
        if what == "pods":
            waiting = {
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
            }
            pod = {"metadata": {"name": "a-pod"}, "status": {"containerStatuses": [waiting]}}
            return json.dumps({"items": [pod]}) if output == "json" else "NAME   READY   STATUS\n"
        if what == "job":
            return json.dumps({"items": [self.job(name) for name in names]})
        if what == "secret":
            return "".join(
                f"{name} {key}\n"
                for name in names
                if name in self.secrets
                for key in ["*", *self.secrets[name]]
            )
        if what == "deployments":
            return json.dumps(
                {
                    "items": [
                        self.served(item)
                        for item in self.objects.values()
                        if item["kind"] == "Deployment"
                    ]
                }
            )
        if what in ("configmaps", "horizontalpodautoscalers"):
            kind = {
                "configmaps": "ConfigMap",
                "horizontalpodautoscalers": "HorizontalPodAutoscaler",
            }[what]
            return json.dumps(
                {"items": [item for item in self.objects.values() if item["kind"] == kind]}
            )
        if what == "namespace" and not output:
            if f"Namespace/{names[0]}" not in self.objects:
                raise Refusal(f'Error from server (NotFound): namespaces "{names[0]}" not found')
            return f"{names[0]}   Active\n"
        if what == "namespace":
            return (
                self.objects.get(f"Namespace/{names[0]}", {"metadata": {}})["metadata"]
                .get("labels", {})
                .get("reminders/clone-of", "")
            )
        if what == "configmap" and output == "jsonpath={.data.history}":
            return self.objects.get(f"ConfigMap/{names[0]}", {"data": {"history": ""}})["data"][
                "history"
            ]
        raise Refusal(f"this kubectl does not know: get {' '.join(arguments)}")

    def job(self, name):
        """Returns a migration: running at the first request, finished afterwards."""
        self.polled[name] += 1
        ends = (
            ["FailureTarget", "Failed"]
            if any(word in name for word in self.failing_jobs)
            else ["SuccessCriteriaMet", "Complete"]
        )
        conditions = (
            [{"type": end, "status": "True"} for end in ends] if self.polled[name] > 1 else []
        )
        return {"metadata": {"name": name}, "status": {"conditions": conditions}}

    def served(self, item):
        """Returns a Deployment with the annotations of a cluster and kubectl."""
        name = item["metadata"]["name"]
        kept = {
            "deployment.kubernetes.io/revision": str(max(item["revisions"])),
            "kubectl.kubernetes.io/last-applied-configuration": json.dumps(self.applied[name]),
        }
        metadata = {
            **item["metadata"],
            "annotations": {**item["metadata"].get("annotations", {}), **kept},
        }
        return {"metadata": metadata, "spec": item["spec"]}

    def do_rollout(self, arguments, given):
        name = arguments[1].split("/")[1]
        deployment = self.objects[f"Deployment/{name}"]
        if arguments[0] == "undo":
            if name in self.cannot_undo:
                raise Refusal("error: unable to find specified revision")
            template = deployment["revisions"][int(option(arguments, "--to-revision"))]
            self.store({**deployment, "spec": {**deployment["spec"], "template": template}})
        elif any(re.search(pattern, image_of(deployment)) for pattern in self.never_ready):
            raise Refusal(f'error: deployment "{name}" exceeded its progress deadline')

    def do_logs(self, arguments, given):
        return "" if "--previous" in arguments else "what the process said last\n"

    def do_wait(self, arguments, given):
        if arguments[1].split("/")[1] in self.not_synced:
            raise Refusal("error: timed out waiting for the condition")

    def do_auth(self, arguments, given):
        if not self.administrator:
            raise Refusal("no")
        return "yes\n"

    def do_config(self, arguments, given):
        return "a-context\n"

    def do_delete(self, arguments, given):
        if arguments[0] == "namespace":
            del self.objects[f"Namespace/{arguments[1]}"]


class Refusal(Exception):
    """An operation that the cluster refuses."""


class Call(socketserver.StreamRequestHandler):
    """One call of the simulated kubectl."""

    def __init__(self, cluster, *rest):
        self.cluster = cluster
        super().__init__(*rest)

    def handle(self):
        count = int(self.word())
        arguments = [self.word() for _ in range(count)]
        given = self.word() if " -f - " in f" {' '.join(arguments)} " else ""
        with self.cluster.one_at_a_time:
            code, output, errors = self.cluster.answer(arguments, given)
        path = self.cluster.folder / f"answer-{threading.get_ident()}"
        path.with_suffix(".out").write_text(output)
        path.with_suffix(".err").write_text(errors)
        self.wfile.write(f"{code} {path}\n".encode())

    def word(self):
        read = bytearray()
        while (byte := self.rfile.read(1)) not in (b"\0", b""):
            read += byte
        return read.decode()
