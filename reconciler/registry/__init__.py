"""Container registries: an OCI distribution client of our own on http.client.

    reference    how images are named, which host is ECR            pure
    keys         Docker's config.json, its helpers, ECR's tokens     touches files, helpers, ECR
    wire         HTTP: streams, redirects, proxies                   touches the network
    session      one host: logins, tries, what a refusal means
    repository   manifests and blobs, digests checked both ways
    transfer     many blobs into one repository

Job: resolve, read, copy and write images in registries. Input: references, Keychain, Clock. Output: Documents, blobs
in a repository, or RegistryError with the registry, the repository and what to do. Must not: know of manifests in
YAML, of ECS, or of the platform layer.

Why neither python-dxf nor httpx. dxf streams and mounts, but begins a broken download at zero, waits for no
Retry-After, and leaves redirects and their Authorization to requests. httpx brings the same of its own that we would
switch off (pools, redirects, retries), copies every chunk, and adds three packages and 150 ms of import. What the
protocol needs is below both: a socket to read into one buffer, that same buffer sent on, an early answer read while a
body is being sent. http.client gives exactly that, and nothing is added to the lock file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from reconciler.clock import Clock
from reconciler.engine import Credentials
from reconciler.registry import reference
from reconciler.registry.keys import Keychain
from reconciler.registry.reference import Reference, ecr_host, parse
from reconciler.registry.repository import Blob, Document, Repository, document, from_bytes, from_file
from reconciler.registry.session import Session
from reconciler.registry.wire import Wire

__all__ = (
    "Blob",
    "Document",
    "Reference",
    "Registries",
    "Repository",
    "document",
    "ecr_host",
    "from_bytes",
    "from_file",
    "parse",
)


class Registries:
    """Every registry that a run speaks to: one login for each host, shared by threads."""

    def __init__(
        self,
        environment: Mapping[str, str],
        clock: Clock,
        ecr: Callable[[str], Credentials | None] = lambda _host: None,
    ) -> None:
        self._environment = environment
        self._clock = clock
        self._keychain = Keychain(environment, ecr)
        self._wire = Wire(lambda host: reference.plain(host, environment), reference.loopback)
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def repository(self, host: str, path: str) -> Repository:
        """The repository `path` of the registry `host`; nothing is asked yet."""
        with self._lock:
            if host not in self._sessions:
                self._sessions[host] = Session(
                    host,
                    self._wire,
                    self._keychain,
                    self._clock,
                    plain=reference.plain(host, self._environment),
                )
            return Repository(self._sessions[host], path)

    def close(self) -> None:
        """End every idle connection; they end with the object too."""
        self._wire.close()

    def credentials(self, host: str) -> Credentials | None:
        """What an engine is to log in to `host` with. Raises RegistryError and AwsError."""
        return self._keychain.find(host)
