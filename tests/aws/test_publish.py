from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from reconciler import publish
from reconciler.model import Attempt, Copy, Job, JobRecord, Status
from tests.aws.cloud import BUCKET, JOB_ID, PLAIN, Bench, a_job

OUTPUTS = {
    "bam": {"kind": "file", "path": "s1.bam"},
    "parts": {"kind": "folder", "path": "parts"},
}


@pytest.fixture
def bench() -> Iterator[Bench]:
    with mock_aws():
        PLAIN.call("s3", "CreateBucket", Bucket="results")
        yield Bench()


def a_publishing_job(**publish_: str) -> Job:
    job = a_job(publish=publish_)
    jobspec = {**job.spec["jobspec"], "outputs": OUTPUTS}
    return a_job(publish=publish_, jobspec=jobspec)


def made(name: str, *paths: str) -> dict[str, Any]:
    files = []
    for path in paths:
        key = f"out/{path}"
        etag = PLAIN.call("s3", "PutObject", Bucket=BUCKET, Key=key, Body=path.encode())["ETag"].strip('"')
        files.append({"url": f"s3://{BUCKET}/{key}", "path": path, "size": len(path), "etag": etag})
    return {name: files}


def records(outputs: dict[str, Any], status: str = "succeeded") -> dict[str, JobRecord]:
    return {JOB_ID: JobRecord(JOB_ID, (Attempt(1, claim={}, result={"status": status, "outputs": outputs}),))}


def published() -> list[str]:
    return [entry["Key"] for entry in PLAIN.call("s3", "ListObjectsV2", Bucket="results").get("Contents", ())]


def test_a_file_goes_to_the_very_key_and_the_second_time_nothing_is_due(bench: Bench) -> None:
    job, found = a_publishing_job(bam="s3://results/bam/é 1.bam"), records(made("bam", "s1.bam"))
    copies = publish.pending(bench.cloud, [job], found)
    assert [outcome.status for outcome in publish.publish(bench.cloud, copies)] == [Status.CHANGED]
    assert published() == ["bam/é 1.bam"]
    assert publish.pending(bench.cloud, [job], found) == ()


def test_a_folder_keeps_its_paths_below_the_target(bench: Bench) -> None:
    job, found = a_publishing_job(parts="s3://results/p/"), records(made("parts", "a", "b/c"))
    list(publish.publish(bench.cloud, publish.pending(bench.cloud, [job], found)))
    assert published() == ["p/a", "p/b/c"]


def test_what_somebody_changed_at_the_target_is_due_again(bench: Bench) -> None:
    job, found = a_publishing_job(bam="s3://results/x.bam"), records(made("bam", "s1.bam"))
    list(publish.publish(bench.cloud, publish.pending(bench.cloud, [job], found)))
    PLAIN.call("s3", "PutObject", Bucket="results", Key="x.bam", Body=b"s2.bam")
    assert len(publish.pending(bench.cloud, [job], found)) == 1


def test_a_job_that_did_not_succeed_publishes_nothing(bench: Bench) -> None:
    job = a_publishing_job(bam="s3://results/x.bam")
    assert publish.pending(bench.cloud, [job], records(made("bam", "s1.bam"), "failed")) == ()
    assert publish.pending(bench.cloud, [job], {}) == ()


def test_an_output_that_is_gone_is_told_and_the_others_are_copied(bench: Bench) -> None:
    job, found = a_publishing_job(parts="s3://results/p/"), records(made("parts", "a", "b"))
    PLAIN.call("s3", "DeleteObject", Bucket=BUCKET, Key="out/a")
    outcomes = list(publish.publish(bench.cloud, publish.pending(bench.cloud, [job], found)))
    assert [outcome.status for outcome in outcomes] == [Status.FAILED, Status.CHANGED]
    assert published() == ["p/b"]


def test_what_is_too_large_for_one_copy_is_copied_in_parts(bench: Bench) -> None:
    body = bytes(range(256)) * (11 * 4096)  # 11 MiB: parts of 5 MiB are the smallest that S3 takes
    PLAIN.call("s3", "PutObject", Bucket=BUCKET, Key="large", Body=body)
    copy = Copy("job/align/s1", f"s3://{BUCKET}/large", "s3://results/large", len(body))
    limits = publish.Limits(copy=6 * 1024**2, part=5 * 1024**2)
    assert [o.status for o in publish.publish(bench.cloud, [copy], limits)] == [Status.CHANGED]
    answer = PLAIN.call("s3", "GetObject", Bucket="results", Key="large")
    assert answer["Body"].read() == body
    assert answer["ETag"].endswith('-3"')
