"""Whose a resource is: the tags that say so, and the index that finds them.

Job: read and name our tags. Input: tags as APIs answer them. Output: plain mappings. Must not: change anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from reconciler import canonical, diff, seal
from reconciler.errors import AwsError, StalePlanError
from reconciler.plan import PREVENT

if TYPE_CHECKING:
    from reconciler.kinds import World
    from reconciler.model import Change, Resource

OWNER: Final = "bunnies:owner"
DIGEST: Final = "bunnies:digest"
FORCE_DELETE: Final = "bunnies:force-delete"
"""Says that images go with their repository: the wish must outlive the manifest that held it."""

_PAGE: Final = 100  # resources that GetResources gives at once, at most

OPTIONS: Final = ("adopt", "external", "forceDelete", "ignoreChanges", "keepRevisions", "prevent")
"""Fields of a manifest that are about managing a resource, not part of it."""


def by_key(tags: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """`[{key, value}]`, in either case, as a mapping."""
    lowered = ({name.lower(): value for name, value in tag.items()} for tag in tags)
    return {str(tag["key"]): str(tag.get("value", "")) for tag in lowered if "key" in tag}


def listed(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags as an API takes them: ECR says `Key` and `Value`, ECS `key` and `value`."""
    return [{key: name, value: content} for name, content in tags.items()]


def options(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A manifest's body in two: what the resource is, and the wishes about managing it."""
    wishes = {name: body[name] for name in OPTIONS if name in body}
    return {name: value for name, value in body.items() if name not in wishes}, wishes


def marked(spec: dict[str, Any], prevent: str | None) -> dict[str, Any]:
    """`spec` with the tag that says `prevent` among its tags: it must outlive the manifest that held the wish."""
    if prevent:
        spec["tags"] = canonical.Keyed({**spec.get("tags", {}), PREVENT: prevent})
    return spec


def unmoved(change: Change, found: Resource | None) -> None:
    """Raise StalePlanError where what is there, read just before it is changed, is not what the plan has seen.

    That it is as wanted already, or gone where it was to go, is no reason to stop.
    """
    before, after = change.before, change.after
    if seal.fingerprint(found) == seal.fingerprint(before) or (found is None and after is None):
        return
    if found and after and found.owner == after.owner and not diff.compare(found.spec, after.spec):
        return
    raise StalePlanError(
        f"it changed since the plan was made: {_moved(before, found)}. Left alone: plan again."
    )


def _moved(before: Resource | None, found: Resource | None) -> str:
    """What is otherwise than the plan has seen it."""
    if found is None:
        return "it is gone"
    whose = f"is owned by {found.owner}" if found.owner else f"has no tag {OWNER}"
    if before is None:
        return f"it is there by now and {whose}"
    fields = diff.compare(before.spec, found.spec)
    words = [f"{one.path} {_short(one.before)} → {_short(one.after)}" for one in fields[:3]]
    words += [f"{len(fields) - 3} more"] if len(fields) > 3 else []
    return "; ".join([f"it {whose}", *words] if before.owner != found.owner else words)


def _short(value: Any) -> str:
    text = "(none)" if value is None else canonical.text(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def unchanged(world: World, wanted: Resource, tags: Mapping[str, str]) -> bool:
    """Whether these tags say that a resource is ours and as wanted: our owner, the digest, and the tags themselves.

    They may come from the tagging index, which lags: an old entry has another digest, and is not believed.
    """
    spec = marked({"tags": canonical.tags(tags, world.settings.ignore_tags)}, tags.get(PREVENT))
    return (
        tags.get(OWNER) == world.settings.name
        and spec["tags"] == wanted.spec.get("tags", {})
        and tags.get(DIGEST) == canonical.digest(wanted.spec)
    )


def owned(world: World, resource_type: str) -> dict[str, dict[str, str]]:
    """ARN → tags of everything that carries our owner tag, as the tagging index has it.

    `resource_type` as that API names it: `ecr:repository`. The index may lag, and may be out of reach for a role
    that can do all else: then nothing is found, and only what manifests name is seen.
    """
    filters = [{"Key": OWNER, "Values": [world.settings.name]}]
    found: dict[str, dict[str, str]] = {}
    try:
        for page in world.aws.pages(
            "resourcegroupstaggingapi",
            "GetResources",
            TagFilters=filters,
            ResourceTypeFilters=[resource_type],
            PaginationConfig={"PageSize": _PAGE},
        ):
            for resource in page.get("ResourceTagMappingList", ()):
                found[resource["ResourceARN"]] = by_key(resource.get("Tags", ()))
    except AwsError as error:
        world.tell(f"what left the manifests cannot be looked for ({error.code})")
    return found
