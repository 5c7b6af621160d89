"""The strict AWS itself: each behaviour that moto and ministack leave out, and the fact that it stands on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import moto
import pytest

from reconciler.errors import AwsError
from tests.aws.strict import Crash, Fault, Line, Point, StrictAws
from tests.aws.strict.buckets import Buckets
from tests.aws.strict.ecs_tasks import Pace
from tests.aws.strict.timeline import START

SPEC = "s3://bucket/jobs/x/attempts/1/jobspec.json"


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


@pytest.fixture
def aws() -> Iterator[Line]:
    with moto.mock_aws():
        yield _account(StrictAws())


def _account(cloud: StrictAws) -> Line:
    line = cloud.line()
    line.call("ecs", "CreateCluster", clusterName="reprod")
    line.call("s3", "CreateBucket", Bucket="bucket")
    line.call("ecs", "RegisterTaskDefinition", **_definition())
    spec = {
        "version": 1,
        "job_id": "a" * 64,
        "attempt": 1,
        "address": "job/align",
        "owner": "reprod",
        "region": "us-east-1",
        "attempt_url": "s3://bucket/jobs/x/attempts/1/",
        "outputs_url": "s3://bucket/outputs/",
        "work_root": "/",
        "command": ["true"],
        "environment": {},
        "inputs": {},
        "outputs": {"bam": {"kind": "file", "path": "x.bam"}},
    }
    cloud.s3.put(SPEC, json.dumps(spec).encode())
    return line


def _definition(**more: Any) -> dict[str, Any]:
    return {
        "family": "align",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "1 vCPU",
        "memory": "2GB",
        "containerDefinitions": [_container()],
        **more,
    }


def _container(**more: Any) -> dict[str, Any]:
    return {"name": "aligner", "image": "align@sha256:" + "0" * 64, **more}


def _request(**more: Any) -> dict[str, Any]:
    return {
        "cluster": "reprod",
        "taskDefinition": "align",
        "launchType": "FARGATE",
        "clientToken": "token-1",
        "startedBy": "bunnies/reprod",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        "overrides": {
            "containerOverrides": [{"name": "aligner", "environment": [{"name": "JOBSPEC", "value": SPEC}]}]
        },
        **more,
    }


def _run(aws: Line, **more: Any) -> str:
    return str(aws.call("ecs", "RunTask", **_request(**more))["tasks"][0]["taskArn"])


def _run_many(aws: Line, count: int) -> None:
    for number in range(count):
        _run(aws, clientToken=f"token-{number}")


def _status(aws: Line, arn: str) -> str:
    answer = aws.call("ecs", "DescribeTasks", cluster="reprod", tasks=[arn])
    return str(answer["tasks"][0]["lastStatus"] if answer["tasks"] else answer["failures"][0]["reason"])


def test_the_same_token_and_parameters_give_the_same_task(aws: Line) -> None:
    assert _run(aws) == _run(aws)
    assert len(aws.cloud.tasks.all) == 1


def test_the_same_token_with_other_parameters_is_a_conflict_that_names_the_task(aws: Line) -> None:
    arn = _run(aws)
    with pytest.raises(AwsError) as refused:
        _run(aws, startedBy="bunnies/other")
    assert refused.value.code == "ConflictException"
    assert refused.value.details["resourceIds"] == [arn]


def test_a_token_lives_as_long_as_its_task_and_an_hour(aws: Line) -> None:
    first = _run(aws)
    aws.cloud.advance(300)
    assert _status(aws, first) == "STOPPED"
    aws.cloud.advance(3000)
    assert _run(aws) == first
    aws.cloud.advance(601)
    assert _run(aws) != first


def test_a_token_lives_a_day_at_most(aws: Line) -> None:
    aws.cloud.shim.seconds = lambda _: 100 * 3600.0
    first = _run(aws)
    aws.cloud.advance(24 * 3600 + 1)
    assert _run(aws) != first


def test_a_task_goes_through_its_states_as_time_passes(aws: Line) -> None:
    arn = _run(aws)
    seen = [_status(aws, arn)]
    for _ in range(100):
        aws.cloud.advance(1)
        if (status := _status(aws, arn)) != seen[-1]:
            seen.append(status)
    assert seen == ["PROVISIONING", "PENDING", "RUNNING", "DEPROVISIONING", "STOPPED"]


def test_a_new_task_is_missing_until_ecs_is_consistent(aws: Line) -> None:
    aws.cloud.tasks.pace = lambda _: Pace(unseen=300)
    arn = _run(aws)
    assert _status(aws, arn) == "MISSING"
    assert aws.call("ecs", "ListTasks", cluster="reprod")["taskArns"] == []
    aws.cloud.advance(300)
    assert _status(aws, arn) != "MISSING"


def test_a_stopped_task_is_forgotten_after_an_hour(aws: Line) -> None:
    arn = _run(aws)
    aws.cloud.advance(120)
    assert aws.call("ecs", "ListTasks", cluster="reprod", desiredStatus="STOPPED")["taskArns"] == [arn]
    aws.cloud.advance(3600)
    assert _status(aws, arn) == "MISSING"
    assert aws.call("ecs", "ListTasks", cluster="reprod", desiredStatus="STOPPED")["taskArns"] == []


def test_a_task_that_never_started_has_no_exit_code(aws: Line) -> None:
    aws.cloud.tasks.doomed = lambda _: "CannotPullContainerError: not found"
    arn = _run(aws)
    aws.cloud.advance(60)
    (task,) = aws.call("ecs", "DescribeTasks", cluster="reprod", tasks=[arn])["tasks"]
    assert task["stopCode"] == "TaskFailedToStart"
    assert "exitCode" not in task["containers"][0]


def test_without_room_the_answer_is_failures_and_no_task(aws: Line) -> None:
    aws.cloud.tasks.full = lambda _: [{"reason": "RESOURCE:CPU", "arn": "x"}]
    assert aws.call("ecs", "RunTask", **_request())["tasks"] == []
    assert not aws.cloud.tasks.all


def test_a_stopped_program_writes_its_result_before_the_task_is_gone(aws: Line) -> None:
    arn = _run(aws)
    aws.cloud.advance(30)
    aws.call("ecs", "StopTask", cluster="reprod", task=arn)
    written = aws.cloud.s3.get(SPEC.replace("jobspec", "result"))
    assert written is not None
    assert json.loads(written.body)["status"] == "interrupted"


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "count": ("InvalidParameterException", {"count": 11}),
    "overrides": (
        "InvalidParameterException",
        {"overrides": {"containerOverrides": [{"name": "aligner", "command": ["x" * 8192]}]}},
    ),
    "container": ("InvalidParameterException", {"overrides": {"containerOverrides": [{"name": "nobody"}]}}),
    "startedBy": ("InvalidParameterException", {"startedBy": "me@here"}),
    "startedBy length": ("InvalidParameterException", {"startedBy": "x" * 129}),
    "token": ("InvalidParameterException", {"clientToken": "x" * 65}),
    "token charset": ("InvalidParameterException", {"clientToken": "a b"}),
    "both": (
        "InvalidParameterException",
        {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT"}]},
    ),
    "size": ("ClientException", {"overrides": {"cpu": "1024", "memory": "512"}}),
    "disk": ("InvalidParameterException", {"overrides": {"ephemeralStorage": {"sizeInGiB": 20}}}),
    "tag": ("InvalidParameterException", {"tags": [{"key": "aws:x", "value": "y"}]}),
    "tag length": ("InvalidParameterException", {"tags": [{"key": "x", "value": "y" * 257}]}),
    "definition": ("ClientException", {"taskDefinition": "nobody"}),
    "cluster": ("ClusterNotFoundException", {"cluster": "nobody"}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_run_task_refuses(aws: Line, what: str) -> None:
    code, more = REFUSED[what]
    with pytest.raises(AwsError) as refused:
        _run(aws, **more)
    assert refused.value.code == code


UNREGISTERED: dict[str, dict[str, Any]] = {
    "no tags": {"tags": []},
    "size": {"cpu": "1024", "memory": "512"},
    "network": {"networkMode": "bridge"},
    "two namesakes": {"containerDefinitions": [_container(), _container()]},
    "none essential": {"containerDefinitions": [_container(essential=False)]},
    "host port": {"containerDefinitions": [_container(portMappings=[{"containerPort": 80, "hostPort": 81}])]},
    "volume": {
        "containerDefinitions": [_container(mountPoints=[{"sourceVolume": "x", "containerPath": "/x"}])]
    },
    "log driver": {"containerDefinitions": [_container(logConfiguration={"logDriver": "json-file"})]},
    "log prefix": {"containerDefinitions": [_container(logConfiguration={"logDriver": "awslogs"})]},
}


@pytest.mark.parametrize("what", UNREGISTERED)
def test_register_task_definition_refuses(aws: Line, what: str) -> None:
    with pytest.raises(AwsError):
        aws.call("ecs", "RegisterTaskDefinition", **_definition(**UNREGISTERED[what]))


def test_started_by_is_the_only_filter_that_it_takes(aws: Line) -> None:
    with pytest.raises(AwsError, match="only filter"):
        aws.call("ecs", "ListTasks", cluster="reprod", startedBy="x", desiredStatus="STOPPED")


def test_list_tasks_gives_a_hundred_a_page(aws: Line) -> None:
    _run_many(aws, 120)
    pages = list(aws.pages("ecs", "ListTasks", cluster="reprod"))
    assert [len(page["taskArns"]) for page in pages] == [100, 20]


def test_a_definition_comes_back_with_defaults_and_without_empties(aws: Line) -> None:
    container = _container(
        environment=[{"name": "A", "value": ""}, {"name": "B"}],
        portMappings=[{"containerPort": 80}],
        healthCheck={"command": ["CMD", "x"]},
        dockerLabels={"empty": ""},
        command=[],
    )
    wanted = _definition(containerDefinitions=[container], enableFaultInjection=True)
    aws.call("ecs", "RegisterTaskDefinition", **wanted)
    found = aws.call("ecs", "DescribeTaskDefinition", taskDefinition="align")["taskDefinition"]
    (echoed,) = found["containerDefinitions"]
    assert (found["cpu"], found["memory"], found["revision"]) == ("1024", "2048", 2)
    assert echoed["environment"] == [{"name": "A", "value": ""}]
    assert echoed["portMappings"] == [{"containerPort": 80, "protocol": "tcp", "hostPort": 80}]
    assert echoed["healthCheck"]["interval"] == 30
    assert echoed["dockerLabels"] == {"empty": ""}
    assert found["enableFaultInjection"] is True
    assert "command" not in echoed


def test_a_lifecycle_policy_comes_back_without_its_white_space(aws: Line) -> None:
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 3}
    policy = {"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]}
    aws.call("ecr", "CreateRepository", repositoryName="align")
    text = json.dumps(policy, indent=4)
    aws.call("ecr", "PutLifecyclePolicy", repositoryName="align", lifecyclePolicyText=text)
    found = aws.call("ecr", "GetLifecyclePolicy", repositoryName="align")["lifecyclePolicyText"]
    assert found == json.dumps(policy, separators=(",", ":"))


def test_an_account_in_a_repository_policy_comes_back_as_its_root(aws: Line) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": "210987654321"}, "Action": "ecr:BatchGetImage"}
    aws.call("ecr", "CreateRepository", repositoryName="align")
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.call("ecr", "SetRepositoryPolicy", repositoryName="align", policyText=text)
    found = json.loads(aws.call("ecr", "GetRepositoryPolicy", repositoryName="align")["policyText"])
    assert found["Statement"][0]["Principal"] == {"AWS": "arn:aws:iam::210987654321:root"}


def test_fargate_launches_a_hundred_at_once_and_then_twenty_a_second() -> None:
    with moto.mock_aws():
        aws = _account(StrictAws(buckets=Buckets()))
        for number in range(100 + 40):
            _run(aws, clientToken=str(number))
            if number == 99:
                assert aws.cloud.timeline.now == START
        # 40 more take two seconds, and botocore its pauses
        assert 2 <= (aws.cloud.timeline.now - START).total_seconds() <= 3


def test_throttling_may_come_in_disguise() -> None:
    with moto.mock_aws():
        aws = _account(StrictAws(buckets=Buckets(disguised=True)))
        with pytest.raises(AwsError, match=r"Rate exceeded \(ErrorCode: Throttling\)") as refused:
            _run_many(aws, 101)
        assert refused.value.code == "InvalidParameterException"


def test_reads_of_tasks_are_throttled_at_a_hundred_and_twenty_a_second() -> None:
    with moto.mock_aws():
        aws = _account(StrictAws(buckets=Buckets()))
        for _ in range(101):
            aws.call("ecs", "ListTasks", cluster="reprod")
        assert aws.cloud.buckets is not None
        assert aws.cloud.buckets.refused == {"ListTasks": 1}


def test_a_conditional_write_is_refused_where_there_is_an_object(aws: Line) -> None:
    wanted = {"Bucket": "bucket", "Key": "a", "IfNoneMatch": "*"}
    aws.call("s3", "PutObject", Body=b"1", **wanted)
    with pytest.raises(AwsError) as refused:
        aws.call("s3", "PutObject", Body=b"2", **wanted)
    assert (refused.value.code, refused.value.status) == ("PreconditionFailed", 412)


def test_a_listing_has_a_thousand_keys_a_page_and_folders(aws: Line) -> None:
    for number in range(1005):
        aws.cloud.s3.put(f"s3://bucket/many/{number:04d}", b"")
    pages = list(aws.pages("s3", "ListObjectsV2", Bucket="bucket", Prefix="many/"))
    assert [len(page["Contents"]) for page in pages] == [1000, 5]
    folded = aws.call("s3", "ListObjectsV2", Bucket="bucket", Delimiter="/")
    assert [one["Prefix"] for one in folded["CommonPrefixes"]] == ["jobs/", "many/"]


POINT = Point("CreateRepository", "align", 1)


@pytest.mark.parametrize(
    ("fault", "code", "done"),
    [
        (Fault.UNSENT, "EndpointConnectionError", False),
        (Fault.LOST, "ConnectionClosedError", True),
        (Fault.THROTTLED, "ThrottlingException", False),
        (Fault.BROKEN_BEFORE, "InternalError", False),
        (Fault.BROKEN_AFTER, "InternalError", True),
    ],
)
def test_a_fault_leaves_the_call_done_or_undone(aws: Line, fault: Fault, code: str, done: bool) -> None:
    aws.points.faults[POINT] = fault
    with pytest.raises(AwsError) as raised:
        aws.call("ecr", "CreateRepository", repositoryName="align")
    assert raised.value.code == code
    assert bool(aws.call("ecr", "DescribeRepositories")["repositories"]) is done


@pytest.mark.parametrize(("fault", "done"), [(Fault.CRASH_BEFORE, False), (Fault.CRASH_AFTER, True)])
def test_a_process_that_crashed_makes_no_further_call(aws: Line, fault: Fault, done: bool) -> None:
    aws.points.faults[POINT] = fault
    with pytest.raises(Crash):
        aws.call("ecr", "CreateRepository", repositoryName="align")
    calls: list[Callable[[], object]] = [
        lambda: aws.call("ecr", "CreateRepository", repositoryName="merge"),
        lambda: aws.sleep(1),
    ]
    for call in calls:
        with pytest.raises(Crash):
            call()
    found = aws.cloud.line().call("ecr", "DescribeRepositories")["repositories"]
    assert [one["repositoryName"] for one in found] == (["align"] if done else [])


def test_every_answer_about_tasks_has_the_shape_that_botocore_knows(aws: Line) -> None:
    arn = _run(aws)
    aws.cloud.advance(120)
    shape = aws.service_model("ecs")["shapes"]
    for tags in ([], ["TAGS"]):
        answer = aws.call("ecs", "DescribeTasks", cluster="reprod", tasks=[arn], include=tags)
        (task,) = answer["tasks"]
        assert task.keys() <= shape["Task"]["members"].keys()
        assert task["containers"][0].keys() <= shape["Container"]["members"].keys()
