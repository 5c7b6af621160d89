"""Task definitions of Amazon ECS: a family is the resource, its newest active revision what is there of it.

Job: the four functions of a kind. Input: TaskDefinition manifests, ECS. Output: Resources; attributes `arn` (with
the revision), `revision` and `family`. Must not: run a task, nor touch a revision that does not carry our owner
tag, unless its family is being adopted.

A revision is immutable but for its tags, so another spec is another revision; INACTIVE means absent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reconciler import aws, canonical, diff
from reconciler.canonical import ecs
from reconciler.errors import AwsError, BunniesError
from reconciler.kinds import World, ownership, revisions
from reconciler.model import NOTHING, Action, Change, FieldDiff, Manifest, Ref, Resource, Settings
from reconciler.plan import PREVENT

_REGISTER_DELAYS: Final = (1.0, 2.0, 4.0)
"""Seconds between tries where another registration of the family is under way."""


def facts(world: World, manifests: Sequence[Manifest]) -> Mapping[str, Any]:
    """Nothing: what a task definition points to is managed, or named in full."""
    return NOTHING


def desired(manifest: Manifest, settings: Settings, facts: Mapping[str, Any]) -> Resource:
    """The family as wanted, with the roles of Settings where the manifest has none; needs what its Refs name."""
    body, wishes = ownership.options(manifest.body)
    spec = ecs.canonical({**with_roles(body, settings), "family": manifest.name}, settings.ignore_tags)
    ownership.marked(spec, wishes.get("prevent"))
    return Resource(
        manifest.address,
        spec,
        needs=tuple(sorted({ref.address for ref in _refs(spec)})),
        owner=settings.name,
        options=wishes,
        source=manifest.source,
        raw={**with_roles(body, settings), "family": manifest.name},
    )


def with_roles(body: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The body with the roles of Settings where it has none."""
    return {
        "executionRoleArn": settings.execution_role_arn,
        "taskRoleArn": settings.task_role_arn,
        **body,
    }


def live(world: World, wanted: Sequence[Resource]) -> dict[str, Resource]:
    """The newest active revision of each wanted family, and of each family of ours that is not wanted.

    A revision is immutable, so one that is ACTIVE and carries the wanted digest is believed, and not described.
    """
    tagged = ownership.owned(world, "ecs:task-definition")
    newest = _by_family(tagged) if world.fast else _active(world, len(wanted))
    by_address = {resource.address: resource for resource in wanted}
    left = {
        f"taskdefinition/{revisions.family(arn)}"
        for arn in tagged
        if newest is None or revisions.family(arn) in newest
    }
    asked = [*wanted, *(Resource(address, {}) for address in sorted(left - by_address.keys()))]

    def read(one: Resource) -> Resource | None:
        arn = (newest or {}).get(one.address.partition("/")[2], "")
        if one.address in by_address and ownership.unchanged(world, one, tagged.get(arn, NOTHING)):
            return _due(world, one, _believed(world, one, arn, tagged[arn]))
        return _due(world, one, _newest(world, one))

    found = aws.parallel(read, asked)
    return {resource.address: resource for resource in found if resource is not None}


def _due(world: World, wanted: Resource, found: Resource | None) -> Resource | None:
    """`found`, with how many older revisions go, where the manifest says how many stay."""
    if found is None or found.owner != world.settings.name or "keepRevisions" not in wanted.options:
        return found
    words = revisions.due(world, found.attributes["family"], wanted.options["keepRevisions"])
    return replace(found, options={"due": words}) if words else found


def _active(world: World, families: int) -> dict[str, str] | None:
    """Family → ARN of its newest ACTIVE revision; None where to list them all takes more calls than to ask for each."""
    arns: list[str] = []
    for number, page in enumerate(world.aws.pages("ecs", "ListTaskDefinitions", status="ACTIVE"), 1):
        arns += page["taskDefinitionArns"]
        if number >= families and page.get("nextToken"):
            return None
    return _by_family(arns)


def _by_family(arns: Iterable[str]) -> dict[str, str]:
    return {revisions.family(arn): arn for arn in sorted(arns, key=revisions.number)}


def _believed(world: World, wanted: Resource, arn: str, tags: Mapping[str, str]) -> Resource:
    """The revision of that ARN, of which the digest says that it is as wanted."""
    attributes = {"arn": arn, "revision": revisions.number(arn), "family": revisions.family(arn)}
    owner, digest = tags[ownership.OWNER], tags[ownership.DIGEST]
    return Resource(wanted.address, wanted.spec, attributes=attributes, owner=owner, digest=digest)


def apply(world: World, change: Change, sleep: Callable[[float], None] = time.sleep) -> Mapping[str, Any]:
    """Make the family's newest revision what `change.after` says, or deregister all of ours."""
    if change.action is Action.DELETE:
        ownership.unmoved(change, _newest(world, Resource(change.address, {})))
        revisions.deregister(world, change.address.partition("/")[2])
        return NOTHING
    wanted = change.after
    if wanted is None:
        raise AssertionError(change)
    found = _newest(world, wanted)
    ownership.unmoved(change, found)
    if found is not None and found.owner != world.settings.name and change.action is not Action.ADOPT:
        theirs = f"is owned by {found.owner}" if found.owner else "has no tag bunnies:owner"
        raise BunniesError(f"{wanted.address} {theirs}: it is left alone. Write adopt: true to take it over.")
    if found is None or _content(found, wanted):
        found = _register(world, wanted, sleep)
        if differing := _content(found, wanted):
            raise BunniesError(
                f"ECS registered revision {found.attributes['revision']} but kept "
                f"{', '.join(field.path for field in differing)} otherwise. Run plan to see how it reads it, "
                "and write the manifest that way."
            )
    _retag(world, found, wanted)
    if "keepRevisions" in wanted.options:
        revisions.retire(world, found.attributes["family"], wanted.options["keepRevisions"])
    return found.attributes


def settle(world: World, change: Change) -> None:
    """Write the digest of a family that is as wanted, read again just before; otherwise leave it alone."""
    if change.after is None:
        raise AssertionError(change)
    found = _newest(world, change.after)
    ours = found is not None and found.owner == world.settings.name
    if found is not None and ours and not diff.compare(found.spec, change.after.spec):
        _retag(world, found, change.after)


def _refs(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _refs(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _refs(item)


def _content(found: Resource, wanted: Resource) -> tuple[FieldDiff, ...]:
    """What differs but tags: what takes another revision."""
    bare = [{key: value for key, value in one.spec.items() if key != "tags"} for one in (found, wanted)]
    return diff.compare(*bare)


def _newest(world: World, wanted: Resource) -> Resource | None:
    """The newest active revision of a wanted family; None where there is none."""
    family = wanted.address.partition("/")[2]
    answer = _describe(world, family)
    if answer and answer["taskDefinition"].get("status", "ACTIVE") != "ACTIVE":
        # asked for a family AWS answers its newest ACTIVE revision; others may answer the newest of all
        active = revisions.active(world, family)
        answer = _describe(world, active[0]) if active else None
    return _resource(world, wanted, answer) if answer else None


def _describe(world: World, reference: str) -> dict[str, Any] | None:
    try:
        return world.aws.call("ecs", "DescribeTaskDefinition", taskDefinition=reference, include=["TAGS"])
    except AwsError as error:
        # one class for everything that a client did wrong: only the message tells
        absent = re.search(
            r"unable to describe|not (?:be )?found|does not exist", error.message, re.IGNORECASE
        )
        if error.code == "ClientException" and absent:
            return None
        raise


def _resource(world: World, wanted: Resource, answer: Mapping[str, Any]) -> Resource:
    definition, tags = answer["taskDefinition"], ownership.by_key(answer.get("tags") or ())
    spec = ecs.canonical({**definition, "tags": tags}, world.settings.ignore_tags)
    ownership.marked(spec, tags.get(PREVENT))
    return Resource(
        wanted.address,
        canonical.without_strangers(spec, wanted.spec, ecs.KNOWN),
        attributes={
            "arn": definition["taskDefinitionArn"],
            "revision": definition["revision"],
            "family": definition["family"],
        },
        owner=tags.get(ownership.OWNER),
        digest=tags.get(ownership.DIGEST),
        raw={**definition, "tags": tags},
    )


def _register(world: World, wanted: Resource, sleep: Callable[[float], None]) -> Resource:
    """A new revision; or, after an error, the one that its lost answer or another apply had made."""
    params = ecs.to_api(wanted.spec)
    tags = {**wanted.spec.get("tags", {}), ownership.OWNER: world.settings.name}
    params["tags"] = ownership.listed(tags, "key", "value")
    for delay in (*_REGISTER_DELAYS, None):
        try:
            answer = world.aws.call("ecs", "RegisterTaskDefinition", **params)
            arn = answer["taskDefinition"]["taskDefinitionArn"]
            return _resource(world, wanted, _describe(world, arn) or answer)
        except AwsError as error:
            found = _newest(world, wanted)
            if found and found.owner == world.settings.name and not _content(found, wanted):
                return found
            if delay is None or "Too many concurrent attempts" not in error.message:
                raise
            sleep(delay)
    raise AssertionError("the last try returns or raises")


def _retag(world: World, found: Resource, wanted: Resource) -> None:
    """User tags as wanted, our owner tag, and the digest, which says that all before it is done."""
    arn = found.attributes["arn"]
    before, after = found.spec.get("tags", {}), wanted.spec.get("tags", {})
    digest = canonical.digest(wanted.spec)
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    if found.owner != world.settings.name:
        changed |= {ownership.OWNER: world.settings.name}
    removed = sorted(before.keys() - after.keys())
    if removed:
        # the digest goes with them, for between the two calls not all is done
        keys = removed if found.digest is None else [*removed, ownership.DIGEST]
        world.aws.call("ecs", "UntagResource", resourceArn=arn, tagKeys=keys)
    if removed or found.digest != digest:
        changed |= {ownership.DIGEST: digest}
    if changed:
        tags = ownership.listed(changed, "key", "value")
        world.aws.call("ecs", "TagResource", resourceArn=arn, tags=tags)
