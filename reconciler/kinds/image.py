"""Image: the user's image plus the platform layer, in an ECR repository.

Job: know an image by its base's digest and the layer's; make it in the registry where it is not there. Input: Image
manifests, registries, the engine. Output: Resources whose tag says both digests. Must not: create a repository,
move a tag, pull anything in a plan.

An image has no field that can differ: its tag is made of all that goes into it, so it exists or it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler import aws, derive, errors, media, registry
from reconciler.kinds import World, bases, whys
from reconciler.model import Change, Manifest, Ref, Resource, Settings
from reconciler.registry import transfer

BATCH = 100  # BatchGetImage takes no more ids


def facts(world: World, manifests: Sequence[Manifest]) -> dict[str, Any]:
    """{address: {"digest", "layer", …}}: the base's digests, what a Dockerfile's bases are pinned to, the layer's digests.

    Raises ManifestError with every base that cannot be resolved, at its line.
    """
    for manifest in manifests:
        _check(manifest)
    wanted = {manifest.address: _asked(manifest) for manifest in manifests}
    first = {wanted[manifest.address]: manifest for manifest in reversed(manifests)}

    def one(manifest: Manifest) -> dict[str, Any] | str:
        try:
            found = bases.resolve(world, manifest)
            layers = {name: world.layer(name).digest for name in bases.platforms(manifest.body)}
        except (errors.EngineError, errors.RegistryError, derive.DeriveError, ValueError, OSError) as error:
            return f"{bases.field(manifest.body)}: {str(error).rstrip('.')}."
        return {**found, "layers": layers}

    answers = dict(zip(first, aws.parallel(one, first.values()), strict=True))
    found: dict[str, Any] = {}
    problems: list[errors.Problem] = []
    for manifest in manifests:
        answer = answers[wanted[manifest.address]]
        if isinstance(answer, str):
            place = manifest.at(bases.field(manifest.body))
            problems.append(errors.Problem(place, manifest.address, answer))
        else:
            found[manifest.address] = answer
    if problems:
        raise errors.ManifestError(problems)
    return found


def desired(manifest: Manifest, settings: Settings, facts: Mapping[str, Any]) -> Resource:
    """The image as a Resource. Pure.

    `base.digest` and `layer` are of the one platform, or one digest over those of several, which stand in
    `base.platforms` and `layers` then.
    """
    _check(manifest)
    fact = facts[manifest.address]
    field = bases.field(manifest.body)
    name = _repository(manifest)
    layer = bases.combined(fact["layers"])
    base = {key: fact[key] for key in ("digest", "platforms", "index", "pins") if fact.get(key)}
    spec = {
        "repository": name,
        field: manifest.body[field],
        "platforms": list(bases.platforms(manifest.body)),
        "base": base,
        "layer": layer,
        **({"layers": fact["layers"]} if len(fact["layers"]) > 1 else {}),
        "tag": f"bunnies-{_short(fact['digest'])}-{_short(layer)}",
    }
    builder = manifest.body.get("builder", "auto")
    return Resource(
        manifest.address,
        spec,
        needs=(f"repository/{name}",),
        owner=settings.name,
        options={} if builder == "auto" else {"builder": builder},
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


def explained(world: World, missing: Sequence[Resource]) -> list[Resource]:
    """What is not there, with the reason in options["why"] and the size that will travel.

    Raises ManifestError with every base that cannot take the layer, before anything is applied.
    """

    def one(resource: Resource) -> Resource | str:
        try:
            return replace(resource, options={**resource.options, "why": whys.why(world, resource)})
        except (errors.EngineError, errors.RegistryError, derive.DeriveError) as error:
            return f"{bases.field(resource.spec)}: {str(error).rstrip('.')}."

    answers = aws.parallel(one, missing)
    problems = [
        errors.Problem(resource.source, resource.address, answer)
        for resource, answer in zip(missing, answers, strict=True)
        if isinstance(answer, str)
    ]
    if problems:
        raise errors.ManifestError(problems)
    return [answer for answer in answers if isinstance(answer, Resource)]


def apply(world: World, change: Change) -> dict[str, Any]:
    """Make what is wanted in its repository, unless someone else has by now; its attributes: digest, uri, tag."""
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
        try:
            digest = _made(world, wanted)
        except errors.RegistryError:
            # Another apply was first: an immutable tag refuses ours, and theirs is made of the same things.
            digest = (_digests(world, name, [tag]) or {}).get(tag)
            if digest is None:
                raise
    return _attributes(world, spec, digest)


def _made(world: World, wanted: Resource) -> str:
    """Push every blob, then what names them, the tag last; the digest that the tag stands for."""
    spec = wanted.spec
    target = world.registries().repository(world.registry(), spec["repository"])
    blobs: list[registry.Blob] = []
    made: dict[str, derive.Derived] = {}
    with bases.opened(world, wanted) as parts:
        for part in parts:
            layer = world.layer(part.platform)
            try:
                derived = derive.image(part.base, layer)
            except derive.DeriveError as error:
                raise errors.BunniesError(f"{wanted.address}: {part.base.name}: {error}.") from None
            made[part.base.digest] = derived
            blobs += [*part.blobs, registry.from_file(layer.path, layer.digest, layer.size)]
            blobs.append(registry.from_bytes(derived.config))
        world.tell(f"pushing to {target.name}")
        transfer.push(target, blobs, world.tell)
    documents = {
        digest: registry.document(derived.manifest, derived.media_type) for digest, derived in made.items()
    }
    if len(documents) == 1:
        last = next(iter(documents.values()))
    else:
        for document in documents.values():
            target.put(document.digest, document)
        last = _index(world, wanted, {digest: document.body for digest, document in documents.items()})
    target.put(spec["tag"], last)
    return last.digest


def _index(world: World, wanted: Resource, made: Mapping[str, bytes]) -> registry.Document:
    found = bases.reference(wanted.spec)
    assert found is not None  # noqa: S101  only a registry has several platforms under one name
    digest = wanted.spec["base"]["index"]
    base = world.registries().repository(found.host, found.path).manifest(digest)
    return registry.document(derive.index(base.body, str(found), digest, made), base.media_type)


def _check(manifest: Manifest) -> None:
    body = manifest.body
    wrong: list[tuple[str, str]] = []
    if ("from" in body) == ("build" in body):
        wrong.append(("from", "an image has either from: or build:. Write exactly one of them."))
    elif "build" in body and not isinstance(body["build"], Mapping):
        wrong.append(("build", "build is a mapping. Write build: {context: ., dockerfile: Dockerfile}."))
    elif body.get("builder") == "registry" and str(body.get("from", bases.DAEMON)).startswith(bases.DAEMON):
        wrong.append(
            (
                "builder",
                "only an engine has or builds this image. Write builder: auto, or a registry's in from:.",
            )
        )
    if not body.get("repository"):
        wrong.append(("repository", "repository is missing. Write the name of the Repository to push to."))
    if wrong:
        raise errors.ManifestError(
            errors.Problem(manifest.at(field), manifest.address, what) for field, what in wrong
        )


def _asked(manifest: Manifest) -> tuple[str, ...]:
    """What is asked of the outside: the same for two manifests with one base, each build its own."""
    base = manifest.body.get("from")
    return (str(base), *bases.platforms(manifest.body)) if base else (manifest.address,)


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
                acceptedMediaTypes=list(media.MANIFESTS),
            )
        except errors.AwsError as error:
            if error.code == "RepositoryNotFoundException":
                return None
            raise
        for image in answer["images"]:
            found[image["imageId"]["imageTag"]] = image["imageId"]["imageDigest"]
    return found
