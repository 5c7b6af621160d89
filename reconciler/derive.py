"""What an image becomes with the platform layer: the bytes of its manifest, configuration and index.

Job: derive them from the base's, so that the same base and layer give the same bytes on every machine and by either
builder. Input: raw JSON, Layer, names. Output: raw JSON; DeriveError where a base cannot take the layer. Must not:
touch the world, know a registry, or drop or reorder a field that it does not know.

Formats: https://github.com/opencontainers/image-spec, and Docker's own, image manifest version 2 schema 2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconciler import media
from reconciler.errors import BunniesError
from reconciler.layer import Layer

INIT: Final = "/bunnies/bin/bunny-init"
BASE_NAME: Final = "org.opencontainers.image.base.name"
BASE_DIGEST: Final = "org.opencontainers.image.base.digest"
LAYER_DIGEST: Final = "bunnies.layer.digest"
LAYER_VERSION: Final = "bunnies.layer.version"

Json = dict[str, Any]


class DeriveError(BunniesError):
    """This base cannot take the platform layer; the message says why, without a full stop or the image's name."""


@dataclass(frozen=True, slots=True)
class Base:
    """The user's image for one platform. `name` is what the manifest calls it, `digest` what it is known by.

    `media_type` is what the registry calls the manifest, for one that does not say it itself.
    """

    manifest: bytes
    media_type: str
    config: bytes
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Derived:
    """The new image: its manifest, and the configuration that it points to."""

    manifest: bytes
    media_type: str
    config: bytes


def image(base: Base, layer: Layer) -> Derived:
    """`base` with `layer` on top and bunny-init before its entrypoint. Raises DeriveError."""
    manifest, config = parsed(base.manifest), parsed(base.config)
    media_type = manifest_type(manifest, base.media_type)
    _check(manifest, config, layer)
    history = {
        "created_by": f"bunnies: the platform layer, version {layer.version}",
        "comment": layer.digest,
    }
    if config.get("created"):
        history = {"created": config["created"], **history}
    config["config"] = {**(config.get("config") or {})}
    config["config"]["Entrypoint"] = entrypoint(config["config"])
    config["rootfs"] = {**config["rootfs"], "diff_ids": [*config["rootfs"]["diff_ids"], layer.diff_id]}
    if config.get("history"):  # one that is left out stays so: ours alone would claim that there is one layer
        config["history"] = [*config["history"], history]
    written = text(config)
    manifest["config"] = _descriptor(manifest["config"], written)
    docker = media_type == media.DOCKER_MANIFEST
    added = {
        "mediaType": media.DOCKER_LAYER if docker else media.OCI_LAYER,
        "size": layer.size,
        "digest": layer.digest,
    }
    manifest["layers"] = [*manifest["layers"], added]
    manifest.pop("subject", None)  # what refers to the base says nothing of what we made of it
    manifest["annotations"] = {
        **(manifest.get("annotations") or {}),
        **_annotations(base.name, base.digest),
        LAYER_DIGEST: layer.digest,
        LAYER_VERSION: layer.version,
    }
    return Derived(text(manifest), media_type, written)


def index(base: bytes, name: str, digest: str, made: Mapping[str, bytes]) -> bytes:
    """The base's index with each manifest of `made` (the base's digest → the new manifest) in its place.

    Order and unknown fields are kept; what is not in `made` is left out, so attestations, which are of the base's
    manifests, do not dangle.
    """
    document = parsed(base)
    kept = []
    for descriptor in document["manifests"]:
        if descriptor["digest"] in made and not _attests(descriptor):
            kept.append(_descriptor(descriptor, made[descriptor["digest"]]))
    document["manifests"] = kept
    document.pop("subject", None)
    document["annotations"] = {**(document.get("annotations") or {}), **_annotations(name, digest)}
    return text(document)


def platforms(document: Json) -> dict[str, str]:
    """{"linux/arm64": digest} of an index; "linux/arm64/v8" too where it names a variant; the first of each counts."""
    found: dict[str, str] = {}
    for descriptor in document.get("manifests") or ():
        runs = descriptor.get("platform") or {}
        if runs.get("os") != "linux" or _attests(descriptor):
            continue
        name = f"linux/{runs.get('architecture')}"
        found.setdefault(name, str(descriptor["digest"]))
        if runs.get("variant"):
            found.setdefault(f"{name}/{runs['variant']}", str(descriptor["digest"]))
    return found


def engine_manifest(config: bytes, layers: Sequence[Json]) -> bytes:
    """The manifest that Docker itself would push for a configuration and its compressed layers."""
    described = {"mediaType": media.DOCKER_CONFIG, "size": len(config), "digest": _sha256(config)}
    return text(
        {
            "schemaVersion": 2,
            "mediaType": media.DOCKER_MANIFEST,
            "config": described,
            "layers": list(layers),
        }
    )


def runs_on(config: Json) -> str:
    """The platform that a configuration is for: "linux/amd64"."""
    return f"{config.get('os', 'linux')}/{config.get('architecture', 'unknown')}"


def manifest_type(manifest: Json, said: str) -> str:
    """A manifest's media type: its own word, else the registry's, else that of its configuration. DeriveError for no image."""
    found = str(manifest.get("mediaType") or said)
    if found in (media.OCI_MANIFEST, media.DOCKER_MANIFEST):
        return found
    if manifest.get("schemaVersion") == 1:
        raise DeriveError(
            "its manifest is of schema 1, which registries gave up in 2023. Push it again with a newer tool"
        )
    kind = (manifest.get("config") or {}).get("mediaType")
    if not manifest.get("mediaType") and kind in (media.OCI_CONFIG, media.DOCKER_CONFIG):
        return media.DOCKER_MANIFEST if kind == media.DOCKER_CONFIG else media.OCI_MANIFEST
    raise DeriveError(f"it is no container image (its media type is {found or 'not given'})")


def entrypoint(config: Mapping[str, Any]) -> list[str]:
    """bunny-init before the base's own entrypoint, with the number of its words (docs/shim.md)."""
    own = [str(word) for word in config.get("Entrypoint") or ()]
    return [INIT, f"--entrypoint-args={len(own)}", "--", *own]


def parsed(body: bytes) -> Json:
    """A JSON object. Raises DeriveError where it is something else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise DeriveError("its manifest or configuration is no JSON object")
    return document


def text(document: Json) -> bytes:
    """JSON as this program writes it, the same bytes everywhere: fields in their order, no spaces, ASCII."""
    return json.dumps(document, separators=(",", ":")).encode()


def _check(manifest: Json, config: Json, layer: Layer) -> None:
    if (manifest.get("config") or {}).get("mediaType") not in (media.OCI_CONFIG, media.DOCKER_CONFIG):
        raise DeriveError(f"it is no container image ({(manifest.get('config') or {}).get('mediaType')})")
    diff_ids = (config.get("rootfs") or {}).get("diff_ids")
    layers = manifest.get("layers")
    if not isinstance(diff_ids, list) or not isinstance(layers, list) or len(diff_ids) != len(layers):
        raise DeriveError("its manifest and its configuration do not tell of the same layers")
    words = (config.get("config") or {}).get("Entrypoint") or [""]
    annotated = LAYER_DIGEST in (manifest.get("annotations") or {})
    if words[0] == INIT or layer.diff_id in diff_ids or annotated:
        raise DeriveError(
            "it has the platform layer already. Name the user's own image in from:, not the one bunnies made"
        )
    if runs_on(config) != "/".join(layer.platform.split("/")[:2]):
        raise DeriveError(
            f"the image is for {runs_on(config)}, the manifest says {layer.platform}. Change platforms, or the base"
        )


def _attests(descriptor: Json) -> bool:
    """Whether it is BuildKit's attestation of another manifest: https://docs.docker.com/build/metadata/attestations/"""
    return "vnd.docker.reference.type" in (descriptor.get("annotations") or {})


def _annotations(name: str, digest: str) -> dict[str, str]:
    return {BASE_NAME: name, BASE_DIGEST: digest}


def _descriptor(before: Mapping[str, Any], body: bytes) -> Json:
    """A descriptor that points to other bytes; content that it carried inline would be the old one's."""
    found = {**before, "size": len(body), "digest": _sha256(body)}
    found.pop("data", None)
    return found


def _sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
