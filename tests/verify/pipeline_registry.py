"""An in-memory container registry for tests: pull, push and tag of the OCI distribution
specification.

Like a registry with immutable tags, it refuses to change a tag.
"""

import hashlib
import http.server
import json
import re
import threading

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Registry:
    def __init__(self):
        self.blobs, self.manifests, self.tags, self.uploads, self.pushed = {}, {}, {}, {}, []
        self.broken = False
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), lambda *rest: Request(self, *rest)
        )
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        self.address = f"127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def image(self, repository, tag, content):
        """Pushes an image with one layer, as a build would. Returns its digest."""
        layer = content.encode()
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
            }
        )
        parts = [
            ("application/vnd.oci.image.config.v1+json", config.encode()),
            ("application/vnd.oci.image.layer.v1.tar", layer),
        ]
        for _, part in parts:
            self.blobs[digest_of(part)] = part
        described = [
            {"mediaType": kind, "digest": digest_of(part), "size": len(part)}
            for kind, part in parts
        ]
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": described[0],
                "layers": described[1:],
            }
        ).encode()
        return self.put(repository, tag, manifest)

    def put(self, repository, reference, manifest):
        digest = digest_of(manifest)
        self.manifests[repository, digest] = manifest
        if not reference.startswith("sha256:"):
            self.tags[repository, reference] = digest
        return digest

    def digest(self, repository, tag):
        return self.tags.get((repository, tag))


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, registry, *rest):
        self.registry = registry
        super().__init__(*rest)

    def log_message(self, *_):
        pass

    def answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status, code):
        self.answer(
            status,
            json.dumps(
                {"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}
            ).encode(),
            Content_Type="application/json",
        )

    def do_GET(self):
        registry = self.registry
        if registry.broken:
            return self.refuse(503, "UNAVAILABLE")
        if self.path == "/v2/":
            return self.answer(200, b"{}")
        if found := re.fullmatch(r"/daemon/[^/]+/(.+):(.+)", self.path):
            # Not of the specification: `docker push` is played, and this is the image that it would have brought.
            registry.image(found[1], found[2], found[1])
            return self.answer(200)
        if found := re.fullmatch(r"/v2/(.+)/tags/list", self.path):
            names = [tag for repository, tag in registry.tags if repository == found[1]]
            return self.answer(
                200,
                json.dumps({"name": found[1], "tags": names}).encode(),
                Content_Type="application/json",
            )
        if found := re.fullmatch(r"/v2/(.+)/manifests/(.+)", self.path):
            digest = registry.tags.get((found[1], found[2]), found[2])
            manifest = registry.manifests.get((found[1], digest))
            if manifest is None:
                return self.refuse(404, "MANIFEST_UNKNOWN")
            return self.answer(200, manifest, Content_Type=MANIFEST, Docker_Content_Digest=digest)
        if (found := re.fullmatch(r"/v2/(.+)/blobs/(sha256:\w+)", self.path)) and found[
            2
        ] in registry.blobs:
            return self.answer(
                200,
                registry.blobs[found[2]],
                Content_Type="application/octet-stream",
                Docker_Content_Digest=found[2],
            )
        return self.refuse(404, "BLOB_UNKNOWN")

    do_HEAD = do_GET

    def do_PUT(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        repository, reference = re.fullmatch(r"/v2/(.+)/manifests/(.+)", self.path).groups()
        before = self.registry.tags.get((repository, reference))
        if before and before != digest_of(content):
            return self.refuse(400, "TAG_INVALID")
        digest = self.registry.put(repository, reference, content)
        self.registry.pushed.append(f"{repository}:{reference}")
        return self.answer(201, Docker_Content_Digest=digest, Location=self.path)
