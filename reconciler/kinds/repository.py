"""Repositories of Amazon ECR, with their two policies and their tags.

Job: the four functions of a kind. Input: Repository manifests, ECR. Output: Resources; attributes `arn`, `uri`
and `name`. Must not: touch images, nor a repository that does not carry our owner tag, unless it is being adopted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from reconciler import aws, canonical, diff
from reconciler.canonical import ecr
from reconciler.errors import AwsError, BunniesError, ManifestError, Problem, StalePlanError
from reconciler.kinds import World, ownership, policies
from reconciler.model import NOTHING, Action, Change, Manifest, Resource, Settings
from reconciler.plan import PREVENT

_PAGE: Final = 1000  # repositories that DescribeRepositories gives at once, at most


def facts(world: World, manifests: Sequence[Manifest]) -> Mapping[str, Any]:
    """Nothing: a repository points to nothing outside the manifests."""
    return NOTHING


def desired(manifest: Manifest, settings: Settings, facts: Mapping[str, Any]) -> Resource:
    """The repository as wanted; of an external one only whose it is. Raises ManifestError."""
    body, wishes = ownership.options(manifest.body)
    if problems := list(_problems(manifest, body, bool(wishes.get("external")))):
        raise ManifestError(problems)
    if wishes.get("external"):
        spec = {}
        wishes["registryId"] = body.get("registryId")
    else:
        spec = ecr.repository(body, ecr.partition_in(settings.region), settings.ignore_tags)
        ownership.marked(spec, wishes.get("prevent"))
        if wishes.get("forceDelete"):
            spec["forceDelete"] = True
        if policy := body.get("repositoryPolicy"):
            wishes["repositoryPolicy"] = policy  # sent as it was written; the canonical one is for comparing
    return Resource(
        manifest.address, spec, owner=settings.name, options=wishes, source=manifest.source, raw=body
    )


def _problems(manifest: Manifest, body: Mapping[str, Any], external: bool) -> Iterator[Problem]:
    def problem(field: str, what: str) -> Problem:
        return Problem(manifest.at(field), manifest.address, f"{field}: {what}")

    if external:
        for field in body.keys() - {"registryId"}:
            yield problem(field, "an external repository is not managed. Leave this out, or external: true.")
        return
    if "registryId" in body:
        yield problem("registryId", "only an external repository names another account. Leave it out.")
    for field, what in policies.problems(body):
        yield problem(field, what)


def live(world: World, wanted: Sequence[Resource]) -> dict[str, Resource]:
    """The repositories of `wanted` that are there, in full, and those of ours that are not wanted."""
    there = {
        repository["repositoryName"]: repository
        for page in world.aws.pages("ecr", "DescribeRepositories", PaginationConfig={"PageSize": _PAGE})
        for repository in page["repositories"]
    }
    tagged = {
        arn.partition(":repository/")[2]: tags
        for arn, tags in ownership.owned(world, "ecr:repository").items()
    }
    by_name = {_name(resource.address): resource for resource in wanted}
    elsewhere = {name for name, resource in by_name.items() if resource.options.get("registryId")}
    names = (there.keys() & by_name.keys()) | tagged.keys() | elsewhere
    asked = [by_name.get(name, Resource(f"repository/{name}", {})) for name in sorted(names)]

    def read(one: Resource) -> Resource | None:
        name, registry = _name(one.address), one.options.get("registryId")
        described = _described(world, name, registryId=registry) if registry else there.get(name)
        return _read(world, one, described, tagged.get(name, NOTHING))

    found = aws.parallel(read, asked)
    return {resource.address: resource for resource in found if resource is not None}


def apply(world: World, change: Change, sleep: Callable[[float], None] = time.sleep) -> Mapping[str, Any]:
    """Make the repository what `change.after` says, or delete it; every step may have been taken before."""
    if change.action is Action.DELETE:
        _delete(world, change)
        return NOTHING
    if change.after is None:
        raise AssertionError(change)
    wanted = change.after
    if change.action is Action.CREATE:
        ownership.unmoved(change, _read(world, wanted, _described(world, _name(wanted.address))))
        _create(world, wanted)
    found = _there(world, wanted)
    if change.action is not Action.CREATE:
        ownership.unmoved(change, found)
    if change.action is Action.ADOPT:
        _tag(world, found, {ownership.OWNER: world.settings.name})
    elif found.owner != world.settings.name:
        raise BunniesError(
            f"{wanted.address} {_whose(found)}: it is left alone. Write adopt: true to take it over."
        )
    if found.digest is not None and found.digest != canonical.digest(wanted.spec):
        # while it changes no digest may vouch for it: the next manifest may be the last one again
        arn = found.attributes["arn"]
        world.aws.call("ecr", "UntagResource", resourceArn=arn, tagKeys=[ownership.DIGEST])
    _update(world, wanted, found, sleep)
    found = _there(world, wanted)
    if differing := diff.compare(found.spec, wanted.spec):
        raise BunniesError(
            f"ECR took the change but kept {', '.join(field.path for field in differing)} otherwise. "
            "Run plan to see how it reads it, and write the manifest that way."
        )
    _seal(world, found, wanted)
    return found.attributes


def settle(world: World, change: Change) -> None:
    """Write the digest of a repository that is as wanted, read again just before; otherwise leave it alone."""
    if change.after is None:
        raise AssertionError(change)
    found = _there(world, change.after)
    if found.owner == world.settings.name and not diff.compare(found.spec, change.after.spec):
        _seal(world, found, change.after)


def _seal(world: World, found: Resource, wanted: Resource) -> None:
    digest = canonical.digest(wanted.spec)
    if found.digest != digest:
        _tag(world, found, {ownership.DIGEST: digest})


def _name(address: str) -> str:
    return address.partition("/")[2]


def _whose(found: Resource) -> str:
    return f"is owned by {found.owner}" if found.owner else "has no tag bunnies:owner"


def _there(world: World, wanted: Resource) -> Resource:
    found = _read(world, wanted, _described(world, _name(wanted.address)))
    if found is None:
        raise StalePlanError(f"{wanted.address} is gone since the plan was made. Plan again.")
    return found


def _described(world: World, name: str, **more: str) -> dict[str, Any] | None:
    try:
        answer = world.aws.call("ecr", "DescribeRepositories", repositoryNames=[name], **more)
    except AwsError as error:
        if error.code == "RepositoryNotFoundException":
            return None
        raise
    repository: dict[str, Any] = answer["repositories"][0]
    return repository


def _read(
    world: World,
    wanted: Resource,
    described: Mapping[str, Any] | None,
    tagged: Mapping[str, str] = NOTHING,
) -> Resource | None:
    """What ECR says of one repository, policies and tags too; of an external one, only where it is.

    `tagged` are its tags in the tagging index: believed where they say that nothing changed, and with `fast` the
    policies with them.
    """
    if described is None:
        return None
    name, arn = described["repositoryName"], described["repositoryArn"]
    attributes = {"arn": arn, "uri": f"{world.registry()}/{name}", "name": name}
    if wanted.options.get("external"):
        elsewhere = wanted.options.get("registryId") and {"uri": described["repositoryUri"]}
        return Resource(wanted.address, {}, attributes=attributes | (elsewhere or {}))
    believed = ownership.unchanged(world, wanted, tagged) and _is_forced(tagged) == _is_forced(
        _tags(wanted.spec)
    )
    tags = tagged if believed else _tags_of(world, arn)
    body = {
        **described,
        **(_policies(wanted) if believed and world.fast else policies.read(world, name)),
        "tags": tags,
    }
    spec = ecr.repository(body, ecr.partition_of(arn), world.settings.ignore_tags)
    ownership.marked(spec, tags.get(PREVENT))
    if _is_forced(tags):
        spec["forceDelete"] = True
    whole = {key: spec[key] for key in ("lifecyclePolicy", "repositoryPolicy") if key in spec}
    spec = canonical.without_strangers(spec, wanted.spec, ecr.KNOWN) | whole
    _pass_over_encryption(spec, wanted.spec)
    return Resource(
        wanted.address,
        spec,
        attributes=attributes,
        owner=tags.get(ownership.OWNER),
        digest=tags.get(ownership.DIGEST),
        raw=body,
    )


def _pass_over_encryption(spec: dict[str, Any], wanted: Mapping[str, Any]) -> None:
    """Encryption is compared only where it is wanted, and a key only where it is named as ECR names it.

    ECR answers a key's ARN, whatever it was given; which key an alias means would take a call to KMS. Since a
    repository keeps its key for life, nothing could be done about a difference.
    """
    asked = wanted.get("encryptionConfiguration")
    if asked is None:
        spec.pop("encryptionConfiguration", None)
        return
    key, found = asked.get("kmsKey"), spec.get("encryptionConfiguration", {})
    if key is None:
        found.pop("kmsKey", None)
    elif "alias/" in key or str(found.get("kmsKey", "")).endswith(f":key/{key}"):
        found["kmsKey"] = key


def _create(world: World, wanted: Resource) -> None:
    fields = ("imageTagMutability", "imageScanningConfiguration", "encryptionConfiguration")
    given = {field: wanted.spec[field] for field in fields if field in wanted.spec}
    if filters := wanted.spec.get("imageTagMutabilityExclusionFilters"):
        given["imageTagMutabilityExclusionFilters"] = list(filters.values())
    tags = {**wanted.spec.get("tags", {}), ownership.OWNER: world.settings.name}
    try:
        world.aws.call(
            "ecr",
            "CreateRepository",
            repositoryName=_name(wanted.address),
            tags=ownership.listed(tags),
            **given,
        )
    except AwsError as error:
        if (
            error.code != "RepositoryAlreadyExistsException"
        ):  # ours, of an apply that was cut short; or not ours
            raise


def _update(world: World, wanted: Resource, found: Resource, sleep: Callable[[float], None]) -> None:
    differing = {field.path.split(".")[0].split("[")[0] for field in diff.compare(found.spec, wanted.spec)}
    name, spec = _name(wanted.address), wanted.spec
    if "encryptionConfiguration" in differing:
        raise BunniesError(
            f"{wanted.address}: encryptionConfiguration cannot be changed once a repository is there. Write "
            "it as it is, or create a repository of another name."
        )
    if differing & {"imageTagMutability", "imageTagMutabilityExclusionFilters"}:
        filters = list(spec.get("imageTagMutabilityExclusionFilters", {}).values())
        more = {"imageTagMutabilityExclusionFilters": filters} if filters else {}
        mutability = spec["imageTagMutability"]
        world.aws.call(
            "ecr", "PutImageTagMutability", repositoryName=name, imageTagMutability=mutability, **more
        )
    if "imageScanningConfiguration" in differing:
        scanning = spec["imageScanningConfiguration"]
        world.aws.call(
            "ecr", "PutImageScanningConfiguration", repositoryName=name, imageScanningConfiguration=scanning
        )
    if "lifecyclePolicy" in differing:
        policies.put_lifecycle(world, name, spec.get("lifecyclePolicy"))
    if "repositoryPolicy" in differing:
        policies.put_repository_policy(world, name, wanted.options.get("repositoryPolicy"), sleep)
    if differing & {"tags", "forceDelete"}:
        _put_tags(world, wanted, found)


def _put_tags(world: World, wanted: Resource, found: Resource) -> None:
    before, after = (_tags(resource.spec) for resource in (found, wanted))
    if changed := {key: value for key, value in after.items() if before.get(key) != value}:
        _tag(world, found, changed)
    if removed := sorted(before.keys() - after.keys()):
        world.aws.call("ecr", "UntagResource", resourceArn=found.attributes["arn"], tagKeys=removed)


def _tags(spec: Mapping[str, Any]) -> dict[str, str]:
    return {**spec.get("tags", {}), **({ownership.FORCE_DELETE: "true"} if spec.get("forceDelete") else {})}


def _is_forced(tags: Mapping[str, str]) -> bool:
    return tags.get(ownership.FORCE_DELETE) == "true"


def _tags_of(world: World, arn: str) -> dict[str, str]:
    return ownership.by_key(world.aws.call("ecr", "ListTagsForResource", resourceArn=arn)["tags"])


def _policies(wanted: Resource) -> dict[str, Any]:
    return {field: wanted.spec.get(field) for field in ("lifecyclePolicy", "repositoryPolicy")}


def _tag(world: World, found: Resource, tags: Mapping[str, str]) -> None:
    world.aws.call("ecr", "TagResource", resourceArn=found.attributes["arn"], tags=ownership.listed(tags))


def _delete(world: World, change: Change) -> None:
    name = _name(change.address)
    described = _described(world, name)
    if described is None:
        return
    ownership.unmoved(change, _read(world, Resource(change.address, {}), described))
    arn = described["repositoryArn"]
    tags = _tags_of(world, arn)
    if tags.get(ownership.OWNER) != world.settings.name:
        raise BunniesError(
            f"repository/{name} no longer carries our tag {ownership.OWNER}: it is left alone."
        )
    force = _is_forced(tags)
    try:
        policies.gone(world, "DeleteRepository", repositoryName=name, force=force)
    except AwsError as error:
        if error.code != "RepositoryNotEmptyException":
            raise
        raise BunniesError(
            f"repository/{name} still holds images and is left alone. Delete them first; or bring its manifest "
            "back with forceDelete: true, apply, and take it away again."
        ) from error
