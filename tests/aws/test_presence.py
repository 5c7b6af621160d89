"""CACHED is lazy: outputs that are gone matter when a job that must run needs them, and not before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import moto
import pytest

from reconciler.model import ManifestSet
from tests.aws.strict.bench import BUCKET, LANES, Bench, ended, manifests


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with moto.mock_aws():
        done = Bench(manifests())
        done.apply()
        yield done


def changed(wanted: ManifestSet, address: str) -> ManifestSet:
    """The manifests, one of them with another command."""
    return replace(
        wanted,
        manifests=tuple(
            replace(one, body={**one.body, "command": ["another"]}) if one.address == address else one
            for one in wanted.manifests
        ),
    )


def remove(bench: Bench, under: str) -> None:
    objects = bench.cloud.s3.buckets[BUCKET]
    for key in [key for key in objects if f"/outputs/{under}/" in key]:
        del objects[key]


def decided(bench: Bench) -> dict[str, tuple[str, str]]:
    return {d.address: (str(d.decision), d.why) for d in bench.plan().jobs if d.decision != "CACHED"}


def test_outputs_that_nobody_needs_may_go(bench: Bench) -> None:
    remove(bench, "index")
    remove(bench, "align")
    assert decided(bench) == {}


def test_outputs_that_a_job_needs_that_must_run_are_made_again(bench: Bench) -> None:
    remove(bench, "index")
    bench.wanted = changed(bench.wanted, "job/align/s01.L1")
    found = decided(bench)
    assert found["job/index"] == ("RUN", "outputs missing")
    assert found["job/align/s01.L1"][1].endswith("; after job/index")
    again = "inputs.lanes: job/align/s01.L1 is another now; after job/align"
    assert found["job/merge/s01"] == ("RUN", again)
    assert found["job/stats"] == ("RUN", "inputs.samples: job/merge/s01 is another now; after job/merge")
    run = bench.apply()
    assert set(ended(run).values()) == {"CACHED"}
    assert bench.apply().plan is not None
    assert decided(bench) == {}


def test_what_is_gone_is_made_again_from_the_root_on(bench: Bench) -> None:
    for name in ("index", "align", "merge"):
        remove(bench, name)
    bench.wanted = changed(bench.wanted, "job/stats")
    found = decided(bench)
    assert found.pop("job/stats")[0] == "RUN"
    assert found.pop("job/index") == ("RUN", "outputs missing")
    assert set(found) == {f"job/align/{s}.{lane}" for s, lane in LANES} | {"job/merge/s01", "job/merge/s02"}
    assert all(why.startswith("outputs missing; after") for _, why in found.values())
    run = bench.apply()
    assert set(ended(run).values()) == {"CACHED"}


def test_only_outputs_that_are_needed_are_asked_after_and_by_prefix(bench: Bench) -> None:
    line = bench.cloud.line("planner")
    bench.wanted = changed(bench.wanted, "job/merge/s01")
    bench.plan(line)
    asked = [point.subject for point in line.points.made if "/outputs/" in str(point.subject)]
    assert len(asked) == 2 + 1  # the folders of align's two lanes; merge/s02, which stats needs


def test_a_job_whose_inputs_went_after_it_succeeded_stays_what_it_is(bench: Bench) -> None:
    for name in [key for key in bench.cloud.s3.buckets["reads"] if key.startswith("s01")]:
        del bench.cloud.s3.buckets["reads"][name]
    assert decided(bench) == {}
    assert set(ended(bench.apply()).values()) == {"CACHED"}


def test_a_changed_job_whose_inputs_are_gone_is_blocked_and_says_which(bench: Bench) -> None:
    del bench.cloud.s3.buckets["reads"]["s01.L1.fq"]
    bench.wanted = changed(bench.wanted, "job/align/s01.L1")
    found = decided(bench)
    assert found["job/align/s01.L1"] == ("BLOCKED", "input s3://reads/s01.L1.fq is not there")
    assert found["job/merge/s01"] == ("BLOCKED", "job/align/s01.L1 is blocked")
    assert set(found) == {"job/align/s01.L1", "job/merge/s01", "job/stats"}
