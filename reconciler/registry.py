"""Registries: how references are written, which host is ECR, how to log in, which digest a platform has.

Job: turn what a manifest says into hosts, repositories and digests. Input: text, Aws, Engine. Output: Reference,
Credentials, digests. Must not: push or pull (the engine does), create repositories.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler import errors
from reconciler.aws import Aws
from reconciler.engine import Credentials, Engine

HUB = "docker.io"
SECONDS = 30
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    *INDEXES,
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z")
_TAG = re.compile(r"\w[\w.-]{0,127}\Z", re.ASCII)
_LOCAL = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?\Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference written out: `debian` is docker.io, library/debian, tag latest. One of tag and digest, or both."""

    host: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def repository(self) -> str:
        """HOST/PATH."""
        return f"{self.host}/{self.path}"

    def __str__(self) -> str:
        """HOST/PATH@DIGEST where there is a digest, which decides, else HOST/PATH:TAG."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def parse(text: str) -> Reference:
    """Read a reference by Docker's rules. Raises ValueError with a sentence that says what is wrong with it."""
    name, at, digest = text.partition("@")
    if at and not _DIGEST.match(digest):
        raise ValueError(f"{text!r}: after @ stands sha256: and 64 hexadecimal digits")
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, tag = name, ""
    elif not _TAG.match(tag):
        raise ValueError(f"{text!r}: {tag!r} is not a tag")
    host, slash, rest = path.partition("/")
    # Docker's rule: the first part is a host when it has a dot or a port, or is localhost.
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, rest = HUB, path
    if host in (HUB, "index.docker.io"):
        host, rest = HUB, rest if "/" in rest else f"library/{rest}"
    if not _PATH.match(rest):
        raise ValueError(f"{text!r} is not an image reference: a repository is written in lower case")
    return Reference(host, rest, tag or (None if digest else "latest"), digest or None)


def ecr_host(account: str, region: str, environment: Mapping[str, str]) -> str:
    """The registry's host: BUNNIES_REGISTRY, or ECR's own name for the account and region."""
    if stand_in := environment.get("BUNNIES_REGISTRY"):
        return stand_in.removeprefix("http://").removeprefix("https://").rstrip("/")
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{account}.dkr.ecr.{region}.{domain}"


def login(aws: Aws) -> Credentials:
    """What to push to and pull from ECR with, good for 12 hours. Raises AwsError."""
    answer = aws.call("ecr", "GetAuthorizationToken")
    token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
    username, _, password = token.partition(":")
    return Credentials(username, password)


def digest_of(
    engine: Engine, reference: Reference, platform: str, credentials: Credentials | None = None
) -> str:
    """The digest of the manifest that `platform` runs, never of an index; nothing is pulled. Raises EngineError.

    The engine resolves the reference. It does not tell what an index holds, so the index is read from its
    registry, with the credentials that Docker keeps. There is no second way (such as the index's own digest):
    two machines that took different ways would never agree, and every plan would change.
    """
    found = engine.descriptor(str(reference), credentials)
    if found.media_type not in INDEXES:
        return found.digest
    allowed = credentials or engine.credentials(reference.host)
    index = _read(reference, found.digest, allowed)
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    for manifest in index.get("manifests", ()):
        runs = manifest.get("platform") or {}
        if (runs.get("os"), runs.get("architecture")) == (system, architecture) and (
            not variant or runs.get("variant") == variant
        ):
            return str(manifest["digest"])
    raise errors.EngineError(f"{reference}: there is no image for {platform} in it. Choose another platform.")


def _read(reference: Reference, digest: str, credentials: Credentials | None) -> dict[str, Any]:
    host = "registry-1.docker.io" if reference.host == HUB else reference.host
    scheme = "http" if _LOCAL.match(host) else "https"  # as the engine itself does for loopback
    url = f"{scheme}://{host}/v2/{reference.path}/manifests/{digest}"
    accept = {"Accept": ", ".join(INDEXES)}
    try:
        try:
            return _get(url, accept)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 401:
                    raise
                challenge = error.headers.get("WWW-Authenticate", "")
            return _get(url, accept | {"Authorization": _authorization(challenge, credentials)})
    except (urllib.error.URLError, ValueError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise errors.EngineError(
            f"{reference}: its index cannot be read from {host} ({reason}). "
            "Check the network and `docker login`, or write the reference with the platform's own digest."
        ) from None


def _authorization(challenge: str, credentials: Credentials | None) -> str:
    """The Authorization header that answers WWW-Authenticate (RFC 6750, and Docker's token protocol)."""
    scheme, _, rest = challenge.partition(" ")
    basic = ""
    if credentials:
        pair = f"{credentials.username}:{credentials.password}".encode()
        basic = "Basic " + base64.b64encode(pair).decode()
    if scheme.lower() != "bearer":
        return basic
    asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    realm = asked.pop("realm", "")
    query = urllib.parse.urlencode({key: asked[key] for key in ("service", "scope") if key in asked})
    answer = _get(f"{realm}?{query}", {"Authorization": basic} if basic else {})
    return f"Bearer {answer.get('token') or answer.get('access_token')}"


def _get(url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url} is not a web address")
    request = urllib.request.Request(url)  # noqa: S310  the scheme is checked above
    for name, value in headers.items():
        request.add_unredirected_header(name, value)  # never hand a password on to another host
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        document: dict[str, Any] = json.loads(answer.read())
        return document
