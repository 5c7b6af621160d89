from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from reconciler import views
from reconciler.errors import AwsError, BunniesError
from tests.aws.cloud import BUCKET, JOB_ID, PLAIN, Bench, a_job


@pytest.fixture
def bench() -> Iterator[Bench]:
    with mock_aws():
        yield Bench()


def put(url: str, body: bytes) -> None:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    PLAIN.call("s3", "PutObject", Bucket=bucket, Key=key, Body=body)


def succeeded(bench: Bench, *addresses: str) -> None:
    """Jobs that ran to their end, each with the file s1.bam."""
    jobs = [a_job(address, f"{n + 1:064x}") for n, address in enumerate(addresses)]
    bench.step(*jobs)
    bench.shims()
    for job in jobs:
        put(bench.ledger.outputs_url(job.address, job.job_id, 1) + "s1.bam", job.address.encode())


def test_a_row_tells_each_state_on_the_way(bench: Bench) -> None:
    def state() -> str:
        (row,) = views.status(bench.ledger, ["job/align/s1"])
        return row.state

    assert state() == "new"
    bench.step(a_job())
    assert state() == "starting"
    bench.fence(bench.cloud.started[0])
    bench.time.pass_(seconds=90)
    assert state() == "running"
    assert views.status(bench.ledger)[0].seconds == 90


def test_a_row_of_a_failed_job_has_its_exit_code_and_its_reason(bench: Bench) -> None:
    bench.step(a_job())
    bench.shims("failed")
    (row,) = views.status(bench.ledger)
    assert (row.address, row.state, row.attempt, row.exit_code, row.why) == (
        "job/align/s1",
        "failed",
        1,
        3,
        "exit code 3",
    )


def test_outputs_of_a_name_are_those_of_its_elements(bench: Bench) -> None:
    succeeded(bench, "job/align/s1", "job/align/s2", "job/other")
    found = views.outputs(bench.ledger, ["job/align"])
    assert list(found) == ["job/align/s1", "job/align/s2"]
    assert found["job/align/s1"]["bam"][0]["path"] == "s1.bam"
    assert list(views.outputs(bench.ledger, ["job/other", "job/align/s2"])) == ["job/other", "job/align/s2"]


def test_an_address_that_never_ran_is_told(bench: Bench) -> None:
    with pytest.raises(BunniesError, match="job/none never ran"):
        views.outputs(bench.ledger, ["job/none"])


def test_one_file_comes_to_the_very_path(bench: Bench, tmp_path: Path) -> None:
    succeeded(bench, "job/align/s1")
    assert list(views.get(bench.ledger, "job/align/s1:bam", tmp_path / "new" / "my.bam")) == [
        tmp_path / "new/my.bam"
    ]
    assert (tmp_path / "new/my.bam").read_bytes() == b"job/align/s1"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["my.bam"]


def test_into_a_folder_files_keep_their_names(bench: Bench, tmp_path: Path) -> None:
    succeeded(bench, "job/align/s1", "job/align/s2")
    list(views.get(bench.ledger, "job/align/s1", tmp_path))
    assert (tmp_path / "s1.bam").read_bytes() == b"job/align/s1"
    list(views.get(bench.ledger, "job/align:bam", tmp_path))
    assert (tmp_path / "s2/s1.bam").read_bytes() == b"job/align/s2"


def test_an_output_that_is_not_there_is_told(bench: Bench, tmp_path: Path) -> None:
    succeeded(bench, "job/align/s1")
    with pytest.raises(BunniesError, match="has no files"):
        list(views.get(bench.ledger, "job/align/s1:vcf", tmp_path))


def test_a_path_that_leads_out_of_the_destination_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.step(a_job())
    files = [{"url": f"s3://{BUCKET}/x", "path": path, "size": 1} for path in ("a", "../b")]
    result = {"status": "succeeded", "error": None, "outputs": {"bam": files}}
    bench.ledger.close(JOB_ID, 1, result)
    put(f"s3://{BUCKET}/x", b"x")
    with pytest.raises(BunniesError, match="outside of"):
        list(views.get(bench.ledger, "job/align/s1", tmp_path / "in"))
    assert not (tmp_path / "b").exists()


def test_a_download_that_breaks_leaves_nothing_behind(bench: Bench, tmp_path: Path) -> None:
    succeeded(bench, "job/align/s1")
    url = views.outputs(bench.ledger, ["job/align/s1"])["job/align/s1"]["bam"][0]["url"]
    PLAIN.call("s3", "DeleteObject", Bucket=BUCKET, Key=str(url).removeprefix(f"s3://{BUCKET}/"))
    with pytest.raises(AwsError, match="NoSuchKey"):
        list(views.get(bench.ledger, "job/align/s1", tmp_path / "x.bam"))
    assert list(tmp_path.iterdir()) == []


def test_logs_are_those_that_the_shim_brought_to_s3(bench: Bench) -> None:
    succeeded(bench, "job/align/s1")
    job_id = f"{1:064x}"
    put(bench.ledger.attempt_url(job_id, 1) + "stdout.log", b"out\n")
    put(bench.ledger.attempt_url(job_id, 1) + "stderr.log", b"err\n")
    assert b"".join(views.logs(bench.ledger, "job/align/s1")) == b"out\nerr\n"
    with pytest.raises(BunniesError, match=r"no attempt 7\. It has: 1"):
        list(views.logs(bench.ledger, "job/align/s1", 7))


def log_event(bench: Bench, arn: str, message: str) -> None:
    where = {"logGroupName": "/ecs/align", "logStreamName": f"ecs/aligner/{arn.rpartition('/')[2]}"}
    # moto drops events that are older than two weeks of the machine's own time
    events = [{"timestamp": int(time.time() * 1000), "message": message}]
    PLAIN.call("logs", "PutLogEvents", logEvents=events, **where)


def logging_bench(bench: Bench) -> str:
    """A job whose container logs to CloudWatch; returns its task."""
    logging: dict[str, Any] = {"logDriver": "awslogs"}
    logging["options"] = {"awslogs-group": "/ecs/align", "awslogs-stream-prefix": "ecs"}
    definition = PLAIN.call("ecs", "DescribeTaskDefinition", taskDefinition="align-task")["taskDefinition"]
    containers = [definition["containerDefinitions"][0] | {"logConfiguration": logging}]
    names = ("family", "networkMode", "requiresCompatibilities", "cpu", "memory")
    same = {name: definition[name] for name in names}
    made = PLAIN.call("ecs", "RegisterTaskDefinition", containerDefinitions=containers, **same)
    bench.attributes = {"taskdefinition/align-task": {"arn": made["taskDefinition"]["taskDefinitionArn"]}}
    bench.step(a_job())
    arn = bench.cloud.started[0]
    PLAIN.call("logs", "CreateLogGroup", logGroupName="/ecs/align")
    stream = f"ecs/aligner/{arn.rpartition('/')[2]}"
    PLAIN.call("logs", "CreateLogStream", logGroupName="/ecs/align", logStreamName=stream)
    return arn


def test_logs_of_a_running_task_come_from_cloudwatch(bench: Bench) -> None:
    arn = logging_bench(bench)
    log_event(bench, arn, "working")
    assert list(views.logs(bench.ledger, "job/align/s1")) == [b"working\n"]


def test_following_goes_on_until_the_attempt_is_closed(bench: Bench) -> None:
    arn = logging_bench(bench)
    log_event(bench, arn, "one")
    following = views.logs(bench.ledger, "job/align/s1", follow=True)
    assert next(following) == b"one\n"
    log_event(bench, arn, "two")
    bench.shim(arn)
    assert list(following) == [b"two\n"]


def test_a_task_that_has_logged_nothing_yet_has_no_logs(bench: Bench) -> None:
    bench.step(a_job())
    assert list(views.logs(bench.ledger, "job/align/s1")) == []
