"""Terraform with a local provider, and MiniStack as AWS: shared by the tests of infra/.

The provider is found in a plugin folder, or downloaded once into .verify/terraform. If neither is
possible, the tests are skipped, and the summary of pytest states the reason.
"""

import contextlib
import fcntl
import functools
import os
import pathlib
import platform
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

import botocore.session
import pytest
from botocore.config import Config
from conftest import ROOT, TOOLS, run

INFRA = ROOT / "infra"
MODULES = sorted(path.name for path in (INFRA / "terraform" / "modules").iterdir())
ROOTS = sorted(path.name for path in (INFRA / "environments").iterdir() if path.is_dir())

PROVIDER = "registry.terraform.io/hashicorp/aws"
VERSION = "5.100.0"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(
    platform.machine(), platform.machine()
)
PLATFORM = f"{platform.system().lower()}_{ARCHITECTURE}"


def terraform(*command, cwd, data, mirror=False, **variables):
    """Runs Terraform in a folder and returns what it said. Its working data go to `data`, nothing to the folder.

    With `mirror` the provider is installed from its folder by `init`, and held against the lock file; otherwise it is used
    in place, which needs no `init` and no hashing of its 700 MB.
    """
    plugins, provider = provider_folders()
    rules = (
        f'filesystem_mirror {{ path = "{plugins}" }}'
        if mirror
        else f'dev_overrides {{ "hashicorp/aws" = "{provider}" }}\n  direct {{}}'
    )
    settings = pathlib.Path(data) / "terraformrc"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f"disable_checkpoint = true\nprovider_installation {{\n  {rules}\n}}\n")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))
    }
    environment |= {
        "TF_CLI_CONFIG_FILE": str(settings),
        "TF_DATA_DIR": str(data),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
    }
    environment |= {f"TF_VAR_{name}": str(value) for name, value in variables.items()}
    return run("terraform", *command, cwd=cwd, env=environment)


@functools.cache
def provider_folders():
    """Returns the plugin folder with the provider, and the folder of its binary. Skips the test if
    there is none.
    """
    if not shutil.which("terraform"):
        pytest.skip(
            "TERRAFORM IS NOT HERE: infra/ was not verified. Install Terraform 1.11 or later and run again."
        )
    with locked("terraform"):
        fetched = TOOLS / "terraform"
        for plugins in [*plugin_folders(), fetched]:
            provider = plugins / PROVIDER / VERSION / PLATFORM
            if any(provider.glob("terraform-provider-aws*")):
                return plugins, provider
        return fetch(fetched)


def plugin_folders():
    """Returns the usual plugin folders: a configured one, Terraform's own, and /opt."""
    named = os.environ.get("TF_PLUGIN_MIRROR")
    usual = [
        pathlib.Path.home() / ".terraform.d/plugins",
        pathlib.Path("/usr/local/share/terraform/plugins"),
        pathlib.Path("/usr/share/terraform/plugins"),
    ]
    return [
        *([pathlib.Path(named)] if named else []),
        *usual,
        *sorted(pathlib.Path("/opt").glob("*")),
    ]


def fetch(folder):
    """Downloads the provider from its registry and compares it with the lock file."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "TF_CLI_CONFIG_FILE": os.devnull,
        "TF_PLUGIN_CACHE_DIR": str(folder),
        "TF_DATA_DIR": str(TOOLS / "terraform-data"),
        "CHECKPOINT_DISABLE": "1",
    }
    command = [
        "terraform",
        "init",
        "-backend=false",
        "-input=false",
        "-lockfile=readonly",
        "-no-color",
    ]
    done = subprocess.run(
        command,
        cwd=INFRA / "environments" / "local",
        env=environment,
        text=True,
        capture_output=True,
    )
    if done.returncode != 0:
        pytest.skip(
            f"THE AWS PROVIDER {VERSION} IS NOT HERE, and its registry does not answer: infra/ was not verified. "
            f"Set TF_PLUGIN_MIRROR to a folder that has it and run again. ({done.stderr.strip().splitlines()[0] if done.stderr.strip() else 'no reason given'})"
        )
    return folder, folder / PROVIDER / VERSION / PLATFORM


@contextlib.contextmanager
def locked(name):
    """Lets one process at a time run, since tests run in parallel."""
    TOOLS.mkdir(exist_ok=True)
    with open(TOOLS / f"{name}.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ministack_binary():
    """Returns MINISTACK_BIN, or the one that `make setup` installs, and installs it if it is
    missing.
    """
    named = os.environ.get("MINISTACK_BIN")
    if named:
        return named
    folder = ROOT / ".venv"
    with locked("ministack"):
        if not (folder / "bin" / "ministack").exists():
            run("python3", "-m", "venv", folder)
            run(
                folder / "bin" / "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
                ROOT / "tests" / "requirements.txt",
            )
            shutil.copy(ROOT / "tests" / "requirements.txt", folder)
    return str(folder / "bin" / "ministack")


class MiniStack:
    """A context manager that runs an emulator of AWS on a free port. `secure`: with TLS and IAM."""

    def __init__(self, folder, secure=False, **variables):
        self.folder, self.secure, self.variables = pathlib.Path(folder), secure, variables
        # It makes one of its own.
        self.certificate = str(self.folder / "ministack-tls" / "server.crt")

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.endpoint = f"{'https' if self.secure else 'http'}://127.0.0.1:{port}"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
        }
        if self.secure:
            environment |= {"USE_SSL": "1", "AUTH": "true"}
        self.region = self.variables.get("MINISTACK_REGION", "us-east-1")
        self.account = self.variables.get("MINISTACK_ACCOUNT_ID", "000000000000")
        with open(self.folder / "ministack.log", "w", encoding="utf-8") as log:
            command = [ministack_binary()]
            self.process = subprocess.Popen(
                command,
                env=environment | self.variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.until_it_answers()
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def until_it_answers(self):
        """Waits until it answers, for at most 30 seconds."""
        for _ in range(300):
            with contextlib.suppress(OSError):
                trusting = (
                    ssl.create_default_context(cafile=self.certificate) if self.secure else None
                )
                urllib.request.urlopen(
                    f"{self.endpoint}/_ministack/health", timeout=5, context=trusting
                ).close()
                return
            assert self.process.poll() is None, (self.folder / "ministack.log").read_text()
            time.sleep(0.1)
        raise AssertionError(
            "MiniStack does not answer:\n" + (self.folder / "ministack.log").read_text()
        )

    def client(self, service, credentials=None, **config):
        """Returns an SDK client, with the credentials of a role or of the account's owner."""
        credentials = credentials or {"AccessKeyId": "test", "SecretAccessKey": "test"}
        return botocore.session.get_session().create_client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint,
            verify=self.certificate if self.secure else None,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials.get("SessionToken"),
            config=Config(retries={"max_attempts": 0}, **config),
        )
