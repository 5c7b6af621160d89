"""The diff of two canonical specs."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler import diff
from reconciler.canonical import Keyed
from reconciler.model import UNKNOWN, FieldDiff, Ref


def container(**fields: Any) -> dict[str, Any]:
    return {"containerDefinitions": Keyed({"aligner": {"name": "aligner", **fields}})}


def test_a_path_names_the_item_of_a_set_by_its_key() -> None:
    before = container(environment=Keyed({"THREADS": "4", "SAME": "x"}))
    after = container(environment=Keyed({"THREADS": "8", "SAME": "x"}))
    assert diff.compare(before, after) == (
        FieldDiff("containerDefinitions[aligner].environment[THREADS]", "4", "8"),
    )
    (field,) = diff.compare(before, after)
    assert (field.before, field.after) == ("4", "8")


def test_a_set_that_was_not_there_shows_each_of_its_items() -> None:
    found = diff.compare(container(), container(environment=Keyed({"A": "1", "B": "2"})))
    assert [(field.path, field.before, field.after) for field in found] == [
        ("containerDefinitions[aligner].environment[A]", None, "1"),
        ("containerDefinitions[aligner].environment[B]", None, "2"),
    ]


def test_an_absent_set_is_an_empty_one() -> None:
    assert diff.compare({"tags": Keyed()}, {}) == ()


def test_a_list_is_shown_whole() -> None:
    (field,) = diff.compare(container(command=["a", "b"]), container(command=["a", "c"]))
    assert (field.path, field.before, field.after) == (
        "containerDefinitions[aligner].command",
        ["a", "b"],
        ["a", "c"],
    )


def test_everything_of_a_new_resource_is_new() -> None:
    found = diff.compare(None, {"b": {"d": 1, "c": False}, "a": []})
    assert [(field.path, field.before, field.after) for field in found] == [
        ("a", None, []),
        ("b.c", None, False),
        ("b.d", None, 1),
    ]


def test_what_is_not_known_yet_differs_from_everything() -> None:
    assert len(diff.compare({"image": UNKNOWN}, {"image": UNKNOWN})) == 1
    assert len(diff.compare({"command": [UNKNOWN]}, {"command": [UNKNOWN]})) == 1


def test_references_are_equal_where_they_name_the_same() -> None:
    one = {"image": Ref("image/analytics", "uri")}
    assert diff.compare(one, {"image": Ref("image/analytics", "uri")}) == ()
    assert len(diff.compare(one, {"image": Ref("image/analytics", "digest")})) == 1


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (0, False), (1, 1.0), ("1", 1), (None, ""), ([], None)]
)
def test_types_count(one: Any, other: Any) -> None:
    assert len(diff.compare({"x": one}, {"x": other})) == 1
    assert len(diff.compare({"x": [one]}, {"x": [other]})) == 1
