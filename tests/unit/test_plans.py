"""A plan as JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import plans
from reconciler.canonical import Keyed
from reconciler.errors import BunniesError
from reconciler.model import (
    UNKNOWN,
    Action,
    Change,
    Copy,
    Decision,
    FieldDiff,
    Job,
    JobDecision,
    Plan,
    Ref,
    Resource,
    Source,
)

texts = st.text(max_size=5) | st.just("!")
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | texts
    | st.just(UNKNOWN)
    | st.builds(Ref, texts, texts)
    | st.builds(FieldDiff, texts, texts, texts)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts, inner, max_size=3)
        | st.dictionaries(texts, inner, max_size=3).map(Keyed)
        | st.dictionaries(st.integers(), inner, max_size=2)
    ),
    max_leaves=12,
)
bodies = st.dictionaries(texts, values, max_size=3)
sources = st.none() | st.builds(Source, texts, st.integers(1), st.integers(1))
resources = st.none() | st.builds(Resource, texts, bodies, st.lists(texts).map(tuple), bodies, texts)
fields = st.lists(st.builds(FieldDiff, texts, values, values), max_size=2).map(tuple)
changes = st.builds(Change, texts, st.sampled_from(Action), resources, resources, fields, texts, sources)
jobs = st.builds(Job, texts, texts, bodies, bodies, st.lists(texts).map(tuple), sources)
decisions = st.builds(JobDecision, jobs, st.sampled_from(Decision), texts, st.integers(1))
copies = st.builds(Copy, texts, texts, texts, st.integers(0), st.none() | texts)


def several(what: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(what, max_size=2).map(tuple)


some = st.builds(Plan, texts, several(changes), several(decisions), texts, several(copies), several(texts))


def types(value: Any) -> Any:
    """The types in a value, which == does not look at: 1 is True, and Keyed a dict."""
    if isinstance(value, dict):
        return type(value), [(types(key), types(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [types(item) for item in value]
    return type(value)


@given(values)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    again = plans.decoded(json.loads(json.dumps(plans.encoded(value))))
    assert again == value
    assert types(again) == types(value)


@given(some)
def test_a_plan_comes_back_as_it_was(plan: Plan) -> None:
    again = plans.from_json(json.loads(json.dumps(plans.to_json(plan))))
    assert again == plan
    assert [change.source for change in again.changes] == [change.source for change in plan.changes]


@given(changes)
def test_a_plan_without_values_has_none(change: Change) -> None:
    (bare,) = plans.without_values(Plan("o", (change,), (), "d")).changes
    assert bare.before is bare.after is None
    assert [(f.path, f.before, f.after) for f in bare.fields] == [(f.path, None, None) for f in change.fields]


@pytest.mark.parametrize(
    "document", [{}, {"version": 2}, {"version": 1, "plan": []}, {"version": 1, "plan": {"!": "Plan"}}]
)
def test_what_is_no_plan_is_refused_in_words(document: dict[str, Any]) -> None:
    with pytest.raises(BunniesError, match="Plan again"):
        plans.from_json(document)


def test_what_a_newer_version_wrote_is_refused() -> None:
    with pytest.raises(BunniesError, match="newer"):
        plans.decoded({"!": "Later", "items": []})


def test_what_a_plan_cannot_hold_is_a_defect() -> None:
    with pytest.raises(TypeError):
        plans.encoded(object())
