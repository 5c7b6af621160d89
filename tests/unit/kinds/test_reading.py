"""How many calls a plan takes: counted on an account of 1,000 repositories and 1,000 task definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler import aws, canonical, kinds, plan
from reconciler.errors import AwsError
from reconciler.kinds import World
from reconciler.model import Action, Change, Manifest, Resource, Settings, Source

COUNT = 1000
SETTINGS = Settings("reprod", "us-east-1", "reprod", "reprod-bucket", "bunnies/reprod")
ECR = "arn:aws:ecr:us-east-1:123456789012:repository/"
ECS = "arn:aws:ecs:us-east-1:123456789012:task-definition/"
PAGES = {"DescribeRepositories": 1000, "GetResources": 100, "ListTaskDefinitions": 100}  # as AWS documents


class Settled(aws.Aws):
    """An account in which everything is as its manifest wants it; it pages as AWS does, and changes nothing."""

    def __init__(self, wanted: Mapping[str, Resource]) -> None:
        super().__init__("us-east-1", readonly=True)
        self.wanted = wanted
        self.by_hand: dict[str, dict[str, Any]] = {}  # what DescribeRepositories says otherwise

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        self.calls[service, operation] += 1
        if operation in ("GetLifecyclePolicy", "GetRepositoryPolicy"):
            code = f"{operation[3:]}NotFoundException"
            raise AwsError(operation, code, "none", 400)
        if operation == "ListTagsForResource":
            name = params["resourceArn"].removeprefix(ECR)
            return {"tags": [{"Key": k, "Value": v} for k, v in self.tags(f"repository/{name}").items()]}
        family = params["taskDefinition"].partition(":")[0]
        spec = self.wanted[f"taskdefinition/{family}"].spec
        tags = [{"key": k, "value": v} for k, v in self.tags(f"taskdefinition/{family}").items()]
        definition = {**canonical_api(spec), "taskDefinitionArn": f"{ECS}{family}:3", "revision": 3}
        return {"taskDefinition": definition, "tags": tags}

    def pages(self, service: str, operation: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        field, items = self.items(operation, params)
        size = PAGES[operation]
        assert params.get("PaginationConfig", {}).get("PageSize", 100) <= size
        for start in range(0, max(1, len(items)), size):
            self.calls[service, operation] += 1
            more = {"nextToken": "more"} if start + size < len(items) else {}
            yield {field: items[start : start + size], **more}

    def items(self, operation: str, params: Mapping[str, Any]) -> tuple[str, list[Any]]:
        names = {kind: [a for a in self.wanted if a.startswith(kind)] for kind in ("repository", "task")}
        if operation == "DescribeRepositories":
            return "repositories", [self.described(a.partition("/")[2]) for a in names["repository"]]
        if operation == "ListTaskDefinitions":
            return "taskDefinitionArns", [f"{ECS}{a.partition('/')[2]}:3" for a in names["task"]]
        repositories = params["ResourceTypeFilters"] == ["ecr:repository"]
        found = names["repository" if repositories else "task"]
        return "ResourceTagMappingList", [
            {
                "ResourceARN": (ECR if repositories else ECS)
                + a.partition("/")[2]
                + ("" if repositories else ":3"),
                "Tags": [{"Key": k, "Value": v} for k, v in self.tags(a).items()],
            }
            for a in found
        ]

    def described(self, name: str) -> dict[str, Any]:
        return {
            "repositoryName": name,
            "repositoryArn": ECR + name,
            "imageTagMutability": "IMMUTABLE",
            "imageScanningConfiguration": {"scanOnPush": False},
            "encryptionConfiguration": {"encryptionType": "AES256"},
        } | self.by_hand.get(name, {})

    def tags(self, address: str) -> dict[str, str]:
        return {
            "team": "genomics",
            "bunnies:owner": "reprod",
            "bunnies:digest": canonical.digest(self.wanted[address].spec),
        }


def canonical_api(spec: Mapping[str, Any]) -> dict[str, Any]:
    from reconciler.canonical import ecs

    return ecs.to_api(spec)


def manifest(kind: str, name: str, body: dict[str, Any]) -> Manifest:
    return Manifest(kind, name, {"tags": {"team": "genomics"}, **body}, Source("x.yaml", 1, 1))


def task(number: int) -> dict[str, Any]:
    container = {"name": "main", "image": "busybox", "environment": [{"name": "N", "value": str(number)}]}
    return {"cpu": "256", "memory": "512", "containerDefinitions": [container]}


@pytest.fixture(scope="module")
def wanted() -> dict[str, Resource]:
    manifests = [
        manifest("Repository", f"lab/r{n}", {"imageTagMutability": "IMMUTABLE"}) for n in range(COUNT)
    ]
    manifests += [manifest("TaskDefinition", f"task-{n}", task(n)) for n in range(COUNT)]
    return {m.address: kinds.by_name(m.kind.lower()).desired(m, SETTINGS, {}) for m in manifests}


def planned(account: Settled, wanted: Mapping[str, Resource], *, fast: bool) -> tuple[Change, ...]:
    def none(*_: object) -> Any:
        raise AssertionError

    world = World(SETTINGS, account, none, lambda: "registry", none, none, {}, fast=fast)
    live: dict[str, Resource] = {}
    for kind in ("repository", "taskdefinition"):
        live |= kinds.by_name(kind).live(world, [r for a, r in wanted.items() if a.startswith(f"{kind}/")])
    return plan.plan("reprod", list(wanted.values()), live)


def test_fast_takes_no_more_than_25_calls(wanted: dict[str, Resource]) -> None:
    account = Settled(wanted)
    changes = planned(account, wanted, fast=True)
    assert {change.action for change in changes} == {Action.UNCHANGED}
    assert len(changes) == 2 * COUNT
    assert account.calls == {
        ("ecr", "DescribeRepositories"): 1,
        ("resourcegroupstaggingapi", "GetResources"): 20,
    }


def test_otherwise_the_policies_come_on_top_and_a_look_at_what_is_active(wanted: dict[str, Resource]) -> None:
    account = Settled(wanted)
    changes = planned(account, wanted, fast=False)
    assert {change.action for change in changes} == {Action.UNCHANGED}
    assert account.calls == {
        ("ecr", "DescribeRepositories"): 1,
        ("ecr", "GetLifecyclePolicy"): COUNT,
        ("ecr", "GetRepositoryPolicy"): COUNT,
        ("ecs", "ListTaskDefinitions"): 10,
        ("resourcegroupstaggingapi", "GetResources"): 20,
    }


def test_few_families_in_a_large_account_are_asked_for_one_by_one(wanted: dict[str, Resource]) -> None:
    account = Settled(wanted)
    few = {address: wanted[address] for address in ("taskdefinition/task-1", "taskdefinition/task-2")}
    changes = planned(account, few, fast=False)
    assert {change.action for change in changes} == {Action.UNCHANGED}
    assert account.calls["ecs", "ListTaskDefinitions"] == 2


@pytest.mark.parametrize("fast", [True, False])
def test_what_changed_is_read_in_full_and_nothing_else(wanted: dict[str, Resource], fast: bool) -> None:
    account = Settled(wanted)
    account.by_hand["lab/r7"] = {"imageTagMutability": "MUTABLE"}
    more = dict(wanted)
    changed = more["taskdefinition/task-5"]
    more["taskdefinition/task-5"] = replace(changed, spec={**changed.spec, "cpu": "512"})
    changes = planned(account, more, fast=fast)
    assert {c.address: c.action for c in changes if c.action is not Action.UNCHANGED} == {
        "repository/lab/r7": Action.UPDATE,
        "taskdefinition/task-5": Action.REVISE,
    }
    assert account.calls["ecs", "DescribeTaskDefinition"] == 1
