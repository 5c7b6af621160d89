from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from reconciler.errors import AwsError, BunniesError
from reconciler.ledger import Ledger
from reconciler.model import NOTHING
from tests.aws import cloud
from tests.aws.cloud import BUCKET, JOB_ID, PREFIX, Bench, Fault, Faults

OTHER = "b2" * 32
ADDRESS = "job/align/s1"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with mock_aws():
        yield Bench()


@pytest.fixture
def ledger(bench: Bench) -> Ledger:
    return bench.new_ledger(bench.cloud)


def keys(ledger: Ledger, prefix: str = "") -> list[str]:
    return [listed.key.removeprefix(f"{PREFIX}/") for listed in ledger.documents.list(f"{PREFIX}/{prefix}")]


def conflict() -> None:
    raise AwsError("PutObject", "ConditionalRequestConflict", "again", 409)


def denied() -> None:
    raise AwsError("GetObject", "AccessDenied", "no", 403)


def test_the_first_claim_wins_and_the_second_reads_it(ledger: Ledger) -> None:
    mine = ledger.claim(JOB_ID, 1, {"by": "me"})
    theirs = ledger.claim(JOB_ID, 1, {"by": "them"})
    assert mine.ours
    assert not theirs.ours
    assert theirs.document["by"] == "me"


@pytest.mark.parametrize("fault", [cloud.timeout, cloud.broken])
def test_a_claim_whose_answer_was_lost_is_known_by_its_nonce(
    bench: Bench, ledger: Ledger, fault: Fault
) -> None:
    bench.cloud.faults = Faults.at("after", 1, fault)
    assert ledger.claim(JOB_ID, 1, {"by": "me"}).ours
    assert bench.cloud.faults.made == ["PutObject", "PutObject", "GetObject"]


def test_a_claim_that_was_lost_on_the_way_after_another_won_is_not_ours(bench: Bench, ledger: Ledger) -> None:
    ledger.claim(JOB_ID, 1, {"by": "them"})
    bench.cloud.faults = Faults.at("before", 1, cloud.timeout)
    assert not ledger.claim(JOB_ID, 1, {"by": "me"}).ours


def test_two_writes_that_meet_are_tried_again(bench: Bench, ledger: Ledger) -> None:
    bench.cloud.faults = Faults.at("before", 1, conflict)
    assert ledger.claim(JOB_ID, 1, {}).ours


def test_writes_that_never_stop_meeting_are_an_error(bench: Bench, ledger: Ledger) -> None:
    bench.cloud.faults = Faults(before=dict.fromkeys(range(1, 99), conflict))
    with pytest.raises(AwsError, match="ConditionalRequestConflict"):
        ledger.claim(JOB_ID, 1, {})


def test_no_permission_is_an_error_and_never_absence(bench: Bench, ledger: Ledger) -> None:
    ledger.claim(JOB_ID, 1, {})
    bench.cloud.faults = Faults.at("before", 2, denied)  # 1: the listing
    with pytest.raises(AwsError, match="AccessDenied"):
        ledger.records([JOB_ID])


def test_a_document_that_somebody_spoiled_is_named(ledger: Ledger) -> None:
    key = ledger.attempt_key(JOB_ID, 1, "claim.json")
    ledger.aws.call("s3", "PutObject", Bucket=BUCKET, Key=key, Body=b"<html>")
    with pytest.raises(BunniesError, match=f"s3://{BUCKET}/{key} is not JSON"):
        ledger.records([JOB_ID])


def test_the_layout_is_that_of_the_design(ledger: Ledger) -> None:
    ledger.identity(JOB_ID, {"command": ["x"]})
    ledger.address(ADDRESS, JOB_ID)
    ledger.address("job/index", OTHER)
    ledger.claim(JOB_ID, 1, {})
    ledger.jobspec(JOB_ID, 1, {})
    ledger.task(JOB_ID, 1, {"task_arn": "arn"})
    ledger.tombstone(JOB_ID, 1, "because")
    ledger.close(JOB_ID, 1, {"status": "lost", "error": None})
    assert keys(ledger) == [
        f"addresses/align/s1/00000001-{JOB_ID}.json",
        f"addresses/index/_/00000001-{OTHER}.json",
        *(
            f"jobs/{JOB_ID}/attempts/1/{name}.json"
            for name in ("claim", "jobspec", "result", "started", "task")
        ),
        f"jobs/{JOB_ID}/identity.json",
    ]


def test_an_address_is_written_when_its_meaning_changes_and_only_then(ledger: Ledger) -> None:
    for job_id in (JOB_ID, JOB_ID, OTHER, JOB_ID):
        ledger.address(ADDRESS, job_id)
    assert keys(ledger, "addresses/") == [
        f"addresses/align/s1/00000001-{JOB_ID}.json",
        f"addresses/align/s1/00000002-{OTHER}.json",
        f"addresses/align/s1/00000003-{JOB_ID}.json",
    ]
    assert [meaning.job_id for meaning in ledger.meanings()[ADDRESS]] == [JOB_ID, OTHER, JOB_ID]


def test_history_gives_the_newest_job_and_what_it_was_made_of(ledger: Ledger) -> None:
    ledger.identity(OTHER, {"command": ["new"]})
    ledger.address(ADDRESS, JOB_ID)
    ledger.address(ADDRESS, OTHER)
    ledger.address("job/index", JOB_ID)
    assert ledger.history({ADDRESS: JOB_ID, "job/none": JOB_ID}) == {ADDRESS: (OTHER, {"command": ["new"]})}
    assert ledger.history({ADDRESS: OTHER}) == {}
    assert ledger.history({"job/index": OTHER}) == {"job/index": (JOB_ID, {})}


def test_a_name_stands_for_its_elements_and_not_for_a_longer_name(ledger: Ledger) -> None:
    for address in ("job/align/s1", "job/align/s2", "job/align2/s1", "job/index"):
        ledger.address(address, JOB_ID)
    assert list(ledger.meanings("job/align")) == ["job/align/s1", "job/align/s2"]
    assert list(ledger.meanings("job/index")) == ["job/index"]
    assert list(ledger.meanings("job/align/s1")) == ["job/align/s1"]
    assert len(ledger.meanings()) == 4


def test_records_have_the_attempts_in_the_order_of_their_numbers(ledger: Ledger) -> None:
    for number in (1, 2, 10):
        ledger.claim(JOB_ID, number, {})
    record = ledger.records([JOB_ID, OTHER])
    assert [attempt.number for attempt in record[JOB_ID].attempts] == [1, 2, 10]
    assert record[OTHER].attempts == ()


def test_many_jobs_are_read_in_few_listings(bench: Bench, ledger: Ledger) -> None:
    ids = [f"{n:064x}" for n in range(600)] + [JOB_ID]
    ledger.claim(JOB_ID, 1, {})
    ledger.claim(OTHER, 1, {})
    bench.cloud.faults = Faults()
    records = ledger.records(ids)
    assert bench.cloud.faults.made.count("ListObjectsV2") == 16
    assert [job_id for job_id, record in records.items() if record.attempts] == [JOB_ID]
    assert len(records) == 601


def test_what_was_read_before_is_not_read_again(bench: Bench, ledger: Ledger) -> None:
    ledger.claim(JOB_ID, 1, {})
    ledger.task(JOB_ID, 1, {"task_arn": "arn"})
    known = ledger.records([JOB_ID])
    bench.cloud.faults = Faults()
    assert ledger.records([JOB_ID], known) == known
    assert bench.cloud.faults.made == ["ListObjectsV2"]


def test_a_jobspec_url_leads_back_to_its_attempt(ledger: Ledger) -> None:
    assert ledger.place(ledger.jobspec_url(JOB_ID, 3)) == (JOB_ID, 3)
    assert ledger.place(f"s3://other/{PREFIX}/jobs/{JOB_ID}/attempts/3/jobspec.json") is None


def test_outputs_are_readable_by_name(ledger: Ledger) -> None:
    assert (
        ledger.outputs_url(ADDRESS, JOB_ID, 2) == f"s3://{BUCKET}/{PREFIX}/outputs/align/s1/{JOB_ID[:12]}-2/"
    )
    assert ledger.outputs_url("job/index", JOB_ID, 1).endswith(f"/outputs/index/_/{JOB_ID[:12]}-1/")


def test_a_bucket_that_is_not_there_is_told_with_what_to_do(bench: Bench) -> None:
    ledger = Ledger(bench.cloud, "not-there", PREFIX, bench.time.clock(), lambda: "nonce")
    with pytest.raises(BunniesError, match=r"no bucket not-there\. Run `bunnies bootstrap`"):
        ledger.records([JOB_ID])


def test_an_empty_ledger_has_no_meanings_and_no_records(ledger: Ledger) -> None:
    assert ledger.meanings() == {}
    assert ledger.records([], NOTHING) == {}
