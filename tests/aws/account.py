"""An account for the tests of kinds: moto in process, with the defaults that ECS fills in and moto does not.

`Account` is Aws over it, with errors on order; `world` is what kinds see.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import moto

from reconciler import apply, kinds, plan
from reconciler.aws import Aws
from reconciler.errors import AwsError
from reconciler.kinds import World
from reconciler.model import Change, Manifest, Outcome, Resource, Settings, Source

OWNER = "reprod"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
SETTINGS = Settings(OWNER, "us-east-1", "reprod", "reprod-bucket", "bunnies/reprod")


def _not_here(*_: object) -> NoReturn:
    raise AssertionError("no test of a repository or a task definition needs an engine")


def _as_ecs(**kwargs: Any) -> None:
    """What ECS adds to a task definition on the way, whatever was registered."""
    definition = kwargs["parsed"].get("taskDefinition", {})
    definition["requiresAttributes"] = [{"name": "com.amazonaws.ecs.capability.task-eni"}]
    definition.setdefault("placementConstraints", [])
    definition.setdefault("volumes", [])
    for container in definition.get("containerDefinitions", ()):
        for field in ("environment", "mountPoints", "volumesFrom", "portMappings", "systemControls"):
            container.setdefault(field, [])
        container.setdefault("cpu", 0)
        container["environment"].reverse()
        for port in container["portMappings"]:
            port.setdefault("protocol", "tcp")
            port.setdefault(
                "hostPort", port["containerPort"] if definition.get("networkMode") == "awsvpc" else 0
            )
        if "healthCheck" in container:
            container["healthCheck"] = {"interval": 30, "timeout": 5, "retries": 3} | container["healthCheck"]


class Crash(BaseException):
    """The process is gone: nothing of ours may catch it."""


class Account(Aws):
    """Aws over moto; `refused` and `lost` hold, by operation, the errors of its next calls."""

    def __init__(self) -> None:
        super().__init__("us-east-1")
        for operation in ("DescribeTaskDefinition", "RegisterTaskDefinition"):
            self.session.register(f"after-call.ecs.{operation}", _as_ecs)
        self.clear()

    def clear(self) -> None:
        """As new, but for the connections, which take botocore their time."""
        self.calls.clear()
        self.lost: dict[str, list[AwsError]] = {}
        self.refused: dict[str, list[AwsError]] = {}
        self.cut: tuple[str, int] | None = None
        self.made: list[str] = []

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """As Aws, with an error before the call where it is `refused`, and after it where its answer is `lost`.

        `cut` is a moment, `before` or `after` the call of that number among `made`, at which the process dies.
        """
        self.made.append(operation)
        number = len(self.made)
        if self.cut == ("before", number):
            raise Crash
        if refused := self.refused.get(operation):
            raise refused.pop(0)
        try:
            answer = super().call(service, operation, **params)
        finally:
            if self.cut == ("after", number):
                raise Crash
        if lost := self.lost.get(operation):
            raise lost.pop(0)
        return answer

    def pages(self, service: str, operation: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        """As Aws; and the tagging index knows repositories, which moto's does not."""
        if self.refused.get(operation):
            raise self.refused[operation].pop(0)
        yield from super().pages(service, operation, **params)
        if operation == "GetResources" and "ecr:repository" in params["ResourceTypeFilters"]:
            wanted = {(one["Key"], value) for one in params["TagFilters"] for value in one["Values"]}
            for repository in super().call("ecr", "DescribeRepositories")["repositories"]:
                arn = repository["repositoryArn"]
                tags = super().call("ecr", "ListTagsForResource", resourceArn=arn)["tags"]
                if wanted <= {(tag["Key"], tag["Value"]) for tag in tags}:
                    yield {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": tags}]}


@contextlib.contextmanager
def account() -> Iterator[tuple[Account, World]]:
    """A fresh account and the world around it."""
    with moto.mock_aws():
        _ACCOUNT.clear()
        yield _ACCOUNT, world(_ACCOUNT)


_ACCOUNT = Account()


def world(aws: Aws, settings: Settings = SETTINGS) -> World:
    """What kinds see: an account, and nothing else of the outside."""
    return World(settings, aws, _not_here, lambda: REGISTRY, _not_here, lambda _: None, {})


def manifest(kind: str, name: str, /, **body: Any) -> Manifest:
    """A manifest without a file."""
    return Manifest(kind, name, body, Source("manifests/x.yaml", 1, 1))


def planned(world: World, *manifests: Manifest, prune: bool = False) -> tuple[Change, ...]:
    """The changes that these manifests ask for."""
    wanted = [kinds.by_name(m.kind.lower()).desired(m, world.settings, {}) for m in manifests]
    live: dict[str, Resource] = {}
    for name in ("repository", "taskdefinition"):
        live |= kinds.by_name(name).live(world, [one for one in wanted if one.address.startswith(name)])
    return plan.plan(world.settings.name, wanted, live, prune=prune)


def applied(world: World, changes: Sequence[Change]) -> list[Outcome]:
    """What becomes of these changes."""
    return list(apply.resources(world, plan.assemble(world.settings.name, changes, [])))


def converged(world: World, *manifests: Manifest) -> bool:
    """Whether applying these manifests works, and leaves nothing to do."""
    outcomes = applied(world, planned(world, *manifests))
    assert not [one for one in outcomes if one.status in ("failed", "skipped")], outcomes
    return {change.action for change in planned(world, *manifests)} <= {"unchanged"}
