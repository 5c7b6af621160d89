"""References: how they are written, which host stands for ECR, where plain HTTP is allowed.

Job: turn what a manifest says into a host and a repository. Input: text, the environment. Output: Reference, hosts.
Must not: open a connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

HUB = "docker.io"
HUB_API = "registry-1.docker.io"  # where docker.io's registry answers
INSECURE = "BUNNIES_INSECURE_REGISTRIES"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z")
_TAG = re.compile(r"\w[\w.-]{0,127}\Z", re.ASCII)
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?\Z")
_ECR = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\Z")


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


def ecr_region(host: str) -> str | None:
    """The region of an ECR host, None of any other host."""
    found = _ECR.match(host)
    return found[2] if found else None


def plain(host: str, environment: Mapping[str, str]) -> bool:
    """Whether HOST[:PORT] is spoken to without TLS: on loopback, as Docker does, and where
    BUNNIES_INSECURE_REGISTRIES (HOST[:PORT], separated by commas) asks for it.
    """
    asked = [word.strip() for word in environment.get(INSECURE, "").split(",")]
    return bool(_LOOPBACK.match(host)) or host in asked


def loopback(host: str) -> bool:
    """Whether HOST[:PORT] is this machine itself."""
    return bool(_LOOPBACK.match(host))
