"""What the ledger tells afterwards, and what people say about it: explain, provenance, accept, clean, --continue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import moto
import pytest

from reconciler import accept, apply, clean, control, history, kept, ledger, publish, survey
from reconciler.errors import BunniesError
from reconciler.ledger import Ledger
from reconciler.model import ManifestSet, Outcome, Status
from tests.aws.strict import Crash, Fault, Point
from tests.aws.strict.bench import BUCKET, LANES, Bench, ended, manifests

SMALL = LANES[:2]


@pytest.fixture(scope="module", autouse=True)
def _aws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        yield


@pytest.fixture
def bench() -> Iterator[Bench]:
    with moto.mock_aws():
        yield Bench(manifests(SMALL))


def book(bench: Bench) -> Ledger:
    return bench.actor(bench.cloud.line("reader")).ledger


def with_field(wanted: ManifestSet, address: str, **fields: Any) -> ManifestSet:
    """The manifests, one of them with other fields."""
    changed = [
        replace(one, body={**one.body, **fields}) if one.address == address else one
        for one in wanted.manifests
    ]
    return replace(wanted, manifests=tuple(changed))


def without(wanted: ManifestSet, *addresses: str) -> ManifestSet:
    left = tuple(one for one in wanted.manifests if one.address not in addresses)
    return replace(wanted, manifests=left)


def accepted(bench: Bench, *wanted: str, line: Any = None) -> list[Outcome]:
    actor = bench.actor(line or bench.cloud.line("person"))
    made = survey.plan(survey.survey(actor.world, actor.ledger, bench.wanted))
    return list(accept.accept(actor, made.jobs, wanted, "only a comment changed"))


def leftovers(bench: Bench, older_than: float = 0) -> dict[str, str]:
    actor = bench.actor(bench.cloud.line("cleaner"))
    found = survey.survey(actor.world, actor.ledger, bench.wanted)
    dropped = clean.find(actor.ledger, survey.plan(found).jobs, found.records, older_than)
    folder = actor.ledger.key("outputs", "")
    return {one.key.removeprefix(folder): one.why for one in dropped}


# explain and provenance


def test_a_job_is_explained_with_every_attempt_and_why_it_was_started(bench: Bench) -> None:
    bench.cloud.shim.user = lambda spec: 3 if spec["address"] == "job/index" else 0
    bench.apply()
    bench.cloud.shim.user = lambda _: 0
    list(control.retry(bench.actor(bench.cloud.line("person")), ["job/index"]))
    bench.apply()
    found = history.explain(book(bench), "job/index")
    first, second = found["attempts"]
    assert (first["status"], first["class"], first["exit_code"], first["why"]) == (
        "failed",
        "user",
        3,
        "new",
    )
    assert (second["status"], second["why"], second["manual"]) == ("succeeded", "bunnies retry", True)
    assert second["task"].startswith("arn:aws:ecs:")
    assert second["logs"].endswith("/attempts/2/")
    assert found["outputs"]["reference"][0]["url"].startswith(f"s3://{BUCKET}/")


def test_what_changed_is_told_by_addresses(bench: Bench) -> None:
    bench.apply()
    bench.wanted = with_field(bench.wanted, "job/index", generation="2")
    bench.apply()
    assert history.explain(book(bench), "job/index")["changed"] == 'generation (none) → "2"'
    changed = history.explain(book(bench), "job/align/s01.L1")["changed"]
    assert changed == "inputs.reference: job/index is another now"


def test_a_file_is_traced_to_its_roots(bench: Bench) -> None:
    bench.apply()
    ours = book(bench)
    url = history.explain(ours, "job/stats")["outputs"]["text"][0]["url"]
    found = history.provenance(ours, url)
    by_address = {job["address"]: job for job in found["jobs"].values()}
    assert set(by_address) == {
        "job/index",
        "job/align/s01.L1",
        "job/align/s01.L2",
        "job/merge/s01",
        "job/stats",
    }
    stats = found["jobs"][found["made_by"]]
    assert stats["command"][0] == "flagstat"
    assert stats["exit_code"] == 0
    assert stats["image"]["base_digest"].startswith("sha256:")
    assert stats["task_definition"].endswith("align-task:1")
    (sample,) = stats["inputs"]["samples"]
    assert found["jobs"][sample["made_by"]]["address"] == "job/merge/s01"
    (reads,) = by_address["job/align/s01.L1"]["inputs"]["r1"]
    assert (reads["url"], reads["made_by"]) == ("s3://reads/s01.L1.fq", None)


def test_a_published_file_is_traced_by_what_it_is_a_copy_of(bench: Bench) -> None:
    bench.apply()
    ours = book(bench)
    found = history.provenance(ours, "s3://results/flagstat.txt")
    assert found["jobs"][found["made_by"]]["address"] == "job/stats"
    assert found["copy_of"].startswith(f"s3://{BUCKET}/")
    assert history.provenance(ours, "job/stats")["jobs"] == found["jobs"]


def test_a_file_that_others_copied_is_traced_by_the_job_in_its_metadata(bench: Bench) -> None:
    bench.apply()
    ours = book(bench)
    job_id = ours.newest(["job/stats"])["job/stats"]
    bench.cloud.line("person").call(
        "s3", "PutObject", Bucket="results", Key="copy.txt", Body=b"x", Metadata={"bunnies-job": job_id}
    )
    assert history.provenance(ours, "s3://results/copy.txt")["made_by"] == job_id


@pytest.mark.parametrize("what", ["s3://reads/lambda.fa", "s3://reads/nothing", "job/align", "job/none"])
def test_what_no_job_made_has_no_provenance(bench: Bench, what: str) -> None:
    bench.apply()
    with pytest.raises(BunniesError):
        history.provenance(book(bench), what)


# accept


def test_changed_jobs_take_the_results_that_their_addresses_had(bench: Bench) -> None:
    bench.apply()
    bench.wanted = with_field(bench.wanted, "job/index", environment={"COMMENT": "new"})
    tasks = len(bench.cloud.tasks.all)
    outcomes = accepted(bench, "job/*")
    assert {outcome.status for outcome in outcomes} == {Status.CHANGED}
    run = bench.apply()
    assert set(ended(run).values()) == {"CACHED"}
    assert len(bench.cloud.tasks.all) == tasks
    (attempt,) = history.explain(book(bench), "job/index")["attempts"]
    assert attempt["accepted"]["by"] == "person"
    assert attempt["accepted"]["why"] == "only a comment changed"
    found = history.provenance(book(bench), "job/index")
    assert len(found["jobs"]) == 2


def test_what_follows_an_accepted_job_runs_on_its_files(bench: Bench) -> None:
    bench.apply()
    bench.wanted = with_field(bench.wanted, "job/index", environment={"COMMENT": "new"})
    accepted(bench, "job/index")
    run = bench.apply()
    assert set(ended(run).values()) == {"CACHED"}
    assert bench.plan().summary["cached"] == 5


def test_a_crash_in_the_middle_of_an_accept_is_finished_by_the_next_apply(bench: Bench) -> None:
    bench.apply()
    bench.wanted = with_field(bench.wanted, "job/index", environment={"COMMENT": "new"})
    line = bench.cloud.line("person")
    line.points.faults[Point("PutObject", None, 4)] = (
        Fault.CRASH_BEFORE
    )  # identity, address, claim, then the result
    with pytest.raises(Crash):
        accepted(bench, "job/index", line=line)
    bench.apply()
    (attempt,) = history.explain(book(bench), "job/index")["attempts"]
    assert (attempt["status"], attempt["accepted"]["why"]) == ("succeeded", "only a comment changed")


def test_nothing_is_accepted_of_a_job_that_never_succeeded_or_is_up_to_date(bench: Bench) -> None:
    (outcome,) = accepted(bench, "job/index")
    assert outcome.status is Status.FAILED
    bench.apply()
    (outcome,) = accepted(bench, "job/index")
    assert outcome.status is Status.UNCHANGED
    with pytest.raises(BunniesError, match="job/none"):
        accepted(bench, "job/none")


# clean


def test_nothing_that_is_wanted_is_left_over(bench: Bench) -> None:
    bench.apply()
    assert leftovers(bench) == {}


def test_outputs_of_a_job_that_no_manifest_wants_are_left_over(bench: Bench) -> None:
    bench.apply()
    bench.wanted = without(bench.wanted, "job/stats")
    found = leftovers(bench)
    assert [key.split("/")[0] for key in found] == ["stats"]
    assert set(found.values()) == {"no manifest wants its job"}
    assert leftovers(bench, older_than=86400) == {}
    bench.cloud.advance(86401)
    assert len(leftovers(bench, older_than=86400)) == 1


def test_outputs_of_what_a_job_was_before_are_left_over_unless_it_took_them_over(bench: Bench) -> None:
    bench.apply()
    bench.wanted = with_field(bench.wanted, "job/index", generation="2")
    accepted(bench, "job/index")
    assert {key.split("/")[0] for key in leftovers(bench)} == {"align", "merge", "stats"}


def test_temporary_outputs_go_when_all_that_need_them_have_succeeded(bench: Bench) -> None:
    outputs = {"reference": {"path": "reference/", "optional": False, "temp": True, "publish": None}}
    bench.wanted = with_field(bench.wanted, "job/index", outputs=outputs)
    bench.cloud.shim.user = lambda spec: 3 if spec["address"] == "job/align/s01.L2" else 0
    bench.apply()
    assert leftovers(bench) == {}
    bench.cloud.shim.user = lambda _: 0
    list(control.retry(bench.actor(bench.cloud.line("person")), ["job/align/s01.*"]))
    bench.apply()
    assert {key.split("/")[0] for key in leftovers(bench)} == {"index"}
    actor = bench.actor(bench.cloud.line("cleaner"))
    found = survey.survey(actor.world, actor.ledger, bench.wanted)
    gone = clean.find(actor.ledger, survey.plan(found).jobs, found.records)
    assert clean.remove(actor.ledger, gone) == len(gone) == 2
    assert set(ended(bench.apply()).values()) == {"CACHED"}


def test_what_runs_is_not_cleaned_though_nobody_wants_it(bench: Bench) -> None:
    bench.cloud.shim.seconds = lambda _: 10_000.0
    bench.apply(wait=False)
    bench.cloud.advance(60)
    job_id = next(iter(bench.cloud.shim.effects))[0]
    bench.cloud.s3.put(f"s3://{BUCKET}/bunnies/reprod/outputs/index/_/{job_id[:12]}-1/part", b"half")
    names = [one.address for one in bench.wanted.of("Job")]
    bench.wanted = without(bench.wanted, *names)
    assert leftovers(bench) == {}


# apply --continue


def test_an_apply_can_be_gone_on_with_from_what_was_kept(bench: Bench) -> None:
    actor = bench.actor(bench.cloud.line("ci-1"))
    found = survey.survey(actor.world, actor.ledger, bench.wanted)
    made = survey.plan(found)
    outcomes: list[Outcome] = []
    attributes = drained(apply.resources(actor.world, made), outcomes)
    kept.keep(actor.ledger, kept.Kept(made, found.jobs, attributes, actor.by, actor.ledger.clock.stamp()))
    drained(apply.jobs(actor, found.jobs, attributes, wait=False), outcomes)
    for name in ("ci-2", "ci-3", "ci-4", "ci-5"):
        bench.cloud.advance(60)
        later = bench.actor(bench.cloud.line(name))
        last = kept.last(later.ledger)
        assert (last.by, last.plan.digest) == ("ci-1", made.digest)
        progress = drained(apply.jobs(later, last.jobs, last.attributes, wait=False), outcomes)
    assert {one.decision for one in progress.decisions} == {"CACHED"}
    list(publish.publish(later.world.aws, publish.pending(later.world.aws, last.jobs, progress.records)))
    assert not bench.plan().has_changes


def test_without_an_apply_there_is_nothing_to_go_on_with(bench: Bench) -> None:
    with pytest.raises(BunniesError, match="bunnies apply"):
        kept.last(book(bench))


def test_what_is_kept_holds_no_value_of_a_resource(bench: Bench) -> None:
    actor = bench.actor(bench.cloud.line("ci-1"))
    found = survey.survey(actor.world, actor.ledger, bench.wanted)
    key = kept.keep(
        actor.ledger, kept.Kept(survey.plan(found), found.jobs, {}, "me", "2026-01-31T12:00:00.000Z")
    )
    assert (
        key == "bunnies/reprod/plans/2026-01-31T120000.000Z-" + survey.plan(found).digest[7:19] + ".json.gz"
    )
    assert all(change.after is None for change in kept.last(actor.ledger).plan.changes)


# stop, and two that share a job


def test_a_task_that_is_being_started_while_somebody_stops_it_does_nothing(bench: Bench) -> None:
    line = bench.cloud.line("first")
    line.points.faults[Point("RunTask", None, 1)] = Fault.CRASH_BEFORE
    with pytest.raises(Crash):
        bench.apply(line)
    person = bench.actor(bench.cloud.line("person"))
    (outcome,) = control.stop(person, ["job/index"])
    assert "stopped" in outcome.detail
    record = person.ledger.records([person.ledger.newest(["job/index"])["job/index"]])
    claim = next(iter(record.values())).attempts[0].claim
    assert claim is not None
    bench.cloud.line("late").call("ecs", "RunTask", **claim["request"])
    bench.cloud.advance(60)
    assert bench.cloud.shim.fenced == 1
    assert not bench.cloud.shim.effects
    assert ended(bench.apply())["job/index"] == "FAILED"


def test_a_stop_that_was_cut_short_after_the_fence_is_a_stop(bench: Bench) -> None:
    line = bench.cloud.line("first")
    line.points.faults[Point("RunTask", None, 1)] = Fault.CRASH_BEFORE
    with pytest.raises(Crash):
        bench.apply(line)
    person = bench.cloud.line("person")
    person.points.faults[Point("PutObject", None, 2)] = Fault.CRASH_BEFORE
    with pytest.raises(Crash):
        list(control.stop(bench.actor(person), ["job/index"]))
    run = bench.apply()
    assert ended(run)["job/index"] == "FAILED"
    assert run.progress is not None
    (why,) = [one.why for one in run.progress.decisions if one.address == "job/index"]
    assert "stopped by person" in why


@pytest.mark.parametrize(
    ("wanted", "address", "is_so"),
    [
        ("job/align", "job/align/s01.L1", True),
        ("job/align/s0*", "job/align/s01.L1", True),
        ("job/align/s0*", "job/align/s11.L1", False),
        ("job/align/s01.L1", "job/align/s01.L1", True),
        ("job/al", "job/align/s01.L1", False),
    ],
)
def test_addresses_are_matched_by_name_array_or_pattern(wanted: str, address: str, is_so: bool) -> None:
    assert ledger.matches(wanted, address) is is_so


def drained(stream: Any, outcomes: list[Outcome]) -> Any:
    while True:
        try:
            outcomes.append(next(stream))
        except StopIteration as end:
            return end.value
