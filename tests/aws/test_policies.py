"""The printed policies against every call of a whole plan and a whole apply: each is allowed, on what it is about.

The evaluator is IAM's rule for Allow statements, as far as our policies go: action, resource with wildcards, and the
conditions that they use. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from typing import Any

import moto
import pytest

from reconciler import permissions
from reconciler.permissions import table
from tests.aws.strict import Line
from tests.aws.strict.bench import Bench, manifests, unsettled

HERE = "us-east-1:123456789012"


class Watched(Line):
    """A line that keeps what it is asked."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.cloud, "watched")
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        self.asked.append((service, operation, params))
        return super().call(service, operation, **params)

    def pages(self, service: str, operation: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        self.asked.append((service, operation, params))
        yield from super().pages(service, operation, **params)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with moto.mock_aws():
        yield Bench(manifests())


def about(service: str, operation: str, params: Mapping[str, Any]) -> str:
    """The ARN of what a call is about, `*` where it is about nothing in particular."""
    match service:
        case "ecr" if "resourceArn" in params:
            return str(params["resourceArn"])
        case "ecr" if operation != "GetAuthorizationToken":
            name = params.get("repositoryName") or params.get("repositoryNames", ["any"])[0]
            return f"arn:aws:ecr:{HERE}:repository/{name}"
        case "ecs" if operation in ("TagResource", "UntagResource"):
            return str(params["resourceArn"])
        case "ecs" if operation == "RunTask":
            return str(params["taskDefinition"])
        case "ecs" if operation in ("DescribeTasks", "StopTask"):
            return str(params.get("task") or params["tasks"][0])
        case "s3" if operation == "ListObjectsV2":
            return f"arn:aws:s3:::{params['Bucket']}"
        case "s3":
            return f"arn:aws:s3:::{params['Bucket']}/{params['Key']}"
    return "*"


def context(params: Mapping[str, Any]) -> dict[str, str]:
    """The keys that our conditions ask for. That of an existing tag is left out: nothing here may need it."""
    found = {
        f"aws:RequestTag/{tag.get('key', tag.get('Key'))}": tag.get("value", tag.get("Value"))
        for tag in params.get("tags", ())
    }
    if "cluster" in params:
        found["ecs:cluster"] = f"arn:aws:ecs:{HERE}:cluster/{params['cluster']}"
    if "Prefix" in params:
        found["s3:prefix"] = params["Prefix"]
    return found


def holds(condition: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]) -> bool:
    for operator, keys in condition.items():
        for key, wanted in keys.items():
            patterns = [wanted] if isinstance(wanted, str) else wanted
            if key not in given and operator.endswith("IfExists"):
                continue
            if not any(fnmatch.fnmatchcase(given.get(key, ""), pattern) for pattern in patterns):
                return False
    return True


def allowed(policy: Mapping[str, Any], action: str, resource: str, given: Mapping[str, str]) -> bool:
    for statement in policy["Statement"]:
        resources = statement["Resource"]
        patterns = [resources] if isinstance(resources, str) else resources
        if (
            action in statement["Action"]
            and any(fnmatch.fnmatchcase(resource, pattern) for pattern in patterns)
            and holds(statement.get("Condition", {}), given)
        ):
            return True
    return False


def refused(who: str, bench: Bench, line: Watched) -> list[str]:
    """The calls that the policy of `who` would not allow, and the roles that it would not let pass."""
    policy = permissions.policy(who, bench.wanted)
    found = []
    for service, operation, params in line.asked:
        wanted: list[tuple[str, str, dict[str, str]]] = []
        engines = (f"{service}:{operation}",)  # the engine's own calls, as it pushes
        known = (service, operation) in table.OPERATIONS
        if actions := table.actions(service, operation) if known else engines:
            wanted.append((actions[0], about(service, operation, params), context(params)))
        if operation == "CopyObject":
            source = params["CopySource"]
            wanted.append(("s3:GetObject", f"arn:aws:s3:::{source['Bucket']}/{source['Key']}", {}))
        passed = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
        for holder in (params, params.get("overrides", {})):
            for field in ("taskRoleArn", "executionRoleArn"):
                if field in holder:
                    wanted.append(("iam:PassRole", holder[field], passed))
        found += [f"{operation}: {one}" for one in wanted if not allowed(policy, *one)]
    return found


def test_a_whole_apply_makes_only_calls_that_its_policy_allows(bench: Bench) -> None:
    line = Watched(bench)
    bench.apply(line)
    assert unsettled(bench) == []
    assert {"RunTask", "CreateRepository", "RegisterTaskDefinition", "CopyObject"} <= {
        one[1] for one in line.asked
    }
    assert refused("apply", bench, line) == []


def test_a_plan_makes_only_calls_that_its_policy_allows_before_and_after_an_apply(bench: Bench) -> None:
    before, after = Watched(bench), Watched(bench)
    bench.plan(before)
    bench.apply()
    bench.plan(after)
    assert {"HeadObject", "ListObjectsV2", "GetObject"} <= {one[1] for one in (*before.asked, *after.asked)}
    assert refused("plan", bench, before) == refused("plan", bench, after) == []


def test_the_policy_of_plan_would_stop_an_apply(bench: Bench) -> None:
    line = Watched(bench)
    bench.apply(line)
    words = {one.partition(":")[0] for one in refused("plan", bench, line)}
    assert {"CreateRepository", "RegisterTaskDefinition", "RunTask", "PutObject", "CopyObject"} <= words


def test_what_the_shims_read_and_write_is_what_the_task_role_allows(bench: Bench) -> None:
    bench.apply()
    policy = permissions.policy("task", bench.wanted)
    (page,) = Line(bench.cloud, "reader").pages("s3", "ListObjectsV2", Bucket="reprod-bucket")
    keys = [entry["Key"] for entry in page["Contents"]]
    of_shims = ("/started.json", "/result.json")
    written = {key for key in keys if key.endswith(of_shims) or "/outputs/" in key}
    assert len(written) > 2 * 8
    for key in keys:
        arn = f"arn:aws:s3:::reprod-bucket/{key}"
        assert allowed(policy, "s3:PutObject", arn, {}) == (key in written), key
