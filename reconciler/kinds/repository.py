"""Repositories of Amazon ECR, with their two policies and their tags.

Job: the four functions of a kind. Input: Repository manifests, ECR. Output: Resources; attributes `arn`, `uri`
and `name`. Must not: touch images, nor a repository that does not carry our owner tag, unless it is being adopted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from reconciler import aws, canonical, diff
from reconciler.canonical import ecr
from reconciler.errors import AwsError, BunniesError, ManifestError, Problem
from reconciler.kinds import World, ownership
from reconciler.model import NOTHING, Action, Change, Manifest, Resource, Settings

_PRINCIPAL_DELAYS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between tries while IAM spreads the word of a new role; it takes some ten seconds."""

_LIFECYCLE: Final = (100, 30_720)
"""Characters that the text of a lifecycle policy has, at least and at most."""


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
        if wishes.get("forceDelete"):
            spec["forceDelete"] = True
        if policy := body.get("repositoryPolicy"):
            wishes["repositoryPolicy"] = policy  # sent as it was written; the canonical one is for comparing
    return Resource(manifest.address, spec, owner=settings.name, options=wishes, source=manifest.source)


def _problems(manifest: Manifest, body: Mapping[str, Any], external: bool) -> Iterator[Problem]:
    def problem(field: str, what: str) -> Problem:
        return Problem(manifest.at(field), manifest.address, f"{field}: {what}")

    if external:
        for field in body.keys() - {"registryId"}:
            yield problem(field, "an external repository is not managed. Leave this out, or external: true.")
        return
    if "registryId" in body:
        yield problem("registryId", "only an external repository names another account. Leave it out.")
    for field, read in (
        ("lifecyclePolicy", ecr.lifecycle_policy),
        ("repositoryPolicy", ecr.repository_policy),
    ):
        try:
            policy = read(body.get(field))
        except ValueError as error:
            yield problem(field, f"{error}. Write JSON, or YAML.")
            continue
        length = len(ecr.lifecycle_text(policy)) if field == "lifecyclePolicy" and policy else None
        if length is not None and length > _LIFECYCLE[1]:
            yield problem(
                field, f"it is longer than the {_LIFECYCLE[1]} characters that ECR takes. Shorten it."
            )
        if length is not None and length < _LIFECYCLE[0]:
            yield problem(field, "it is too short to be one. Write rules with a selection and an action.")


def live(world: World, wanted: Sequence[Resource]) -> dict[str, Resource]:
    """The repositories of `wanted` that are there, in full, and those of ours that are not wanted."""
    there = {
        repository["repositoryName"]: repository
        for page in world.aws.pages("ecr", "DescribeRepositories")
        for repository in page["repositories"]
    }
    ours = {arn.partition(":repository/")[2] for arn in ownership.owned(world, "ecr:repository")}
    by_name = {_name(resource.address): resource for resource in wanted}
    elsewhere = {name for name, resource in by_name.items() if resource.options.get("registryId")}
    names = (there.keys() & by_name.keys()) | ours | elsewhere
    asked = [by_name.get(name, Resource(f"repository/{name}", {})) for name in sorted(names)]

    def read(one: Resource) -> Resource | None:
        name, registry = _name(one.address), one.options.get("registryId")
        described = _described(world, name, registryId=registry) if registry else there.get(name)
        return _read(world, one, described)

    found = aws.parallel(read, asked)
    return {resource.address: resource for resource in found if resource is not None}


def apply(world: World, change: Change, sleep: Callable[[float], None] = time.sleep) -> Mapping[str, Any]:
    """Make the repository what `change.after` says, or delete it; every step may have been taken before."""
    if change.action is Action.DELETE:
        _delete(world, _name(change.address))
        return NOTHING
    if change.after is None:
        raise AssertionError(change)
    wanted = change.after
    if change.action is Action.CREATE:
        _create(world, wanted)
    found = _there(world, wanted)
    if change.action is Action.ADOPT:
        _tag(world, found, {ownership.OWNER: world.settings.name})
    elif found.owner != world.settings.name:
        raise BunniesError(
            f"{wanted.address} {_whose(found)}: it is left alone. Write adopt: true to take it over."
        )
    _update(world, wanted, found, sleep)
    found = _there(world, wanted)
    if differing := diff.compare(found.spec, wanted.spec):
        raise BunniesError(
            f"ECR took the change but kept {', '.join(field.path for field in differing)} otherwise. "
            "Run plan to see how it reads it, and write the manifest that way."
        )
    digest = canonical.digest(wanted.spec)
    if found.digest != digest:
        _tag(world, found, {ownership.DIGEST: digest})
    return found.attributes


def _name(address: str) -> str:
    return address.partition("/")[2]


def _whose(found: Resource) -> str:
    return f"is owned by {found.owner}" if found.owner else "has no tag bunnies:owner"


def _there(world: World, wanted: Resource) -> Resource:
    found = _read(world, wanted, _described(world, _name(wanted.address)))
    if found is None:
        raise BunniesError(f"{wanted.address} is gone since the plan was made. Plan again.")
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


def _read(world: World, wanted: Resource, described: Mapping[str, Any] | None) -> Resource | None:
    """What ECR says of one repository, policies and tags too; of an external one, only where it is."""
    if described is None:
        return None
    name, arn = described["repositoryName"], described["repositoryArn"]
    attributes = {"arn": arn, "uri": f"{world.registry()}/{name}", "name": name}
    if wanted.options.get("external"):
        elsewhere = wanted.options.get("registryId") and {"uri": described["repositoryUri"]}
        return Resource(wanted.address, {}, attributes=attributes | (elsewhere or {}))
    tags = ownership.by_key(world.aws.call("ecr", "ListTagsForResource", resourceArn=arn)["tags"])
    body = {
        **described,
        "lifecyclePolicy": _policy(world, "GetLifecyclePolicy", "lifecyclePolicyText", name),
        "repositoryPolicy": _policy(world, "GetRepositoryPolicy", "policyText", name),
        "tags": tags,
    }
    spec = ecr.repository(body, ecr.partition_of(arn), world.settings.ignore_tags)
    if tags.get(ownership.FORCE_DELETE) == "true":
        spec["forceDelete"] = True
    policies = {key: spec[key] for key in ("lifecyclePolicy", "repositoryPolicy") if key in spec}
    spec = canonical.without_strangers(spec, wanted.spec, ecr.KNOWN) | policies
    _pass_over_encryption(spec, wanted.spec)
    return Resource(
        wanted.address,
        spec,
        attributes=attributes,
        owner=tags.get(ownership.OWNER),
        digest=tags.get(ownership.DIGEST),
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


def _policy(world: World, operation: str, field: str, name: str) -> str | None:
    try:
        text: str = world.aws.call("ecr", operation, repositoryName=name)[field]
    except AwsError as error:
        if error.code in ("LifecyclePolicyNotFoundException", "RepositoryPolicyNotFoundException"):
            return None
        raise
    return text


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
        _put_lifecycle(world, name, spec.get("lifecyclePolicy"))
    if "repositoryPolicy" in differing:
        _put_policy(world, name, wanted.options.get("repositoryPolicy"), sleep)
    if differing & {"tags", "forceDelete"}:
        _put_tags(world, wanted, found)


def _put_lifecycle(world: World, name: str, policy: Mapping[str, Any] | None) -> None:
    if policy:
        text = ecr.lifecycle_text(policy)
        world.aws.call("ecr", "PutLifecyclePolicy", repositoryName=name, lifecyclePolicyText=text)
    else:
        _gone(world, "DeleteLifecyclePolicy", repositoryName=name)


def _put_policy(world: World, name: str, policy: Any, sleep: Callable[[float], None]) -> None:
    if not policy:
        _gone(world, "DeleteRepositoryPolicy", repositoryName=name)
        return
    text = policy if isinstance(policy, str) else json.dumps(policy)
    for delay in (*_PRINCIPAL_DELAYS, None):
        try:
            world.aws.call("ecr", "SetRepositoryPolicy", repositoryName=name, policyText=text)
        except AwsError as error:
            new = "Principal not found" in error.message or "Invalid repository policy" in error.message
            if delay is None or not new:
                raise
            world.tell(f"{name}: a principal of the policy is not known yet, trying again")
            sleep(delay)
        else:
            return


def _put_tags(world: World, wanted: Resource, found: Resource) -> None:
    before, after = (_tags(resource.spec) for resource in (found, wanted))
    if changed := {key: value for key, value in after.items() if before.get(key) != value}:
        _tag(world, found, changed)
    if removed := sorted(before.keys() - after.keys()):
        world.aws.call("ecr", "UntagResource", resourceArn=found.attributes["arn"], tagKeys=removed)


def _tags(spec: Mapping[str, Any]) -> dict[str, str]:
    return {**spec.get("tags", {}), **({ownership.FORCE_DELETE: "true"} if spec.get("forceDelete") else {})}


def _tag(world: World, found: Resource, tags: Mapping[str, str]) -> None:
    world.aws.call("ecr", "TagResource", resourceArn=found.attributes["arn"], tags=ownership.listed(tags))


def _delete(world: World, name: str) -> None:
    described = _described(world, name)
    if described is None:
        return
    arn = described["repositoryArn"]
    tags = ownership.by_key(world.aws.call("ecr", "ListTagsForResource", resourceArn=arn)["tags"])
    if tags.get(ownership.OWNER) != world.settings.name:
        raise BunniesError(
            f"repository/{name} no longer carries our tag {ownership.OWNER}: it is left alone."
        )
    force = tags.get(ownership.FORCE_DELETE) == "true"
    try:
        _gone(world, "DeleteRepository", repositoryName=name, force=force)
    except AwsError as error:
        if error.code != "RepositoryNotEmptyException":
            raise
        raise BunniesError(
            f"repository/{name} still holds images and is left alone. Delete them first; or bring its manifest "
            "back with forceDelete: true, apply, and take it away again."
        ) from error


def _gone(world: World, operation: str, **params: Any) -> None:
    """A deletion, of what may be gone already."""
    try:
        world.aws.call("ecr", operation, **params)
    except AwsError as error:
        if not error.code.endswith("NotFoundException"):
            raise
