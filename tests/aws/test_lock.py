"""The lock of an owner, on S3's conditions and S3's time. Nothing here proves applies right: the ledger does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta

import moto
import pytest

from reconciler import lock as locks
from reconciler.clock import Clock
from reconciler.errors import BunniesError, LockedError
from reconciler.lock import LEASE, Lock
from tests.aws.strict import Fault, Line, Point, StrictAws

KEY = "bunnies/reprod/lock.json"


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


@pytest.fixture
def cloud() -> Iterator[StrictAws]:
    with moto.mock_aws():
        cloud = StrictAws()
        cloud.line("setup").call("s3", "CreateBucket", Bucket="reprod-bucket")
        yield cloud


def lock_of(line: Line, clock: Clock | None = None) -> Lock:
    count = itertools.count()
    return Lock(line, "reprod-bucket", KEY, clock or line.clock(), lambda: f"{line.name}-{next(count):016d}")


def test_a_lock_that_is_held_is_refused_with_who_holds_it(cloud: StrictAws) -> None:
    lock_of(cloud.line("a")).take("me@here", "apply")
    with pytest.raises(LockedError, match="me@here") as refused:
        lock_of(cloud.line("b")).take("you@there", "apply")
    assert refused.value.exit_code == 5
    assert "bunnies unlock" in str(refused.value)


def test_a_lock_that_was_released_is_free_and_can_be_taken_again_and_again(cloud: StrictAws) -> None:
    for name in "abcb":
        lock_of(cloud.line(name)).take(name, "apply").release()


def test_a_holder_that_was_killed_delays_others_by_the_lease_at_most(cloud: StrictAws) -> None:
    lock_of(cloud.line("a")).take("me@here", "apply")
    began = cloud.timeline.now
    lock_of(cloud.line("b")).take("you@there", "apply", patience=600)
    assert cloud.timeline.now - began <= timedelta(seconds=LEASE + 2)


def test_a_lease_that_is_renewed_is_not_taken(cloud: StrictAws) -> None:
    lease = lock_of(cloud.line("a")).take("me@here", "apply")
    for _ in range(5):
        cloud.advance(50)
        assert lease.renew()
        with pytest.raises(LockedError):
            lock_of(cloud.line("b")).take("you@there", "apply")


def test_who_lost_the_lock_hears_of_it_and_does_not_free_the_next_holders(cloud: StrictAws) -> None:
    lease = lock_of(cloud.line("a")).take("me@here", "apply")
    cloud.advance(LEASE + 1)
    lock_of(cloud.line("b")).take("you@there", "apply")
    assert not lease.renew()
    lease.release()
    with pytest.raises(LockedError, match="you@there"):
        lock_of(cloud.line("c")).take("c", "apply")


def test_of_two_that_find_it_free_one_gets_it(cloud: StrictAws) -> None:
    first, second = lock_of(cloud.line("a")), lock_of(cloud.line("b"))
    seen = first.look()
    assert seen is None
    assert first.write({"nonce": "a"}, None) is not None
    assert second.write({"nonce": "b"}, None) is None


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.BROKEN_AFTER, Fault.UNSENT, Fault.THROTTLED])
def test_a_lost_answer_does_not_lose_the_lock(cloud: StrictAws, fault: Fault) -> None:
    for nth in (1, 2, 3):  # taken, renewed, released
        line = cloud.line("a")
        line.points.faults[Point("PutObject", KEY, nth)] = fault
        lease = lock_of(line).take("me@here", "apply")
        assert lease.renew()
        lease.release()
    lock_of(cloud.line("b")).take("you@there", "apply")


def test_a_machine_whose_clock_is_wrong_does_not_take_a_lock_that_is_held(cloud: StrictAws) -> None:
    lock_of(cloud.line("a")).take("me@here", "apply")
    wrong = Clock(lambda: cloud.timeline.now + timedelta(days=1), cloud.advance, lambda: 0.5)
    with pytest.raises(LockedError):
        lock_of(cloud.line("b"), wrong).take("you@there", "apply")


def test_unlock_says_who_held_it_and_frees_it(cloud: StrictAws) -> None:
    assert lock_of(cloud.line("b")).release() is None
    lock_of(cloud.line("a")).take("me@here", "apply")
    seen = lock_of(cloud.line("b")).release()
    assert seen is not None
    assert seen.document["by"] == "me@here"
    assert lock_of(cloud.line("b")).release() is None


def test_a_lock_that_is_not_json_is_as_old_as_its_object(cloud: StrictAws) -> None:
    cloud.s3.put(f"s3://reprod-bucket/{KEY}", b"what")
    with pytest.raises(LockedError, match="somebody"):
        lock_of(cloud.line("a")).take("me@here", "apply")
    cloud.advance(LEASE)
    lock_of(cloud.line("a")).take("me@here", "apply")


def test_without_a_bucket_bootstrap_is_named(cloud: StrictAws) -> None:
    line = cloud.line("a")
    nowhere = Lock(line, "another", KEY, line.clock(), lambda: "n")
    with pytest.raises(BunniesError, match="bunnies bootstrap"):
        nowhere.take("me@here", "apply")


def test_a_kept_lease_is_released_at_the_end_also_of_a_failure(cloud: StrictAws) -> None:
    lease = lock_of(cloud.line("a")).take("me@here", "apply")
    with pytest.raises(KeyError), locks.kept(lease, lambda _: None):
        raise KeyError
    lock_of(cloud.line("b")).take("you@there", "apply")
