from __future__ import annotations

import pytest

from reconciler import recover
from reconciler.model import Attempt, JobRecord


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("reprod", "bunnies/reprod"),
        ("a.b c", "bunnies/a_b_c"),
        ("é", "bunnies/_"),
        ("x" * 200, "bunnies/" + "x" * 120),
    ],
)
def test_started_by_keeps_to_the_characters_and_the_length_that_ecs_takes(owner: str, said: str) -> None:
    assert recover.started_by(owner) == said


def test_an_attempt_takes_its_place_among_the_others() -> None:
    record = JobRecord("id", (Attempt(1, claim={}), Attempt(2, claim={})))
    moved = recover.with_attempt(record, Attempt(1, claim={}, result={"status": "lost"}))
    assert [(attempt.number, attempt.result) for attempt in moved.attempts] == [
        (1, {"status": "lost"}),
        (2, None),
    ]
    assert [attempt.number for attempt in recover.with_attempt(moved, Attempt(3, claim={})).attempts] == [
        1,
        2,
        3,
    ]
