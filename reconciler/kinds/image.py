"""Image: the user's image plus the platform layer, in an ECR repository.

Job: know an image by its base's digest and the layer's; build and push it where it is not there. Input: Image
manifests, registries, the engine. Output: Resources whose tag says both digests. Must not: create a repository,
move a tag, pull anything in a plan.

An image has no field that can differ: its tag is made of all that goes into it, so it exists or it does not.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from reconciler import aws, context, errors, layer, registry
from reconciler.engine import Credentials, Engine
from reconciler.kinds import World
from reconciler.model import Change, Manifest, Ref, Resource, Settings

DAEMON = "docker-daemon:"
PLATFORMS = ("linux/amd64",)
BATCH = 100  # BatchGetImage takes no more ids
BASE_LABEL = "bunnies.base.digest"
LAYER_LABEL = "bunnies.layer.digest"
OCI_NAME = "org.opencontainers.image.base.name"
OCI_DIGEST = "org.opencontainers.image.base.digest"


def facts(world: World, manifests: Sequence[Manifest]) -> dict[str, Any]:
    """{address: {"digest", "pins", "layer"}}: the base's digest, what a Dockerfile's bases are pinned to, the layer's digest.

    Raises ManifestError with every base that cannot be resolved, at its line.
    """
    for manifest in manifests:
        _check(manifest)
    wanted = {manifest.address: _asked(manifest) for manifest in manifests}
    first = {wanted[manifest.address]: manifest for manifest in reversed(manifests)}

    def one(manifest: Manifest) -> dict[str, Any] | str:
        try:
            return {**_base(world, manifest), "layer": world.layer(_platform(manifest)).digest}
        except (errors.EngineError, ValueError, OSError) as error:
            return f"{_field(manifest)}: {error}"

    answers = dict(zip(first, aws.parallel(one, first.values()), strict=True))
    found: dict[str, Any] = {}
    problems: list[errors.Problem] = []
    for manifest in manifests:
        answer = answers[wanted[manifest.address]]
        if isinstance(answer, str):
            problems.append(errors.Problem(manifest.at(_field(manifest)), manifest.address, answer))
        else:
            found[manifest.address] = answer
    if problems:
        raise errors.ManifestError(problems)
    return found


def desired(manifest: Manifest, settings: Settings, facts: Mapping[str, Any]) -> Resource:
    """The image as a Resource. Pure."""
    _check(manifest)
    fact = facts[manifest.address]
    field = _field(manifest)
    name = _repository(manifest)
    spec = {
        "repository": name,
        field: manifest.body[field],
        "platforms": [_platform(manifest)],
        "base": {"digest": fact["digest"], **({"pins": fact["pins"]} if fact["pins"] else {})},
        "layer": fact["layer"],
        "tag": f"bunnies-{_short(fact['digest'])}-{_short(fact['layer'])}",
    }
    return Resource(
        manifest.address,
        spec,
        needs=(f"repository/{name}",),
        owner=settings.name,
        source=manifest.source,
    )


def live(world: World, wanted: Sequence[Resource]) -> dict[str, Resource]:
    """Those of `wanted` whose tag is in its repository; one call for each 100 tags of a repository."""
    tags: dict[str, list[str]] = {}
    for resource in wanted:
        tags.setdefault(resource.spec["repository"], []).append(resource.spec["tag"])
    digests = dict(
        zip(tags, aws.parallel(lambda item: _digests(world, *item) or {}, tags.items()), strict=True)
    )
    found: dict[str, Resource] = {}
    for resource in wanted:
        spec = resource.spec
        if digest := digests[spec["repository"]].get(spec["tag"]):
            found[resource.address] = Resource(
                resource.address,
                spec,
                attributes=_attributes(world, spec, digest),
                owner=resource.owner,
            )
    return found


def apply(world: World, change: Change) -> dict[str, Any]:
    """Build what is wanted and push it, unless someone else has by now; its attributes: digest, uri, tag."""
    wanted = change.after
    if wanted is None:
        raise errors.BunniesError(f"{change.address}: bunnies deletes no images; a lifecycle policy does")
    spec = wanted.spec
    name, tag = spec["repository"], spec["tag"]
    there = _digests(world, name, [tag])
    if there is None:
        raise errors.BunniesError(
            f"{change.address}: there is no repository {name}, and none is made that no manifest asks for. "
            f"Write a Repository manifest with name: {name}."
        )
    digest = there.get(tag)
    if digest is None:
        engine = world.engine()
        image = _with_layer(world, engine, wanted, _local_base(world, engine, wanted))
        target = (f"{world.registry()}/{name}", tag)
        try:
            digest = engine.push(image, target, registry.login(world.aws), world.tell)
        except errors.EngineError:
            # Another apply pushed first: an immutable tag refuses ours, and theirs is made of the same things.
            digest = (_digests(world, name, [tag]) or {}).get(tag)
            if digest is None:
                raise
    return _attributes(world, spec, digest)


def _check(manifest: Manifest) -> None:
    body = manifest.body
    wrong: list[tuple[str, str]] = []
    if ("from" in body) == ("build" in body):
        wrong.append(("from", "an image has either from: or build:. Write exactly one of them."))
    elif "build" in body and not isinstance(body["build"], Mapping):
        wrong.append(("build", "build is a mapping. Write build: {context: ., dockerfile: Dockerfile}."))
    if not body.get("repository"):
        wrong.append(("repository", "repository is missing. Write the name of the Repository to push to."))
    if len(body.get("platforms") or PLATFORMS) != 1:
        wrong.append(("platforms", "more than one platform is not supported yet. Write a single one."))
    if wrong:
        raise errors.ManifestError(
            errors.Problem(manifest.at(field), manifest.address, what) for field, what in wrong
        )


def _field(manifest: Manifest) -> str:
    return "from" if "from" in manifest.body else "build"


def _asked(manifest: Manifest) -> tuple[str, str]:
    """What is asked of the outside: the same for two manifests with one base, each build its own."""
    base = manifest.body.get("from")
    return (str(base), _platform(manifest)) if base else (manifest.address, "")


def _platform(manifest: Manifest) -> str:
    return str((manifest.body.get("platforms") or PLATFORMS)[0])


def _repository(manifest: Manifest) -> str:
    name = manifest.body["repository"]
    return name.address.removeprefix("repository/") if isinstance(name, Ref) else str(name)


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _attributes(world: World, spec: Mapping[str, Any], digest: str) -> dict[str, Any]:
    return {
        "digest": digest,
        "uri": f"{world.registry()}/{spec['repository']}@{digest}",
        "tag": spec["tag"],
    }


def _digests(world: World, repository: str, tags: Sequence[str]) -> dict[str, str] | None:
    """{tag: digest} of those that are there; None where the repository is not."""
    found: dict[str, str] = {}
    wanted = sorted(set(tags))
    for start in range(0, len(wanted), BATCH):
        ids = [{"imageTag": tag} for tag in wanted[start : start + BATCH]]
        try:
            answer = world.aws.call(
                "ecr",
                "BatchGetImage",
                repositoryName=repository,
                imageIds=ids,
                acceptedMediaTypes=list(registry.MANIFESTS),
            )
        except errors.AwsError as error:
            if error.code == "RepositoryNotFoundException":
                return None
            raise
        for image in answer["images"]:
            found[image["imageId"]["imageTag"]] = image["imageId"]["imageDigest"]
    return found


def _credentials(world: World, host: str) -> Credentials | None:
    return registry.login(world.aws) if host == world.registry() else None


def _base(world: World, manifest: Manifest) -> dict[str, Any]:
    platform = _platform(manifest)
    if "build" in manifest.body:
        build = manifest.body["build"]
        files = _context(build, manifest.source.file)
        pins = {reference: _pin(world, reference) for reference in context.bases(files)}
        return {"digest": context.digest(files, build.get("target"), pins, platform), "pins": pins}
    text = str(manifest.body["from"])
    engine = world.engine()
    if text.startswith(DAEMON):
        return {"digest": _local(engine, text.removeprefix(DAEMON))["Id"], "pins": {}}
    reference = registry.parse(text)
    credentials = _credentials(world, reference.host)
    return {"digest": registry.digest_of(engine, reference, platform, credentials), "pins": {}}


def _local(engine: Engine, name: str) -> dict[str, Any]:
    if found := engine.inspect(name):
        return found
    raise errors.EngineError(
        f"the Docker engine at {engine.host} has no image {name}. Build, load or pull it there first."
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
    engine = world.engine()
    try:
        reference = registry.parse(text)
        found = engine.descriptor(str(reference), _credentials(world, reference.host))
    except (errors.EngineError, ValueError):
        local = engine.inspect(text)
        if local is None:
            raise
        pulled = local.get("RepoDigests") or ()
        return str(pulled[0] if pulled else local["Id"])
    return f"{reference.repository}@{found.digest}"


def _local_base(world: World, engine: Engine, wanted: Resource) -> dict[str, Any]:
    """The engine's document of the user's image, pulled or built where it is not there yet."""
    spec = wanted.spec
    platform = spec["platforms"][0]
    if "build" in spec:
        return _local(engine, _built(world, engine, wanted))
    text = str(spec["from"])
    if text.startswith(DAEMON):
        return _local(engine, spec["base"]["digest"])
    reference = registry.parse(text)
    name = f"{reference.repository}@{spec['base']['digest']}"
    if engine.inspect(name) is None:
        engine.pull(name, platform, _credentials(world, reference.host), world.tell)
    return _local(engine, name)


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


def _with_layer(world: World, engine: Engine, wanted: Resource, base: Mapping[str, Any]) -> str:
    """The id of the image that is `base` plus the platform layer, and nothing else changed."""
    spec = wanted.spec
    platform = spec["platforms"][0]
    before = base.get("Config") or {}
    if why := layer.refusal(before):
        raise errors.EngineError(f"{wanted.address}: {spec.get('from', 'the image built')}: {why}.")
    runs = f"{base.get('Os', 'linux')}/{base.get('Architecture')}"
    if not platform.startswith(runs):
        raise errors.EngineError(
            f"{wanted.address}: the image is for {runs}, the manifest says {platform}. Change platforms, or the base."
        )
    labels = {BASE_LABEL: spec["base"]["digest"], LAYER_LABEL: spec["layer"]}
    if "from" in spec and not str(spec["from"]).startswith(DAEMON):
        labels |= {OCI_NAME: str(registry.parse(spec["from"])), OCI_DIGEST: spec["base"]["digest"]}
    world.tell(f"adding the platform layer to {spec.get('from', wanted.address)}")
    with _addition(layer.dockerfile(base["Id"], before), world.layer(platform)) as stream:
        image = engine.build(stream, platform, lambda _line: None, options={"labels": labels})
    if wrong := layer.differences(before, _local(engine, image)["Config"], labels):
        raise errors.EngineError(
            f"{wanted.address}: this engine changed {', '.join(wrong)} of the image while it added the layer. "
            "Nothing was pushed. Use another engine."
        )
    return image


def _addition(dockerfile: str, platform_layer: layer.Layer) -> IO[bytes]:
    """The build context that adds the layer: two files, the same bytes each time, so that the engine's cache holds."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in (
            ("Dockerfile", dockerfile.encode()),
            (layer.BLOB, platform_layer.path.read_bytes()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(context.plain(entry, 0o644), io.BytesIO(content))
    stream.seek(0)
    return stream
