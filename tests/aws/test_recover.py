"""Rules 4, 5 and 7 of the ledger, and what a person may say (control)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from reconciler import control, recover
from reconciler.model import Status
from tests.aws import cloud
from tests.aws.cloud import JOB_ID, Bench, Faults, a_job

RUN_TASK = 9  # the number of this call in a launch: test_launch.CLEAN


@pytest.fixture
def bench() -> Iterator[Bench]:
    with mock_aws():
        yield Bench()


def crash_at(bench: Bench, when: str, number: int) -> None:
    bench.cloud.faults = Faults.at(when, number, cloud.crash)
    with pytest.raises(cloud.Crash):
        bench.step(a_job())
    bench.cloud.faults = Faults()


def launched(bench: Bench) -> str:
    bench.step(a_job())
    return bench.cloud.started[0]


def reason(bench: Bench) -> tuple[str, str]:
    result = bench.attempts()[0].result
    assert result is not None
    return result["error"]["class"], result["error"]["message"]


# rule 4: a claim without a task


def test_a_young_claim_that_was_never_sent_is_sent_to_the_byte(bench: Bench) -> None:
    crash_at(bench, "before", RUN_TASK)
    bench.time.pass_(minutes=59)
    outcomes, _ = bench.step(a_job())
    assert [outcome.status for outcome in outcomes] == [Status.LAUNCHED]
    assert len(bench.cloud.started) == 1
    assert len(bench.attempts()) == 1


def test_a_task_that_runs_without_being_written_down_is_found_and_adopted(bench: Bench) -> None:
    crash_at(bench, "after", RUN_TASK)
    bench.time.pass_(hours=5)
    outcomes, _ = bench.step(a_job())
    assert [outcome.status for outcome in outcomes] == [Status.ADOPTED]
    (attempt,) = bench.attempts()
    assert attempt.task is not None
    assert [attempt.task["task_arn"]] == bench.cloud.started


def test_an_old_claim_is_closed_as_lost_and_another_attempt_starts(bench: Bench) -> None:
    crash_at(bench, "before", RUN_TASK)
    bench.time.pass_(minutes=61)
    outcomes, _ = bench.step(a_job())
    assert [outcome.status for outcome in outcomes] == [Status.FAILED, Status.LAUNCHED]
    assert bench.ends() == ["lost", None]
    assert len(bench.cloud.started) == 1


def test_a_tombstone_keeps_a_task_that_comes_late_from_running(bench: Bench) -> None:
    crash_at(bench, "after", RUN_TASK)
    (late,) = bench.cloud.started
    bench.cloud.forget(late)
    bench.time.pass_(hours=2)
    bench.step(a_job())
    assert bench.ends() == ["lost", None]
    assert not bench.fence(late)


def test_an_old_claim_whose_shim_took_the_fence_runs(bench: Bench) -> None:
    crash_at(bench, "after", RUN_TASK)
    (arn,) = bench.cloud.started
    bench.cloud.forget(arn)
    bench.time.pass_(minutes=61)
    assert bench.fence(arn)
    bench.step(a_job())
    assert bench.ends() == [None]


@pytest.mark.parametrize("number", range(1, 15))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_call_of_a_recovery_ends_in_one_success_and_one_task(
    bench: Bench, when: str, number: int
) -> None:
    crash_at(bench, "before", RUN_TASK)
    bench.time.pass_(minutes=61)
    crash_at(bench, when, number)
    bench.until_done(a_job())
    assert bench.ends() == ["lost", "succeeded"]
    assert len(bench.cloud.started) == 1


def test_the_crashes_of_a_recovery_are_all_in_the_table(bench: Bench) -> None:
    crash_at(bench, "before", RUN_TASK)
    bench.time.pass_(minutes=61)
    bench.cloud.faults = Faults()
    bench.step(a_job())
    assert len(bench.cloud.faults.made) == 14


# rule 5: started, and no result


def test_a_task_that_never_began_is_closed_at_once_with_what_ecs_says(bench: Bench) -> None:
    arn = launched(bench)
    said = {
        "stopCode": "TaskFailedToStart",
        "stoppedReason": "Task failed to start",
        "containers": [{"name": "aligner", "reason": "CannotPullContainerError: i/o timeout"}],
    }
    bench.cloud.stop(arn, bench.time.clock(), **said)
    bench.step(a_job())
    assert bench.ends() == ["lost", None]
    kind, message = reason(bench)
    assert kind == "start"
    assert "Task failed to start" in message
    assert "CannotPullContainerError" in message


def test_an_image_that_is_not_there_is_not_asked_for_again(bench: Bench) -> None:
    arn = launched(bench)
    reason = "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref: not found"
    bench.cloud.stop(arn, bench.time.clock(), stopCode="TaskFailedToStart", stoppedReason=reason)
    _, progress = bench.step(a_job())
    assert bench.ends() == ["lost"]
    assert [decision.decision for decision in progress.decisions] == ["FAILED"]


def test_a_stopped_task_has_sixty_seconds_for_its_last_word(bench: Bench) -> None:
    arn = launched(bench)
    bench.fence(arn)
    bench.cloud.stop(arn, bench.time.clock(), containers=[{"name": "aligner", "exitCode": 137}])
    bench.time.pass_(seconds=59)
    bench.step(a_job())
    assert bench.ends() == [None]
    bench.time.pass_(seconds=2)
    bench.step(a_job())
    assert bench.ends() == ["lost", None]
    assert "exit code 137" in reason(bench)[1]


def test_without_a_stop_time_the_sixty_seconds_count_from_when_an_apply_saw_it(bench: Bench) -> None:
    arn = launched(bench)
    bench.fence(arn)
    bench.cloud.stopped[arn] = {"lastStatus": "STOPPED"}
    bench.time.pass_(hours=1)
    bench.step(a_job())
    bench.time.pass_(seconds=59)
    bench.step(a_job())
    assert bench.ends() == [None]
    bench.time.pass_(seconds=2)
    bench.step(a_job())
    assert bench.ends() == ["lost", None]


def test_a_task_out_of_memory_is_told_as_such(bench: Bench) -> None:
    arn = launched(bench)
    containers = [{"name": "aligner", "exitCode": 137, "reason": "OutOfMemoryError: Container killed"}]
    bench.cloud.stop(arn, bench.time.clock(), containers=containers)
    bench.step(a_job())
    assert reason(bench)[0] == "memory"


def test_a_result_that_comes_with_the_closing_is_the_truth(bench: Bench) -> None:
    arn = launched(bench)
    _, before = bench.step(a_job())
    bench.shim(arn)
    bench.cloud.stop(arn, bench.time.clock())
    bench.time.pass_(minutes=5)
    records, _ = recover.recover(bench.actor(), {JOB_ID: a_job()}, before.records)
    last = records[JOB_ID].last
    assert last is not None
    assert last.result is not None
    assert last.result["status"] == "succeeded"


def test_a_missing_task_is_believed_after_ten_minutes_and_another_sixty_seconds(bench: Bench) -> None:
    arn = launched(bench)
    bench.fence(arn)
    bench.cloud.forget(arn)
    bench.time.pass_(minutes=9)
    bench.step(a_job())
    bench.time.pass_(minutes=2)
    bench.step(a_job())
    assert bench.ends() == [None]
    bench.time.pass_(seconds=61)
    bench.step(a_job())
    assert bench.ends() == ["lost", None]


def test_a_task_that_is_seen_again_was_never_missing(bench: Bench) -> None:
    arn = launched(bench)
    bench.fence(arn)
    bench.cloud.forget(arn)
    bench.time.pass_(minutes=11)
    bench.step(a_job())
    bench.cloud.forgotten.clear()
    bench.time.pass_(minutes=11)
    bench.step(a_job())
    bench.cloud.forget(arn)
    bench.time.pass_(minutes=11)
    bench.step(a_job())
    assert bench.ends() == [None]


def test_of_two_tasks_the_one_with_the_fence_counts(bench: Bench) -> None:
    first = launched(bench)
    bench.cloud.tokens.clear()  # a service that does not honour clientToken
    key = bench.ledger.attempt_key(JOB_ID, 1, "task.json")
    bench.ledger.aws.call("s3", "DeleteObject", Bucket=cloud.BUCKET, Key=key)
    bench.cloud.forget(first)
    bench.step(a_job())
    bench.cloud.forgotten.clear()
    second = bench.cloud.started[1]
    assert bench.fence(first)
    assert not bench.fence(second)
    bench.cloud.stop(second, bench.time.clock())
    bench.time.pass_(minutes=5)
    bench.step(a_job())
    assert bench.ends() == [None]


# rule 7: closed attempts, and what a person says


def test_stop_closes_the_attempt_and_stops_its_task(bench: Bench) -> None:
    arn = launched(bench)
    outcomes = list(control.stop(bench.actor(), ["job/align/s1"]))
    assert [outcome.status for outcome in outcomes] == [Status.CHANGED]
    assert bench.ends() == ["stopped"]
    assert arn in bench.cloud.stopped
    _, progress = bench.step(a_job())
    assert [decision.decision for decision in progress.decisions] == ["FAILED"]


def test_the_task_of_an_attempt_that_was_closed_is_stopped_by_the_next_apply(bench: Bench) -> None:
    arn = launched(bench)
    bench.cloud.faults = Faults(before={7: cloud.crash})  # 7: StopTask
    with pytest.raises(cloud.Crash):
        list(control.stop(bench.actor(), ["job/align/s1"]))
    bench.cloud.faults = Faults()
    assert bench.ends() == ["stopped"]
    assert arn not in bench.cloud.stopped
    recover.stop_strays(bench.actor(), {})
    assert arn in bench.cloud.stopped


def test_the_task_of_a_shim_that_just_wrote_its_result_may_leave_by_itself(bench: Bench) -> None:
    arn = launched(bench)
    bench.shim(arn)
    assert recover.stop_strays(bench.actor(), {}) == []
    bench.time.pass_(minutes=6)
    assert [outcome.action for outcome in recover.stop_strays(bench.actor(), {})] == ["stop"]
    assert arn in bench.cloud.stopped


def test_the_task_of_an_open_attempt_is_left_alone(bench: Bench) -> None:
    launched(bench)
    assert recover.stop_strays(bench.actor(), {}) == []


def test_retry_claims_another_attempt_by_hand_and_the_budget_starts_anew(bench: Bench) -> None:
    job = a_job(retry={"attempts": 2})
    for _ in range(2):
        bench.step(job)
        bench.shims("failed")
    assert [o.status for o in control.retry(bench.actor(), ["job/align/s1"])] == [Status.LAUNCHED]
    assert len(set(bench.cloud.tokens)) == 3
    bench.shims("failed")
    bench.step(job)
    bench.shims()
    bench.step(job)
    assert bench.ends() == ["failed", "failed", "failed", "succeeded"]
    assert [bool((a.claim or {}).get("manual")) for a in bench.attempts()] == [False, False, True, False]


def test_retry_leaves_alone_what_runs_and_what_succeeded(bench: Bench) -> None:
    launched(bench)
    assert [o.status for o in control.retry(bench.actor(), ["job/align/s1"])] == [Status.UNCHANGED]
    bench.shims()
    assert [o.status for o in control.retry(bench.actor(), ["job/align"])] == [Status.UNCHANGED]
    assert len(bench.cloud.started) == 1
