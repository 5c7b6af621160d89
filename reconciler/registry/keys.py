"""Who we are to a registry: Docker's config.json with its helpers, and ECR's own tokens.

Job: find credentials for a host. Input: the environment, Docker's files, Aws. Output: Credentials or None. Must not:
speak to a registry, keep a password longer than a run, or put one in a message.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from reconciler.aws import Aws
from reconciler.engine import Credentials
from reconciler.errors import RegistryError
from reconciler.registry import reference

IDENTITY: Final = "<token>"  # the user name that Docker's helpers give with an identity token
HELPER_SECONDS: Final = 60
EARLY: Final = timedelta(minutes=15)  # a token is renewed this long before its 12 hours end
_HUB_KEY: Final = "https://index.docker.io/v1/"


class Keychain:
    """Credentials by host: ECR's from `ecr`, those of every other host from Docker's configuration, read once."""

    def __init__(
        self,
        environment: Mapping[str, str],
        ecr: Callable[[str], Credentials | None] = lambda _host: None,
    ) -> None:
        self._environment = environment
        self._ecr = ecr
        self._lock = threading.Lock()
        self._found: dict[str, Credentials | None] = {}

    def find(self, host: str) -> Credentials | None:
        """What to log in to `host` with. Raises RegistryError where what is configured cannot be read, and AwsError."""
        if own := self._ecr(host):
            return own
        with self._lock:
            if host not in self._found:
                self._found[host] = _from_docker(host, self._environment)
            return self._found[host]


class Ecr:
    """GetAuthorizationToken, asked once and again before its 12 hours end.

    It serves `registry()`, the host that stands for ECR, and ECR's hosts of other accounts in the same region.
    """

    def __init__(self, aws: Aws, registry: Callable[[], str], now: Callable[[], datetime]) -> None:
        self._aws = aws
        self._registry = registry
        self._now = now
        self._lock = threading.Lock()
        self._kept: tuple[Credentials, datetime] | None = None

    def __call__(self, host: str) -> Credentials | None:
        """What to log in to `host` with; None where it is not ECR's. Raises AwsError."""
        region = reference.ecr_region(host)
        if (region is None or region != self._aws.region) and host != self._registry():
            return None
        with self._lock:
            if self._kept is None or self._kept[1] - EARLY <= self._now():
                self._kept = self._asked()
            return self._kept[0]

    def _asked(self) -> tuple[Credentials, datetime]:
        answer = self._aws.call("ecr", "GetAuthorizationToken")["authorizationData"][0]
        ends = answer.get("expiresAt") or self._now() + timedelta(hours=12)
        return _pair(answer["authorizationToken"]), ends


def _from_docker(host: str, environment: Mapping[str, str]) -> Credentials | None:
    folder = environment.get("DOCKER_CONFIG") or Path(environment.get("HOME") or Path.home()) / ".docker"
    path = Path(folder) / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RegistryError(f"Docker's {path} cannot be read: {error}. Repair or remove it.") from None
    names = _names(host)
    helpers = config.get("credHelpers") or {}
    for name in names:
        if helper := helpers.get(name):
            return _asked_of(helper, name, environment)
    if store := config.get("credsStore"):
        server = _HUB_KEY if host == reference.HUB else host
        if found := _asked_of(store, server, environment):
            return found
    entries = config.get("auths") or {}
    for name in names:
        if found := _entry(entries.get(name) or {}, path, name):
            return found
    return None


def _names(host: str) -> list[str]:
    """How config.json may write a host; `docker login` of Docker Hub keeps an address of its first API."""
    hosts = [host, "index.docker.io", reference.HUB_API] if host == reference.HUB else [host]
    names = [_HUB_KEY] if host == reference.HUB else []
    for one in hosts:
        names += [one, f"https://{one}", f"https://{one}/", f"https://{one}/v1/", f"https://{one}/v2/"]
        names += [f"http://{one}"]
    return names


def _entry(entry: Mapping[str, Any], path: Path, name: str) -> Credentials | None:
    if token := entry.get("identitytoken"):
        return Credentials(IDENTITY, str(token))
    if entry.get("auth"):
        try:
            return _pair(str(entry["auth"]))
        except (binascii.Error, ValueError):
            raise RegistryError(
                f"Docker's {path} holds no user and password for {name}. Run: docker login {name}"
            ) from None
    if entry.get("username") and entry.get("password"):
        return Credentials(str(entry["username"]), str(entry["password"]))
    return None


def _pair(encoded: str) -> Credentials:
    username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    if not colon:
        raise ValueError("no colon")
    return Credentials(username, password.rstrip("\0"))


def _asked_of(helper: str, server: str, environment: Mapping[str, str]) -> Credentials | None:
    """What `docker-credential-HELPER get` says; None where it keeps nothing for the server."""
    command = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [command, "get"],
            input=server,
            capture_output=True,
            text=True,
            timeout=HELPER_SECONDS,
            env=dict(environment),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError(
            f"{command}, which Docker's configuration names for {server}, cannot be run: "
            f"{getattr(error, 'strerror', None) or 'it does not answer in time'}. Install it, or take it out of config.json."
        ) from None
    if done.returncode:
        said = f"{done.stdout} {done.stderr}".strip()
        if "not found" in said.lower():
            return None
        raise RegistryError(f"{command} refused to give credentials for {server}: {said or done.returncode}")
    try:
        answer = json.loads(done.stdout)
        username, password = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise RegistryError(
            f"{command} answered for {server} with something that is no credentials"
        ) from None
    return Credentials(username, password) if password else None
