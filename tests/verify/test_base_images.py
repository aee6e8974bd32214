"""Images of other publishers are pinned by digest everywhere, and scripts/pin-images.sh updates the
digests.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from conftest import ROOT, SERVICES, rendered, run
from pipeline_registry import Registry

PINNED = re.compile(
    r"docker\.io/[a-z0-9][a-z0-9._/-]*:[A-Za-z0-9_][A-Za-z0-9._-]*@sha256:[0-9a-f]{64}"
)
DOCKERFILES = sorted(run("git", "ls-files", "*Dockerfile").split())
BUILT_HERE = {*SERVICES, "suite", "sandbox", "ministack", "backup"}


def bases(text):
    """Returns the base images of a Dockerfile's stages, without other stages and the empty image."""
    found, stages = [], {"scratch"}
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text.partition("\nFROM ")[0], re.MULTILINE))
    for base, stage in re.findall(
        r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", text, re.MULTILINE | re.IGNORECASE
    ):
        base = re.sub(
            r"\$\{?(\w+)\}?", lambda argument: arguments.get(argument[1], argument[0]), base
        )
        if base not in stages:
            found.append(base)
        stages.add(stage)
    found += re.findall(r"^COPY\s+.*--from=(\S*[/:]\S*)", text, re.MULTILINE)
    return found


def unpinned(images):
    """Returns the images that are not pinned."""
    return [image for image in images if not PINNED.fullmatch(image)]


def of_others(image):
    """Returns True if this repository does not build the image."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0] not in BUILT_HERE


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_pins_base_images_of_dockerfiles(dockerfile):
    found = bases((ROOT / dockerfile).read_text())
    assert found and unpinned(found) == []


@pytest.mark.parametrize(
    "text",
    [
        "FROM docker.io/library/debian:bookworm-slim",
        "FROM --platform=linux/amd64 rust:1.95-bookworm AS build",
        "ARG RELEASE=trixie\nFROM docker.io/library/debian:${RELEASE}-slim",
        "FROM docker.io/library/debian@sha256:" + "0" * 64,
        "FROM docker.io/library/debian:12@sha256:0123",
        "FROM scratch\nCOPY --from=docker.io/library/busybox:1.37 /bin /bin",
    ],
)
def test_finds_unpinned_image(text):
    assert len(unpinned(bases(text))) == 1


def test_needs_no_digest_for_stages_and_scratch():
    text = (
        "ARG RELEASE=one\nFROM docker.io/library/debian:12@sha256:"
        + "a" * 64
        + " AS one\nFROM one AS two\nFROM ${RELEASE}\nFROM scratch\nCOPY --from=two / /"
    )
    assert len(bases(text)) == 1 and unpinned(bases(text)) == []


def test_pins_images_of_compose():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    images = [
        re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", service["image"]) for service in services.values()
    ]
    found = [image for image in images if of_others(image)]
    assert len(found) == 4 and unpinned(found) == []


@pytest.mark.parametrize("overlay", sorted(path.name for path in (ROOT / "k8s/overlays").iterdir()))
def test_pins_images_of_manifests(overlay):
    images = set(re.findall(r"'image': '([^']+)'", str(rendered(f"k8s/overlays/{overlay}"))))
    found = {image for image in images if of_others(image)}
    assert images and bool(found) == (overlay == "local") and unpinned(found) == []


def test_pins_each_tag_to_one_digest():
    text = "\n".join(
        (ROOT / file).read_text()
        for file in [*DOCKERFILES, "compose.yaml", *run("git", "ls-files", "k8s/*.yaml").split()]
    )
    pinned = {match.split("@")[0]: match for match in PINNED.findall(text)}
    assert len(pinned) >= 6
    assert set(PINNED.findall(text)) == set(pinned.values())


@pytest.fixture
def registry():
    registry = Registry()
    yield registry
    registry.close()


@pytest.fixture
def checkout(tmp_path, registry):
    """Creates a checkout with the files that name images, on a machine whose docker.io is the
    registry.
    """
    home, root = tmp_path / "home", tmp_path / "checkout"
    (home / ".config/containers").mkdir(parents=True)
    (home / ".config/containers/registries.conf").write_text(
        f'[[registry]]\nprefix = "docker.io"\nlocation = "{registry.address}"\ninsecure = true\n'
    )
    files = [
        *DOCKERFILES,
        "compose.yaml",
        "k8s/components/local/postgres.yaml",
        "scripts/pin-images.sh",
        "scripts/environments.sh",
    ]
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, root / file)
    run("git", "init", "--quiet", cwd=root)

    class Checkout:
        def pin(self, *arguments):
            return subprocess.run(
                [root / "scripts/pin-images.sh", *arguments],
                cwd=tmp_path,
                text=True,
                capture_output=True,
                env={**os.environ, "HOME": str(home)},
            )

        def text(self):
            return "\n".join((root / file).read_text() for file in files[:-2])

        def replace(self, file, old, new):
            text = (root / file).read_text()
            assert old in text
            (root / file).write_text(text.replace(old, new))

    return Checkout()


def published(registry, images, content):
    """Publishes a new index under each name. Returns name -> digest."""
    digests = {}
    for image in images:
        repository, _, tag = image.removeprefix("docker.io/").rpartition(":")
        index = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [],
            "annotations": {"is": image + content},
        }
        digests[image] = registry.put(repository, tag, json.dumps(index).encode())
        assert digests[image] == "sha256:" + hashlib.sha256(json.dumps(index).encode()).hexdigest()
    return digests


def named(text):
    """Returns all images in a text without their digests."""
    return {match.split("@")[0] for match in PINNED.findall(text)}


def test_writes_current_digests(checkout, registry):
    digests = published(registry, named(checkout.text()), "today")
    looked = checkout.pin("--check")
    assert (
        looked.returncode == 1
        and "are not pinned to the present digests of their tags" in looked.stderr
    )
    before = checkout.text()
    assert before == checkout.text(), "looking changes nothing"
    done = checkout.pin()
    assert done.returncode == 0, done.stderr
    assert set(PINNED.findall(checkout.text())) == {
        f"{image}@{digest}" for image, digest in digests.items()
    }
    assert re.sub("@sha256:[0-9a-f]{64}", "", checkout.text()) == re.sub(
        "@sha256:[0-9a-f]{64}", "", before
    ), "nothing else is touched"
    assert checkout.pin("--check").returncode == 0


def test_pins_changed_tag(checkout, registry):
    published(registry, named(checkout.text()), "today")
    assert checkout.pin().returncode == 0
    new = "docker.io/prom/prometheus:v3.5.0-next"
    digests = published(registry, [new], "today")
    checkout.replace(
        "compose.yaml", re.search(r"docker\.io/prom/prometheus\S+", checkout.text())[0], new
    )
    assert checkout.pin("--check").returncode == 1
    assert checkout.pin().returncode == 0
    assert f"{new}@{digests[new]}\n" in checkout.text()


def test_refuses_image_of_one_platform(checkout, registry):
    published(registry, named(checkout.text()), "today")
    registry.image("library/postgres", "15-bookworm", "of one platform")
    before = checkout.text()
    done = checkout.pin("--check")
    assert (
        done.returncode == 1 and "postgres:15-bookworm is an image of one platform" in done.stderr
    )
    assert checkout.text() == before


def test_fails_when_registry_does_not_answer(checkout, registry):
    registry.broken = True
    done = checkout.pin("--check")
    assert done.returncode == 1 and "returned no digest" in done.stderr
