"""Why an image is to be made: what moved since the last one, and how much will travel.

Job: compare a wanted image with the newest that its repository has of the same base. Input: a Resource that is not
there, ECR, registries. Output: one line. Must not: be asked of images that are there: it makes calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler import derive, errors, media
from reconciler.kinds import World, bases
from reconciler.model import Resource
from reconciler.registry import transfer

NEWEST: Final = 100  # images of a repository that are looked at; BatchGetImage takes no more
_MISSING: Final = ("RepositoryNotFoundException", "AccessDeniedException")


@dataclass(frozen=True, slots=True)
class _Earlier:
    """The images of a repository: annotations of the newest first, and every layer that they have."""

    annotations: tuple[Mapping[str, str], ...]
    layers: frozenset[str]


def why(world: World, wanted: Resource) -> str:
    """`base 3@sha256:ab… → sha256:cd… (the tag moved); 14.9 MB to travel`. Raises BunniesError where the base is unfit."""
    earlier = _earlier(world, wanted.spec["repository"])
    return f"{_moved(world, wanted, earlier)}; {_travel(world, wanted, earlier)}"


def _moved(world: World, wanted: Resource, earlier: _Earlier) -> str:
    spec = wanted.spec
    found = bases.reference(spec)
    name = str(found) if found else str(spec.get("from") or wanted.address)
    digest = str(spec["base"].get("index") or spec["base"]["digest"])
    last = next((one for one in earlier.annotations if one.get(derive.BASE_NAME) == name), None)
    if last is None:
        return f"not there, base {_label(spec)}{_short(digest)}"
    parts = []
    if (before := str(last.get(derive.BASE_DIGEST, ""))) != digest:
        if found is None:
            reason = " (built or loaded anew)" if "from" in spec else " (its files or bases changed)"
        else:
            reason = "" if found.digest else " (the tag moved)"
        parts.append(f"base {_label(spec)}{_short(before)} → {_short(digest)}{reason}")
    layer = world.layer(spec["platforms"][0])
    if len(spec["platforms"]) == 1 and last.get(derive.LAYER_DIGEST) not in (None, layer.digest):
        version = str(last.get(derive.LAYER_VERSION, "?"))
        if version == layer.version:
            parts.append(f"shim {version}: {_short(str(last[derive.LAYER_DIGEST]))} → {_short(layer.digest)}")
        else:
            parts.append(f"shim {version} → {layer.version}")
    return ", ".join(parts) or "not there"


def _travel(world: World, wanted: Resource, earlier: _Earlier) -> str:
    """How many bytes go over the network, and how many the registry takes over from another of its repositories."""
    found = bases.reference(wanted.spec)
    layers = [world.layer(platform) for platform in wanted.spec["platforms"]]
    sizes = {one.digest: one.size for one in layers if one.digest not in earlier.layers}
    mounted = 0
    if found is None:
        ours = sum(sizes.values())
        local = bases.engine_size(world, wanted)
        if local is None:
            return f"to be built, and {transfer.size(ours)} to travel besides it"
        return f"at most {transfer.size(local + ours)} to travel"
    digests = wanted.spec["base"].get("platforms") or {
        wanted.spec["platforms"][0]: wanted.spec["base"]["digest"]
    }
    for (platform, digest), layer in zip(digests.items(), layers, strict=True):
        part = bases.remote(world, found, platform, digest)
        try:
            derive.image(part.base, layer)
        except derive.DeriveError as error:
            raise errors.RegistryError(f"{part.base.name}: {error}") from None
        for blob in part.blobs:
            if blob.digest in earlier.layers or blob.digest in sizes:
                continue
            if blob.mounts:
                mounted += blob.size
            else:
                sizes[blob.digest] = blob.size
    text = f"{transfer.size(sum(sizes.values()))} to travel"
    return f"{text}, {transfer.size(mounted)} mounted within the registry" if mounted else text


def _earlier(world: World, repository: str) -> _Earlier:
    """The shimmed images of a repository, newest first; nothing where it is not there or may not be listed."""
    try:
        pages = world.aws.pages(
            "ecr", "DescribeImages", repositoryName=repository, filter={"tagStatus": "TAGGED"}
        )
        images = [
            (detail.get("imagePushedAt"), tag)
            for page in pages
            for detail in page["imageDetails"]
            for tag in detail.get("imageTags") or ()
            if tag.startswith("bunnies-")
        ]
        if not images:
            return _Earlier((), frozenset())
        images.sort(key=lambda one: (one[0] is not None, one[0]), reverse=True)
        answer = world.aws.call(
            "ecr",
            "BatchGetImage",
            repositoryName=repository,
            imageIds=[{"imageTag": tag} for _, tag in images[:NEWEST]],
            acceptedMediaTypes=list(media.MANIFESTS),
        )
    except errors.AwsError as error:
        if error.code in _MISSING:
            return _Earlier((), frozenset())
        raise
    by_tag = {image["imageId"].get("imageTag"): image for image in answer["images"]}
    documents = list(_documents(by_tag[tag] for _, tag in images[:NEWEST] if tag in by_tag))
    layers = frozenset(
        str(layer.get("digest")) for document in documents for layer in document.get("layers") or ()
    )
    return _Earlier(tuple(document.get("annotations") or {} for document in documents), layers)


def _documents(images: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    for image in images:
        try:
            document = json.loads(image.get("imageManifest") or "{}")
        except ValueError:
            continue
        if isinstance(document, dict):
            yield document


def _label(spec: Mapping[str, Any]) -> str:
    """What people call the base, before its digest: `3@`, `docker-daemon:analytics:3@`."""
    found = bases.reference(spec)
    if found is None:
        return f"{spec['from']}@" if "from" in spec else ""
    return f"{found.tag}@" if found.tag and not found.digest else ""


def _short(digest: str) -> str:
    algorithm, _, rest = digest.partition(":")
    return f"{algorithm}:{rest[:12]}" if rest else "unknown"
