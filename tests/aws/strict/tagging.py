"""The Resource Groups Tagging API, over moto's ECR and ECS, which moto's own index leaves out.

Job: GetResources, 100 a page. Input: its parameters. Output: ARNs with their tags. Must not: know whose a tag is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.aws.strict.ecr import ACCOUNT


def resources(params: Mapping[str, Any]) -> dict[str, Any]:
    """A page of what carries all the tags that are asked for."""
    wanted = {one["Key"]: set(one.get("Values") or ()) for one in params.get("TagFilters", ())}
    kinds = params.get("ResourceTypeFilters") or ("ecr:repository", "ecs:task-definition")
    found = [
        {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        for kind in kinds
        for arn, tags in tagged(kind)
        if all(key in tags and (not values or tags[key] in values) for key, values in wanted.items())
    ]
    first = int(params.get("PaginationToken") or 0)
    more = str(first + 100) if first + 100 < len(found) else ""
    return {"ResourceTagMappingList": found[first : first + 100], "PaginationToken": more}


def tagged(kind: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every resource of a kind, as `ecr:repository`, with its tags; of task definitions the active revisions."""
    from moto.backends import get_backend

    service, _, resource = kind.partition(":")
    backend = get_backend(service)[ACCOUNT]["us-east-1"]  # type: ignore[call-overload]  # ecr or ecs
    if resource == "repository":
        for repository in backend.repositories.values():
            yield repository.arn, _plain(backend.tagger.list_tags_for_resource(repository.arn)["tags"])
    if resource == "task-definition":
        for revisions in backend.task_definitions.values():
            for one in revisions.values():
                if one.status == "ACTIVE":
                    yield one.arn, _plain(one.tags or ())


def _plain(tags: Any) -> dict[str, str]:
    pairs = [{name.lower(): value for name, value in tag.items()} for tag in tags]
    return {tag["key"]: tag["value"] for tag in pairs}
