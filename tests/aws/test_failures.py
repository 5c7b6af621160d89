from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from reconciler.failures import failures
from tests.aws.cloud import BUCKET, PLAIN, Bench, a_job


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Three elements that failed, one that succeeded, one that runs; two of them said something."""
    with mock_aws():
        bench = Bench()
        jobs = [a_job(f"job/align/s{n}", f"{n:064x}") for n in range(1, 6)]
        bench.step(*jobs[:3])
        bench.shims("failed")
        bench.step(jobs[3])
        bench.shims()
        bench.step(jobs[4])
        for n, name, text in (
            (1, "stderr.log", "starting\n[E] no such reference\n\n"),
            (2, "stderr.log", ""),
            (2, "stdout.log", "x" * 9000 + "\nKilled"),
        ):
            key = bench.ledger.attempt_key(f"{n:064x}", 1, name)
            PLAIN.call("s3", "PutObject", Bucket=BUCKET, Key=key, Body=text.encode())
        yield bench


def test_a_set_that_failed_is_told_by_element_exit_code_and_last_line(bench: Bench) -> None:
    found = [(one.address, one.kind, one.exit_code, one.said) for one in failures(bench.ledger)]
    assert found == [
        ("job/align/s1", "user", 3, "[E] no such reference"),
        ("job/align/s2", "user", 3, "Killed"),
        ("job/align/s3", "user", 3, "exit code 3"),
    ]


def test_only_wanted_jobs_are_told(bench: Bench) -> None:
    wanted = ["job/align/s2", "job/align/s4", "job/never"]
    assert [one.address for one in failures(bench.ledger, wanted)] == ["job/align/s2"]
