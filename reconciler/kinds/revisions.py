"""The revisions of a task definition's family: which are active, which may go.

Job: list them, and deregister those that are ours and older than a manifest keeps. Input: World, a family. Output:
ARNs. Must not: touch a revision that does not carry our owner tag, or that a running task or a service uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from reconciler import aws
from reconciler.errors import AwsError
from reconciler.kinds import World, ownership
from reconciler.model import Action

_TASKS: Final = 100  # that DescribeTasks takes at once
_SERVICES: Final = 10  # that DescribeServices does


def family(arn: str) -> str:
    """The family in a revision's ARN."""
    return arn.rpartition("/")[2].partition(":")[0]


def number(arn: str) -> int:
    """The revision in its ARN."""
    return int(arn.rpartition(":")[2])


def active(world: World, name: str) -> list[str]:
    """ARNs of the family's active revisions, newest first. The API takes a prefix of families' names."""
    pages = world.aws.pages("ecs", "ListTaskDefinitions", familyPrefix=name, status="ACTIVE", sort="DESC")
    found = [arn for page in pages for arn in page["taskDefinitionArns"] if family(arn) == name]
    return sorted(found, key=number, reverse=True)


def retire(world: World, name: str, keep: int) -> None:
    """Deregister what is ours and older than the newest and `keep` more, unless it is in use anywhere."""
    for arn in _idle(world, name, active(world, name)[1 + keep :]):
        world.aws.call("ecs", "DeregisterTaskDefinition", taskDefinition=arn)


def due(world: World, name: str, keep: int) -> dict[str, str]:
    """What `retire` would do now, and what it would at most do after another revision, in words by action.

    One call where no revision is older than those that are kept; what is in use is asked for only beyond that, so
    that a revision which stays because it is used makes no plan say that it goes.
    """
    found = active(world, name)
    now, later = len(_idle(world, name, found[1 + keep :])), len(found[keep:])
    told = {}
    if now:
        told[Action.UPDATE.value] = f"keeps {_older(keep)}, deregisters {now}"
    if later:
        told[Action.REVISE.value] = f"keeps {_older(keep)}, deregisters at most {later}"
    return told


def _older(keep: int) -> str:
    return f"{keep} older revision{'' if keep == 1 else 's'}"


def _idle(world: World, name: str, older: Sequence[str]) -> list[str]:
    """Those that are ours and used by nothing; none, and that is told, where it cannot be known what is used."""
    if not older:
        return []
    try:
        used = set(_used(world, name))
        return [arn for arn in older if arn not in used and _is_ours(world, arn)]
    except AwsError as error:
        world.tell(f"{name}: older revisions stay, what uses them cannot be read ({error.code})")
        return []


def deregister(world: World, name: str) -> None:
    """Deregister each active revision that carries our tag, asked of the service itself just before.

    Its digest goes first: the tagging index may name an INACTIVE revision, and `--fast` believes digests.
    """
    for arn in active(world, name):
        if _is_ours(world, arn):
            world.aws.call("ecs", "UntagResource", resourceArn=arn, tagKeys=[ownership.DIGEST])
            world.aws.call("ecs", "DeregisterTaskDefinition", taskDefinition=arn)


def _is_ours(world: World, arn: str) -> bool:
    tags = world.aws.call("ecs", "ListTagsForResource", resourceArn=arn).get("tags") or ()
    return ownership.by_key(tags).get(ownership.OWNER) == world.settings.name


def _used(world: World, name: str) -> Iterator[str]:
    """ARNs of the revisions that tasks and services of any cluster of the region use."""
    clusters = [arn for page in world.aws.pages("ecs", "ListClusters") for arn in page["clusterArns"]]
    for found in aws.parallel(lambda cluster: list(_in_cluster(world, cluster, name)), clusters):
        yield from found


def _in_cluster(world: World, cluster: str, name: str) -> Iterator[str]:
    pages = world.aws.pages("ecs", "ListTasks", cluster=cluster, family=name)
    tasks = [arn for page in pages for arn in page["taskArns"]]
    for start in range(0, len(tasks), _TASKS):
        some = tasks[start : start + _TASKS]
        for task in world.aws.call("ecs", "DescribeTasks", cluster=cluster, tasks=some)["tasks"]:
            yield task["taskDefinitionArn"]
    pages = world.aws.pages("ecs", "ListServices", cluster=cluster)
    services = [arn for page in pages for arn in page["serviceArns"]]
    for start in range(0, len(services), _SERVICES):
        some = services[start : start + _SERVICES]
        for service in world.aws.call("ecs", "DescribeServices", cluster=cluster, services=some)["services"]:
            parts = [service, *service.get("deployments", ()), *service.get("taskSets", ())]
            yield from (part["taskDefinition"] for part in parts if "taskDefinition" in part)
