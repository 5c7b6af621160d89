"""Whose a resource is: the tags that say so, and the index that finds them.

Job: read and name our tags. Input: tags as APIs answer them. Output: plain mappings. Must not: change anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import AwsError

if TYPE_CHECKING:
    from reconciler.kinds import World

OWNER: Final = "bunnies:owner"
DIGEST: Final = "bunnies:digest"
FORCE_DELETE: Final = "bunnies:force-delete"
"""Says that images go with their repository: the wish must outlive the manifest that held it."""

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
        ):
            for resource in page.get("ResourceTagMappingList", ()):
                found[resource["ResourceARN"]] = by_key(resource.get("Tags", ()))
    except AwsError as error:
        world.tell(f"what left the manifests cannot be looked for ({error.code})")
    return found
