from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from moto import mock_aws

from reconciler import attempts, control, decide, launch
from reconciler.errors import AwsError, BunniesError
from reconciler.model import Status
from tests.aws import cloud
from tests.aws.cloud import BUCKET, JOB_ID, PREFIX, Bench, Fault, Faults, a_job


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
    "ListTasks",  # strays
    "ListObjectsV2",  # what addresses mean
    "PutObject",  # identity
    "ListObjectsV2",  # the address
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
    bench.cloud.faults = Faults.at(when, number, cloud.crash)
    with pytest.raises(cloud.Crash):
        bench.step(a_job())
    bench.cloud.faults = Faults()
    progress = bench.until_done(a_job())
    assert bench.ends() == ["succeeded"]
    assert len(bench.cloud.started) == 1
    assert [decision.decision for decision in progress.decisions] == ["CACHED"]


@pytest.mark.parametrize("number", [n for n, call in enumerate(CLEAN, 1) if not call.startswith("List")])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", [cloud.timeout, cloud.broken])
def test_a_lost_answer_or_a_failure_of_the_service_at_any_call_is_survived_in_the_same_step(
    bench: Bench, fault: Fault, when: str, number: int
) -> None:
    bench.cloud.faults = Faults.at(when, number, fault)
    outcomes, _ = bench.step(a_job())
    assert [outcome.status for outcome in outcomes] == [Status.LAUNCHED]
    assert len(bench.cloud.started) == 1
    assert bench.until_done(a_job()).failed == ()
    assert bench.ends() == ["succeeded"]


THROTTLED = AwsError("RunTask", "ThrottlingException", "Rate exceeded", 400)
DISGUISED = AwsError("RunTask", "InvalidParameterException", "Rate exceeded (ErrorCode: Throttling)", 400)
DENIED = AwsError("RunTask", "AccessDeniedException", "no", 400)
FULL = AwsError(
    "RunTask", "ClientException", "Capacity is unavailable at this time. Please try again later", 400
)
NO_ROOM = {"tasks": [], "failures": [{"reason": "RESOURCE:CPU", "arn": "i"}]}
INACTIVE = {"tasks": [], "failures": [{"reason": "INACTIVE"}]}


@pytest.mark.parametrize("answer", [THROTTLED, DISGUISED, {"tasks": [], "failures": []}])
def test_ecs_asking_for_patience_is_asked_again(bench: Bench, answer: AwsError) -> None:
    bench.cloud.answers = [answer, answer]
    outcomes, _ = bench.step(a_job())
    assert [outcome.status for outcome in outcomes] == [Status.LAUNCHED]
    assert bench.cloud.faults.made.count("RunTask") == 3


@pytest.mark.parametrize("answer", [FULL, NO_ROOM])
def test_without_room_the_attempt_stays_claimed_and_the_next_step_sends_it_again(
    bench: Bench, answer: AwsError
) -> None:
    bench.cloud.answers = [answer]
    outcomes, progress = bench.step(a_job())
    assert [outcome.status for outcome in outcomes] == [Status.SKIPPED]
    assert progress.active
    assert bench.ends() == [None]
    bench.time.pass_(seconds=5)
    outcomes, _ = bench.step(a_job())
    assert [outcome.status for outcome in outcomes] == [Status.LAUNCHED]
    assert len(bench.attempts()) == 1


def test_requests_without_room_keep_their_distance_and_end_with_the_deadline(bench: Bench) -> None:
    bench.cloud.answers = [NO_ROOM] * 999
    job = a_job(deadline=7200)
    asked = []
    for _ in range(800):
        _, progress = bench.step(job)
        asked.append(bench.cloud.faults.made.count("RunTask"))
        if not progress.active:
            break
        bench.time.pass_(seconds=10)
    assert [decision.decision for decision in progress.decisions] == ["FAILED"]
    assert "deadline of 7200 s is over" in progress.decisions[0].why
    assert 60 < asked[-1] < 240  # a minute between two, more or less, not ten seconds
    assert bench.ends() == ["lost", "lost", "lost"][: len(bench.ends())]


def test_a_task_that_waits_too_long_is_stopped_and_its_job_is_final(bench: Bench) -> None:
    job = a_job(queueTimeout=600)
    bench.step(job)
    bench.time.pass_(seconds=601)
    outcomes, progress = bench.step(job)
    assert [decision.decision for decision in progress.decisions] == ["FAILED"]
    assert "queueTimeout of 600 s" in outcomes[0].detail
    assert bench.cloud.started == list(bench.cloud.stopped)
    assert bench.fence(bench.cloud.started[0]) is False


def test_a_task_that_started_in_time_is_not_held_to_the_queue_timeout(bench: Bench) -> None:
    job = a_job(queueTimeout=600)
    bench.step(job)
    bench.fence(bench.cloud.started[0])
    bench.time.pass_(seconds=601)
    bench.step(job)
    assert bench.ends() == [None]
    assert bench.cloud.stopped == {}


def test_a_job_over_its_deadline_is_stopped(bench: Bench) -> None:
    job = a_job(deadline=3600)
    bench.step(job)
    bench.fence(bench.cloud.started[0])
    bench.time.pass_(seconds=3601)
    _, progress = bench.step(job)
    assert bench.ends() == ["stopped"]
    assert bench.cloud.started == list(bench.cloud.stopped)
    assert [decision.decision for decision in progress.decisions] == ["FAILED"]
    _, progress = bench.step(a_job(deadline=7200))
    assert bench.ends() == ["stopped", None]


def test_want_of_memory_gets_a_bigger_task(bench: Bench) -> None:
    size = {"cpu": 256, "memory": 512, "limit": 512, "fargate": True}
    job = a_job(size=size, retry={"maxMemory": 2048})
    bench.step(job)
    bench.cloud.stop(
        bench.cloud.started[0], bench.time.clock(), stoppedReason="OutOfMemoryError: container killed"
    )
    bench.step(job)
    (_, second) = bench.attempts()
    assert second.claim is not None
    overrides = second.claim["request"]["overrides"]
    assert (overrides["cpu"], overrides["memory"]) == ("256", "1024")
    assert overrides["containerOverrides"][0]["memory"] == 1024
    assert second.claim["jobspec"]["task"] == {"threads": 1, "memory_mb": 1024}


def test_after_three_interruptions_of_spot_the_task_runs_on_demand(bench: Bench) -> None:
    strategy = [
        {"capacityProvider": "FARGATE_SPOT", "weight": 1},
        {"capacityProvider": "FARGATE", "weight": 0},
    ]
    job = a_job(launchType=None, capacityProviderStrategy=strategy)
    bench.step(job)
    for _ in range(3):
        said = {"stopCode": "SpotInterruption", "stoppedReason": "Your Spot Task was interrupted."}
        bench.cloud.stop(bench.cloud.started[-1], bench.time.clock(), **said)
        bench.step(job)
    requests = [one.claim["request"]["capacityProviderStrategy"] for one in bench.attempts() if one.claim]
    assert requests == [strategy] * 3 + [[{"capacityProvider": "FARGATE", "weight": 1}]]


def test_another_attempt_keeps_its_distance(bench: Bench) -> None:
    job = a_job(retry={"attempts": 3, "backoff": 60})
    bench.step(job)
    bench.shims("failed")
    outcomes, progress = bench.step(job)
    assert progress.active
    assert "attempt 2 starts after" in outcomes[-1].detail
    bench.time.pass_(seconds=60)
    bench.step(job)
    assert bench.ends() == ["failed", None]


def test_an_attempt_that_waits_is_told_once(bench: Bench) -> None:
    bench.cloud.answers = [NO_ROOM, NO_ROOM]
    _, progress = bench.step(a_job())
    bench.time.pass_(seconds=5)
    outcomes, progress = bench.step(a_job(), before=progress)
    assert outcomes == []
    assert progress.active


@pytest.mark.parametrize("answer", [DENIED, INACTIVE])
def test_a_refused_request_closes_the_attempt_as_lost_and_says_why(bench: Bench, answer: AwsError) -> None:
    bench.cloud.answers = [answer]
    outcomes, _ = bench.step(a_job())
    assert [outcome.status for outcome in outcomes] == [Status.FAILED]
    assert "RunTask was refused" in outcomes[0].detail
    (attempt,) = bench.attempts()
    assert attempt.result is not None
    assert attempt.result["status"] == "lost"
    assert attempt.result["error"]["class"] == "start"


def test_refusals_end_with_the_budget(bench: Bench) -> None:
    bench.cloud.answers = [DENIED] * 9
    progress = bench.until_done(a_job())
    assert bench.ends() == ["lost", "lost", "lost"]
    assert [decision.decision for decision in progress.decisions] == ["FAILED"]


def test_a_refusal_after_a_lost_answer_leaves_the_task_that_began_alone(bench: Bench) -> None:
    bench.cloud.faults = Faults.at("after", CLEAN.index("RunTask") + 1, cloud.crash)
    with pytest.raises(cloud.Crash):
        bench.step(a_job())
    bench.cloud.faults = Faults()
    (arn,) = bench.cloud.started
    assert bench.fence(arn)
    attempt = bench.attempts()[0]
    moved, outcome = attempts.start(bench.actor(), "job/align/s1", attempt)
    assert outcome.status is Status.LAUNCHED
    bench.cloud.answers = [DENIED]
    moved, outcome = attempts.start(bench.actor(), "job/align/s1", attempt)
    assert outcome.status is Status.ADOPTED
    assert moved.result is None


def test_a_token_that_ecs_knows_with_other_parameters_gives_the_task_that_it_started(bench: Bench) -> None:
    bench.step(a_job())
    attempt = bench.attempts()[0]
    assert attempt.claim is not None
    other = replace(
        attempt, claim={**attempt.claim, "request": {**attempt.claim["request"], "group": "other"}}
    )
    moved, outcome = attempts.start(bench.actor(), "job/align/s1", other)
    assert outcome.status is Status.LAUNCHED
    assert moved.task is not None
    assert [moved.task["task_arn"]] == bench.cloud.started


def test_two_applies_at_once_start_one_task(bench: Bench) -> None:
    mine, theirs = bench.actor("me@here"), bench.actor("ci@there")
    decision = decide.decide([a_job()], {}, {})[0]
    first, _ = launch.launch(mine, decision, bench.arn, {})
    second, outcome = launch.launch(theirs, decision, bench.arn, {})
    assert first is not None
    assert second is None
    assert "claimed by me@here" in outcome.detail
    assert len(bench.cloud.started) == 1


def test_overrides_that_runtask_would_refuse_are_refused_before_anything_is_claimed(bench: Bench) -> None:
    job = a_job(overrides={"cpu": "1" * 9000})
    outcomes, progress = bench.step(job)
    assert [outcome.status for outcome in outcomes] == [Status.FAILED]
    assert "RunTask takes 8192" in outcomes[0].detail
    assert bench.attempts() == ()
    assert not progress.active
    assert bench.step(job, before=progress)[0] == []


def test_a_failed_attempt_is_followed_by_the_next_while_the_budget_lasts(bench: Bench) -> None:
    job = a_job(retry={"attempts": 2})
    for _ in range(2):
        bench.step(job)
        bench.shims("failed")
    _, progress = bench.step(job)
    assert bench.ends() == ["failed", "failed"]
    assert [decision.decision for decision in progress.decisions] == ["FAILED"]
    assert len(set(bench.cloud.tokens)) == 2


def test_a_consumer_starts_when_its_producer_has_succeeded(bench: Bench) -> None:
    index, align = a_job("job/index", "b2" * 32), a_job(needs=["job/index"])
    _, progress = bench.step(index, align)
    assert len(bench.cloud.started) == 1
    bench.shims()
    outcomes, progress = bench.step(index, align, before=progress)
    assert [(outcome.address, outcome.status) for outcome in outcomes] == [
        ("job/index", Status.SUCCEEDED),
        ("job/align/s1", Status.LAUNCHED),
    ]
    bench.shims()
    assert not bench.step(index, align, before=progress)[1].active


def test_an_address_that_went_back_to_an_earlier_state_means_the_earlier_job(bench: Bench) -> None:
    first, second = a_job(), a_job(job_id="b2" * 32)
    for job in (first, second):
        bench.step(job)
        bench.shims()
    bench.step(first)
    assert bench.ledger.meanings()["job/align/s1"][-1].job_id == first.job_id
    assert len(bench.cloud.started) == 2


def test_two_addresses_of_the_same_work_share_one_task_and_both_mean_it(bench: Bench) -> None:
    one, other = a_job(), a_job("job/align/s2")
    _, progress = bench.step(one, other)
    bench.step(one, other, before=progress)
    assert len(bench.cloud.started) == 1
    assert sorted(bench.ledger.meanings()) == ["job/align/s1", "job/align/s2"]


def test_a_cluster_that_is_not_there_is_told_before_anything_is_claimed(bench: Bench) -> None:
    bench.settings = replace(bench.settings, cluster="not-there")
    with pytest.raises(BunniesError, match=r"no cluster not-there\. Run `bunnies bootstrap`"):
        bench.step(a_job())
    assert bench.attempts() == ()


def test_a_job_whose_task_definition_is_not_there_does_not_start(bench: Bench) -> None:
    bench.attributes = {}
    outcomes, progress = bench.step(a_job())
    assert outcomes == []
    assert not progress.active
    assert [decision.decision for decision in progress.decisions] == ["BLOCKED"]


REFUSED = [*CLEAN[:-1], "PutObject", "PutObject"]  # the tombstone, the result


@pytest.mark.parametrize("number", range(1, len(REFUSED) + 1))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_call_of_a_refused_launch_ends_in_one_success_and_one_task(
    bench: Bench, when: str, number: int
) -> None:
    bench.cloud.answers = [DENIED]
    bench.cloud.faults = Faults.at(when, number, cloud.crash)
    with contextlib.suppress(cloud.Crash):  # after RunTask there is none: its answer is an error
        bench.step(a_job())
    assert len(bench.cloud.faults.made) == (len(REFUSED) if (when, number) == ("after", 9) else number)
    bench.cloud.faults = Faults()
    bench.until_done(a_job())
    assert bench.ends() in (["succeeded"], ["lost", "succeeded"])
    assert len(bench.cloud.started) == 1


def schema(name: str) -> Draft202012Validator:
    text = (Path(__file__).parents[2] / "schemas" / f"{name}.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def test_the_job_spec_keeps_to_its_schema(bench: Bench) -> None:
    bench.step(a_job())
    schema("jobspec").validate(bench.jobspec(bench.cloud.started[0]))


@pytest.mark.parametrize("how", ["refused", "stopped", "memory"])
def test_results_that_we_write_keep_to_the_schema_of_results(bench: Bench, how: str) -> None:
    bench.cloud.answers = [DENIED] if how == "refused" else []
    bench.step(a_job())
    if how == "stopped":
        list(control.stop(bench.actor(), ["job/align/s1"]))
    if how == "memory":
        containers = [{"name": "aligner", "reason": "OutOfMemoryError: killed"}]
        bench.cloud.stop(bench.cloud.started[0], bench.time.clock(), containers=containers)
        bench.step(a_job())
    result = bench.attempts()[0].result
    assert result is not None
    schema("result").validate(result)
