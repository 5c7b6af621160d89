"""Container registries without HTTP: the user's, which has the base image, and ECR's.

Job: what a shimmed image needs of reconciler.registry.Registries: resolve, read, push, put. Input: blobs, documents.
Output: the same; a manifest goes to ECR by PutImage of the process's own Aws, so that it is a call to crash at.
Must not: import the registry client that it stands for, but for its data.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from reconciler.aws import Aws
from reconciler.errors import AwsError, RegistryError
from reconciler.registry import Blob, Document

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
CONFIG = "application/vnd.docker.container.image.v1+json"


@dataclass
class Store:
    """What all registries hold: blobs by repository, documents by repository and reference."""

    blobs: defaultdict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    documents: defaultdict[str, dict[str, Document]] = field(default_factory=lambda: defaultdict(dict))

    def image(self, name: str, tag: str) -> None:
        """A user's image of one layer."""
        layer = b"the user's programs"
        config = {
            "os": "linux",
            "architecture": "amd64",
            "config": {"Cmd": ["bash"], "Env": ["PATH=/usr/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [sha256(b"unpacked")]},
        }
        parts = {"config": (CONFIG, json.dumps(config).encode()), "layers": (LAYER, layer)}
        described = {
            key: {"mediaType": kind, "size": len(body), "digest": sha256(body)}
            for key, (kind, body) in parts.items()
        }
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described["config"]}
        body = json.dumps({**manifest, "layers": [described["layers"]]}).encode()
        for _, content in parts.values():
            self.blobs[name][sha256(content)] = content
        for reference in (tag, sha256(body)):
            self.documents[name][reference] = Document(body, MANIFEST, sha256(body))


class Registries:
    """The registries as one process reaches them; `ecr` is the host whose manifests are ECR's."""

    def __init__(self, aws: Aws, store: Store, ecr: str) -> None:
        self._aws, self._store, self._ecr = aws, store, ecr

    def repository(self, host: str, path: str) -> Repository:
        """The repository `path` of a host."""
        return Repository(self._aws if host == self._ecr else None, self._store, f"{host}/{path}")


class Repository:
    """One repository; `aws` where it is ECR's."""

    def __init__(self, aws: Aws | None, store: Store, name: str) -> None:
        self.name = name
        self.path = name.partition("/")[2]
        self._aws, self._blobs, self._documents = aws, store.blobs[name], store.documents[name]

    def head(self, reference: str) -> tuple[str, str]:
        """Digest and media type."""
        found = self.manifest(reference)
        return found.digest, found.media_type

    def manifest(self, reference: str) -> Document:
        """A manifest by tag or digest."""
        if reference not in self._documents:
            raise RegistryError(f"{self.name}:{reference}: not there", 404)
        return self._documents[reference]

    def has(self, digest: str) -> bool:
        """Whether a blob is there."""
        return digest in self._blobs

    def read(self, digest: str, limit: int) -> bytes:
        """A small blob."""
        return self._blobs[digest]

    def blob(self, digest: str, size: int | None) -> Iterator[memoryview]:
        """A blob in one chunk."""
        yield memoryview(self._blobs[digest])

    def push(self, blob: Blob) -> str:
        """Takes a blob whose bytes are those of its digest."""
        if self.has(blob.digest):
            return "there"
        body = b"".join(bytes(chunk) for chunk in blob.chunks())
        if sha256(body) != blob.digest or len(body) != blob.size:
            raise AssertionError(f"{blob.digest} was pushed with other bytes")
        self._blobs[blob.digest] = body
        return "pushed"

    def put(self, reference: str, document: Document) -> None:
        """Writes a manifest, all of whose blobs must be there."""
        manifest = json.loads(document.body)
        for part in (manifest["config"], *manifest["layers"]):
            if not self.has(part["digest"]):
                raise AssertionError(f"{self.name}:{reference} came before {part['digest']}")
        if self._aws is not None:
            try:
                self._aws.call(
                    "ecr",
                    "PutImage",
                    repositoryName=self.path,
                    imageManifest=document.body.decode(),
                    imageManifestMediaType=document.media_type,
                    imageTag=reference,
                    imageDigest=document.digest,
                )
            except AwsError as error:
                raise RegistryError(f"{self.name}:{reference}: {error}", error.status) from error
        self._documents[reference] = self._documents[document.digest] = document


def sha256(body: bytes) -> str:
    """ "sha256:…" of bytes."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
