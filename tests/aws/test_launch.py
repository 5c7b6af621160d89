from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from moto import mock_aws

from reconciler.model import Status
from tests.aws import cloud
from tests.aws.cloud import BUCKET, JOB_ID, PREFIX, Bench, Faults, a_job


@pytest.fixture
def bench() -> Iterator[Bench]:
    with mock_aws():
        yield Bench()


def test_a_launch_sends_one_task_with_our_token_tags_and_jobspec(bench: Bench) -> None:
    outcomes, _ = bench.step(a_job())
    assert [outcome.status for outcome in outcomes] == [Status.LAUNCHED]
    (attempt,) = bench.attempts()
    assert attempt.claim is not None
    request = attempt.claim["request"]
    token = hashlib.sha256(f"{BUCKET}/{PREFIX}/{JOB_ID}/1".encode()).hexdigest()
    spec = f"s3://{BUCKET}/{PREFIX}/jobs/{JOB_ID}/attempts/1/jobspec.json"
    assert request["clientToken"] == token
    assert request["count"] == 1
    assert request["startedBy"] == "bunnies/reprod"
    assert request["taskDefinition"] == bench.arn
    assert request["overrides"] == {
        "taskRoleArn": "arn:aws:iam::123456789012:role/reprod-task",
        "containerOverrides": [{"name": "aligner", "environment": [{"name": "JOBSPEC", "value": spec}]}],
    }
    assert {tag["key"]: tag["value"] for tag in request["tags"]} == {
        "bunnies:owner": "reprod",
        "bunnies:address": "job/align/s1",
        "bunnies:job": JOB_ID,
        "bunnies:attempt": "1",
        "team": "genomics",
    }
    assert attempt.claim["by"] == "me@here"
    assert attempt.task is not None
    assert attempt.task["task_arn"] == bench.cloud.started[0]


CLEAN = [  # the calls of the first step of one job, in order: the rows of the table of crashes
    "ListObjectsV2",  # attempts
    "PutObject",  # identity
    "ListObjectsV2",  # addresses
    "PutObject",  # address
    "PutObject",  # claim
    "PutObject",  # jobspec
    "RunTask",
    "PutObject",  # task
]


def test_a_launch_writes_in_the_order_that_makes_crashes_harmless(bench: Bench) -> None:
    bench.step(a_job())
    assert bench.cloud.faults.made == CLEAN


@pytest.mark.parametrize("number", range(1, len(CLEAN) + 1))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_call_of_a_launch_leaves_one_attempt_and_one_task(
    bench: Bench, when: str, number: int
) -> None:
    bench.cloud.faults = Faults(**{when: {number: cloud.crash}})
    with pytest.raises(cloud.Crash):
        bench.step(a_job())
    bench.cloud.faults = Faults()
    progress = bench.until_done(a_job())
    assert bench.ends() == ["succeeded"]
    assert len(bench.cloud.started) == 1
    assert [decision.decision for decision in progress.decisions] == ["CACHED"]
