"""The user's image that a shimmed one is made of: which it is now, and its bytes when they are needed.

Job: resolve `from:` and `build:` to digests for a plan; open that very image for an apply. Input: Image manifests,
Resources, registries, the engine. Output: facts, Parts. Must not: write to a registry, or touch an engine for what a
registry has.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from reconciler import archive, context, derive, errors, media, registry
from reconciler.engine import Credentials, Engine
from reconciler.kinds import World
from reconciler.model import Manifest, Resource

DAEMON: Final = "docker-daemon:"
PLATFORMS: Final = ("linux/amd64",)
CONFIG_LIMIT: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """The user's image for one platform, and its layers as blobs that can be pushed."""

    platform: str
    base: derive.Base
    blobs: tuple[registry.Blob, ...]


def field(body: Mapping[str, Any]) -> str:
    """Which of the two an image is made by: "from" or "build"."""
    return "from" if "from" in body else "build"


def platforms(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The platforms that a manifest wants."""
    return tuple(str(one) for one in body.get("platforms") or PLATFORMS)


def reference(body: Mapping[str, Any]) -> registry.Reference | None:
    """The registry reference of `from:`; None where the engine has or builds the image. Raises ValueError."""
    text = str(body.get("from", DAEMON))
    return None if text.startswith(DAEMON) else registry.parse(text)


def combined(digests: Mapping[str, str]) -> str:
    """One digest of several platforms'; that of the one platform where there is just one."""
    if len(digests) == 1:
        return next(iter(digests.values()))
    text = "".join(f"{platform} {digest}\n" for platform, digest in sorted(digests.items()))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def resolve(world: World, manifest: Manifest) -> dict[str, Any]:
    """What the base is now: `digest`; `platforms` {name: digest} and `index` where several are wanted; `pins` of a build.

    Nothing is pulled. Raises BunniesError, or ValueError for what is no reference.
    """
    wanted = platforms(manifest.body)
    if found := reference(manifest.body):
        return _in_registry(world, found, wanted)
    if len(wanted) > 1:
        raise errors.EngineError(
            "an engine has an image for one platform only. Push it to a registry as a multi-platform image and name "
            "that in from:, or write a single platform"
        )
    if "build" in manifest.body:
        build = manifest.body["build"]
        files = _context(build, manifest.source.file)
        pins = {name: _pin(world, name) for name in context.bases(files)}
        return {"digest": context.digest(files, build.get("target"), pins, wanted[0]), "pins": pins}
    engine = world.engine()
    name = str(manifest.body["from"]).removeprefix(DAEMON)
    return {"digest": str(_local(engine, name)["Id"])}


@contextmanager
def opened(world: World, wanted: Resource) -> Iterator[tuple[Part, ...]]:
    """The base's Parts, one for each platform in the order of the manifest. Raises BunniesError."""
    spec = wanted.spec
    found = reference(spec)
    if found is not None:
        if wanted.options.get("builder") == "engine":
            _pulled(world, found, spec)
        digests = spec["base"].get("platforms") or {spec["platforms"][0]: spec["base"]["digest"]}
        yield tuple(remote(world, found, platform, digest) for platform, digest in digests.items())
        return
    engine = world.engine()
    with tempfile.TemporaryDirectory(prefix="bunnies-") as folder:
        name = _built(world, engine, wanted) if "build" in spec else spec["base"]["digest"]
        world.tell(f"reading {spec.get('from', wanted.address)} out of the engine")
        saved = archive.read(engine.save(str(_local(engine, name)["Id"])), Path(folder))
        yield (_from_engine(wanted, saved),)


def remote(world: World, found: registry.Reference, platform: str, digest: str) -> Part:
    """The Part that a registry has under a manifest's digest; its blobs are read when they are pushed."""
    source = world.registries().repository(found.host, found.path)
    document = source.manifest(digest)
    manifest = derive.parsed(document.body)
    derive.manifest_type(manifest, document.media_type)
    config = source.read(str(manifest["config"]["digest"]), CONFIG_LIMIT)
    mounts = (found.path,) if found.host == world.registry() else ()
    blobs = tuple(
        registry.Blob(
            str(layer["digest"]),
            int(layer["size"]),
            partial(source.blob, str(layer["digest"]), int(layer["size"])),
            mounts,
        )
        for layer in manifest["layers"]
        if not layer.get("urls")  # a layer that may not be distributed stays where it is
    )
    base = derive.Base(document.body, document.media_type, config, str(found), digest)
    return Part(platform, base, blobs)


def engine_size(world: World, wanted: Resource) -> int | None:
    """The size, not compressed, of an image that the engine has; None of one that is still to be built."""
    if "build" in wanted.spec:
        return None
    return int(_local(world.engine(), wanted.spec["base"]["digest"]).get("Size") or 0)


def _in_registry(world: World, found: registry.Reference, wanted: Sequence[str]) -> dict[str, Any]:
    source = world.registries().repository(found.host, found.path)
    digest, media_type = source.head(str(found.digest or found.tag))
    if media_type not in media.INDEXES:
        if len(wanted) > 1:
            raise errors.RegistryError(f"{found}: it is for one platform only. Write the one that it is for")
        return {"digest": digest}
    there = derive.platforms(derive.parsed(source.manifest(digest).body))
    for platform in wanted:
        if platform not in there:
            has = ", ".join(there) or "none that can be run"
            raise errors.RegistryError(
                f"{found}: there is no image for {platform} in it, it has {has}. Choose another platform"
            )
    digests = {platform: there[platform] for platform in wanted}
    if len(digests) == 1:
        return {"digest": combined(digests)}
    return {"digest": combined(digests), "platforms": digests, "index": digest}


def _pulled(world: World, found: registry.Reference, spec: Mapping[str, Any]) -> None:
    """With `builder: engine` the engine has the base too, unpacked and found sound by it.

    It keeps no compressed layer and no manifest, so these come from the registry as always: one way to derive.
    """
    engine = world.engine()
    for platform, digest in (
        spec["base"].get("platforms") or {spec["platforms"][0]: spec["base"]["digest"]}
    ).items():
        name = f"{found.repository}@{digest}"
        if engine.inspect(name) is None:
            engine.pull(name, platform, _credentials(world, found.host), world.tell)


def _from_engine(wanted: Resource, saved: archive.Saved) -> Part:
    blobs = tuple(registry.from_file(layer.path, layer.digest, layer.size) for layer in saved.layers)
    name = str(wanted.spec.get("from") or wanted.address)
    base = derive.Base(
        derive.engine_manifest(saved.config, saved.descriptors()),
        media.DOCKER_MANIFEST,
        saved.config,
        name,
        wanted.spec["base"]["digest"],
    )
    return Part(wanted.spec["platforms"][0], base, blobs)


def _credentials(world: World, host: str) -> Credentials | None:
    return world.registries().credentials(host)


def _local(engine: Engine, name: str) -> dict[str, Any]:
    if found := engine.inspect(name):
        return found
    raise errors.EngineError(
        f"the Docker engine at {engine.host} has no image {name}. Build, load or pull it there first"
    )


def _context(build: Mapping[str, Any], manifest_file: str) -> context.Context:
    root = Path(manifest_file).parent / str(build.get("context", "."))
    args = {str(key): str(value) for key, value in (build.get("args") or {}).items()}
    try:
        return context.read(root, str(build.get("dockerfile", "Dockerfile")), args)
    except errors.BunniesError as error:
        raise errors.EngineError(str(error)) from None


def _pin(world: World, text: str) -> str:
    """What a FROM is replaced by: REPOSITORY@DIGEST as its registry says now, else what the engine has under that name."""
    try:
        found = registry.parse(text)
        digest = found.digest or world.registries().repository(found.host, found.path).head(str(found.tag))[0]
    except (errors.RegistryError, ValueError):
        local = world.engine().inspect(text)
        if local is None:
            raise
        pulled = local.get("RepoDigests") or ()
        return str(pulled[0] if pulled else local["Id"])
    return f"{found.repository}@{digest}"


def _built(world: World, engine: Engine, wanted: Resource) -> str:
    build, base = wanted.spec["build"], wanted.spec["base"]
    platform = wanted.spec["platforms"][0]
    pins = base.get("pins", {})
    files = _context(build, wanted.source.file if wanted.source else ".")
    if context.digest(files, build.get("target"), pins, platform) != base["digest"]:
        raise errors.StalePlanError(
            f"{wanted.address}: files in {files.root} changed since the plan. Plan again."
        )
    for pin in pins.values():
        if "@" in pin and engine.inspect(pin) is None:
            engine.pull(pin, platform, _credentials(world, registry.parse(pin).host), world.tell)
    options = {"args": files.args, "target": build.get("target")}
    with context.tar(files, pins) as stream:
        return engine.build(stream, platform, world.tell, dockerfile=files.dockerfile, options=options)
