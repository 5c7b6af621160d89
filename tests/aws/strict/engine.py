"""A Docker engine as images are made with it, without Docker.

Job: the methods of reconciler.engine.Engine that a shimmed image needs: inspect, build, push, descriptor, pull.
Input: names, build contexts. Output: inspect documents, digests; a push is PutImage of the process's own Aws.
Must not: run anything.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Mapping
from typing import IO, Any

from reconciler.aws import Aws
from reconciler.engine import Descriptor
from reconciler.errors import AwsError, EngineError

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Engine:
    """One engine of one machine; `images` are its local images by name and id."""

    host = "unix:///strict"
    platform = "linux/amd64"

    def __init__(self, aws: Aws, base: str) -> None:
        self._aws = aws
        self.images: dict[str, dict[str, Any]] = {}
        config = {"Cmd": ["bash"], "Entrypoint": None, "Env": ["PATH=/usr/bin:/bin"], "Labels": None}
        self._keep(base, config)

    def inspect(self, reference: str) -> dict[str, Any] | None:
        """The document of a local image."""
        return self.images.get(reference)

    def descriptor(self, reference: str, credentials: object = None) -> Descriptor:
        """No registry is reached."""
        raise EngineError(f"{reference}: no registry here")

    def build(
        self,
        context: IO[bytes],
        platform: str,
        tell: Callable[[str], None],
        *,
        dockerfile: str = "Dockerfile",
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Carries out FROM, ENTRYPOINT and CMD as Docker does: ENTRYPOINT empties the base's CMD."""
        with tarfile.open(fileobj=context) as archive:
            member = archive.extractfile(dockerfile)
            lines = member.read().decode().splitlines() if member else []
        base = self.images[lines[0].removeprefix("FROM ")]
        config = dict(base["Config"])
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "ENTRYPOINT":
                config |= {"Entrypoint": json.loads(rest), "Cmd": None}
            if word == "CMD":
                config["Cmd"] = json.loads(rest)
        config["Labels"] = {**(config["Labels"] or {}), **(options or {}).get("labels", {})}
        return self._keep("", config)

    def push(
        self, image: str, target: tuple[str, str], credentials: object, tell: Callable[[str], None]
    ) -> str:
        """As one call; an immutable tag refuses it."""
        repository, tag = target
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": image}, "layers": []}
        try:
            answer = self._aws.call(
                "ecr",
                "PutImage",
                repositoryName=repository.partition("/")[2],
                imageManifest=json.dumps(manifest),
                imageTag=tag,
            )
        except AwsError as error:
            raise EngineError(str(error)) from error
        return str(answer["image"]["imageId"]["imageDigest"])

    def _keep(self, name: str, config: dict[str, Any]) -> str:
        digest = f"sha256:{hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()}"
        document = {"Id": digest, "Os": "linux", "Architecture": "amd64", "Config": config, "RepoDigests": []}
        self.images[digest] = document
        if name:
            self.images[name] = document
        return digest
