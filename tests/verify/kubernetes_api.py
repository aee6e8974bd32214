"""A minimal Kubernetes API server for kubectl and Traefik: discovery, get, list, watch (without
events) and patch. It stores rendered objects, which tests can inspect afterwards.
"""

import http.server
import json
import re
import threading
import urllib.parse

# What there is, by group and version; some of it only so that those who look for it find none.
RESOURCES = {
    "v1": ["ConfigMap", "Node", "Secret", "Service"],
    "apps/v1": ["Deployment"],
    "autoscaling/v2": ["HorizontalPodAutoscaler"],
    "discovery.k8s.io/v1": ["EndpointSlice"],
    "networking.k8s.io/v1": ["Ingress", "IngressClass"],
    "traefik.io/v1alpha1": [
        "IngressRoute",
        "IngressRouteTCP",
        "IngressRouteUDP",
        "Middleware",
        "MiddlewareTCP",
        "ServersTransport",
        "ServersTransportTCP",
        "TLSOption",
        "TLSStore",
        "TraefikService",
    ],
}
PLURALS = {
    kind: kind.lower() + ("es" if kind.endswith("s") else "s")
    for kinds in RESOURCES.values()
    for kind in kinds
}
KINDS = {(version, PLURALS[kind]): kind for version, kinds in RESOURCES.items() for kind in kinds}
PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?$"
)


def merged(value, patch):
    """Applies a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), change)
    return result


def has_labels(labels, selector):
    """Returns True if labels match a selector in kubectl's notation: a=b, a in (b,c), !a, a."""
    for term in re.findall(r"[^,(]+(?:\([^)]*\))?", selector):
        within = re.fullmatch(r"(\S+) in \((.*)\)", term)
        key, equals, value = term.partition("=")
        if within:
            fits = labels.get(within[1]) in within[2].split(",")
        elif equals:
            fits = key.endswith("!") == (labels.get(key.rstrip("!=")) != value.lstrip("="))
        else:
            fits = (term.lstrip("!") in labels) != term.startswith("!")
        if not fits:
            return False
    return True


class Api(http.server.ThreadingHTTPServer):
    """The server, on a free port: `with Api(objects) as api`."""

    daemon_threads = True

    def __init__(self, items):
        super().__init__(("127.0.0.1", 0), Handler)
        self.ended = threading.Event()
        self.items = {}
        self.patches = []
        # What a test lets happen before a patch is done; a text refuses it.
        self.before_patch = lambda api, key, patch: None
        for item in items:
            self.put(item)

    def put(self, item):
        """Adds or replaces an object."""
        metadata = {
            "uid": item["metadata"]["name"],
            "resourceVersion": str(len(self.items) + 1),
            **item["metadata"],
        }
        self.items[item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]] = {
            **item,
            "metadata": metadata,
        }

    def item(self, kind, name):
        """Returns an object."""
        [found] = [
            item for (one, _, called), item in self.items.items() if (one, called) == (kind, name)
        ]
        return found

    @property
    def url(self):
        """URL of the server."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Logs nothing."""

    def answer(self, body, status=200):
        """Sends a JSON answer."""
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def refuse(self, status, reason):
        """Sends a Status, which clients print."""
        self.answer(
            {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": reason,
                "message": reason,
                "code": status,
            },
            status,
        )

    def do_GET(self):
        """Handles discovery, get, list and watch."""
        path, _, query = self.path.partition("?")
        query = {key: values[0] for key, values in urllib.parse.parse_qs(query).items()}
        if (
            path in ("/api", "/apis")
            or path.removeprefix("/apis/").removeprefix("/api/") in RESOURCES
        ):
            return self.answer(discovered(path))
        asked = PATH.match(path)
        kind = asked and KINDS.get((asked["core"] or asked["group"], asked["plural"]))
        if asked and asked["name"]:
            item = self.server.items.get((kind, asked["namespace"], asked["name"]))
            return self.answer(item) if item else self.refuse(404, "NotFound")
        if not kind:
            return self.refuse(404, "NotFound")
        if "sendInitialEvents" in query:
            return self.refuse(400, "BadRequest")
        if query.get("watch") in ("true", "1"):
            return self.nothing_happens()
        return self.answer(self.listed(kind, asked, query))

    def listed(self, kind, asked, query):
        """Lists the objects of a kind that match the selectors."""
        items = []
        for (one, namespace, name), item in self.server.items.items():
            wanted_name = re.match(r"metadata\.name=(.+)", query.get("fieldSelector", ""))
            if (
                one == kind
                and asked["namespace"] in (None, namespace)
                and has_labels(item["metadata"].get("labels", {}), query.get("labelSelector", ""))
            ):
                if not wanted_name or wanted_name[1] == name:
                    items.append(item)
        version = asked["core"] or asked["group"]
        return {
            "kind": f"{kind}List",
            "apiVersion": version,
            "metadata": {"resourceVersion": "1"},
            "items": items,
        }

    def nothing_happens(self):
        """Keeps a watch without events open as long as the server runs."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        self.server.ended.wait(60)
        self.close_connection = True

    def do_PATCH(self):
        """Handles a JSON merge patch of an object."""
        asked = PATH.match(self.path.partition("?")[0])
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = asked and (
            KINDS.get((asked["core"] or asked["group"], asked["plural"])),
            asked["namespace"],
            asked["name"],
        )
        if (
            key not in self.server.items
            or self.headers["Content-Type"] != "application/merge-patch+json"
        ):
            return self.refuse(404, "NotFound")
        refusal = self.server.before_patch(self.server, key, body)
        if refusal:
            return self.refuse(403, refusal)
        self.server.patches.append(
            (
                key[0],
                key[2],
                body,
                urllib.parse.parse_qs(self.path.partition("?")[2]).get("fieldManager"),
            )
        )
        self.server.items[key] = merged(self.server.items[key], body)
        return self.answer(self.server.items[key])


def discovered(path):
    """Returns the known groups, versions and kinds."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [
            {"groupVersion": version, "version": version.split("/")[1]}
            for version in RESOURCES
            if "/" in version
        ]
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [
                {
                    "name": one["groupVersion"].split("/")[0],
                    "versions": [one],
                    "preferredVersion": one,
                }
                for one in groups
            ],
        }
    version = path.removeprefix("/apis/").removeprefix("/api/")
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version,
        "resources": [
            {
                "name": PLURALS[kind],
                "singularName": kind.lower(),
                "namespaced": True,
                "kind": kind,
                "verbs": ["get", "list", "watch", "patch"],
            }
            for kind in RESOURCES[version]
        ],
    }
