"""Successes of large arrays, read from one object; the ledger itself stays the truth."""

from __future__ import annotations

from collections.abc import Iterator

import moto
import pytest

from reconciler import remembered
from reconciler.ledger import Ledger
from reconciler.model import Attempt, Job, JobRecord
from tests.aws.strict import Line, StrictAws

COUNT = 2 * remembered.LARGE
JOBS = [Job(f"job/align/s{n:03}", f"{n:064x}", {}, {}) for n in range(COUNT)]
KEY = "s3://reprod-bucket/bunnies/reprod/successes/align.json.gz"


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with moto.mock_aws():
        line = StrictAws().line("me@here")
        line.call("s3", "CreateBucket", Bucket="reprod-bucket")
        yield line


def book(line: Line) -> Ledger:
    return Ledger(line, "reprod-bucket", "bunnies/reprod", line.clock(), lambda: "n" * 16)


def records(count: int, attempt: int = 1) -> dict[str, JobRecord]:
    return {
        job.job_id: JobRecord(
            job.job_id, (Attempt(attempt, result={"status": "succeeded", "n": job.address}),)
        )
        for job in JOBS[:count]
    }


def test_what_is_remembered_is_what_succeeded(line: Line) -> None:
    remembered.write(book(line), JOBS, records(150, attempt=2))
    assert remembered.read(book(line), JOBS) == records(150, attempt=2)


def test_small_arrays_cost_no_call(line: Line) -> None:
    remembered.write(book(line), JOBS[:50], records(50))
    assert remembered.read(book(line), JOBS[:50]) == {}
    assert [point for point in line.points.made if point.operation != "CreateBucket"] == []


def test_a_few_new_ones_do_not_write_it_again(line: Line) -> None:
    remembered.write(book(line), JOBS, records(100))
    remembered.write(book(line), JOBS, records(150))
    assert len(remembered.read(book(line), JOBS)) == 100
    remembered.write(book(line), JOBS, records(200))
    assert len(remembered.read(book(line), JOBS)) == 200


def test_what_is_not_listed_is_not_believed_though_it_is_remembered(line: Line) -> None:
    ours = book(line)
    remembered.write(ours, JOBS, records(150))
    ours.close(JOBS[0].job_id, 1, {"status": "succeeded", "error": None})
    found = ours.records([job.job_id for job in JOBS], remembered.read(ours, JOBS), lean=True)
    assert [job_id for job_id, record in found.items() if record.last] == [JOBS[0].job_id]


def test_an_object_that_is_damaged_is_as_good_as_none(line: Line) -> None:
    line.cloud.s3.put(KEY, b"what")
    assert remembered.read(book(line), JOBS) == {}
    remembered.write(book(line), JOBS, records(150))
    assert len(remembered.read(book(line), JOBS)) == 150
