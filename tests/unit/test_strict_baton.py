"""The baton of the strict AWS: what orders several processes, and what the orders are worth."""

from __future__ import annotations

import functools

import pytest

from tests.aws.strict.baton import Baton


def _work(baton: Baton, done: list[str], name: str, calls: int) -> None:
    for _ in range(calls):
        baton.enter(name)
        done.append(name)
        baton.leave(name)


def _race(seed: int, calls: int = 20) -> list[str]:
    baton, done = Baton(seed), list[str]()
    names = ("a", "b", "c")
    raised = baton.race({name: functools.partial(_work, baton, done, name, calls) for name in names})
    assert raised == {}
    return done


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_gives_one_order(seed: int) -> None:
    assert _race(seed) == _race(seed)


def test_seeds_give_many_orders() -> None:
    orders = {tuple(_race(seed)) for seed in range(20)}
    assert len(orders) == 20
    assert any(order[:20] != ("a",) * 20 for order in orders)


def test_a_process_that_ends_early_keeps_nobody_waiting() -> None:
    baton, done = Baton(1), list[str]()

    def fails() -> None:
        baton.enter("fails")
        baton.leave("fails")
        raise ValueError

    raised = baton.race({"fails": fails, "works": functools.partial(_work, baton, done, "works", 30)})
    assert list(raised) == ["fails"]
    assert len(done) == 30


def test_who_does_not_race_is_not_held_up() -> None:
    Baton(1).enter("stranger")
