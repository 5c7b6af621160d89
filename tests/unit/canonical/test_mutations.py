"""Over manifests made from botocore's shapes: one form, no lost field, and one change for one change."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import diff
from reconciler.canonical import Keyed, ecr, ecs
from tests import shapes

MANY = settings(max_examples=shapes.EXAMPLES or 300, deadline=None)


def mutated(value: Any) -> Any:
    """Another value of the same type; a list is a leaf too."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [*value, "more"] if isinstance(value, list) else f"{value}'"


def with_leaf(spec: dict[str, Any], keys: tuple[str, ...], change: Any) -> dict[str, Any]:
    made = copy.deepcopy(spec)
    holders = [made]
    for key in keys[:-1]:
        holders.append(holders[-1][key])
    if (after := change(holders[-1][keys[-1]])) is not None:
        holders[-1][keys[-1]] = after
        return made
    for holder, key in zip(reversed(holders), reversed(keys), strict=True):
        del holder[key]
        if holder:  # nothing empty stays behind
            break
    return made


def one_change(spec: dict[str, Any], draw: st.DataObject) -> None:
    leaves = [(path, keys) for path, keys, value in diff.leaves(spec) if not isinstance(value, dict)]
    path, keys = draw.draw(st.sampled_from(leaves))
    for change in (mutated, lambda _: None):
        found = diff.compare(spec, with_leaf(spec, keys, change))
        assert [field.path for field in found] == [path]


@MANY
@given(shapes.task_definitions(), st.data())
def test_one_field_of_a_task_definition_that_changes_is_one_change(
    body: dict[str, Any], draw: st.DataObject
) -> None:
    one_change(ecs.canonical(body), draw)


@MANY
@given(shapes.repositories(), st.data())
def test_one_field_of_a_repository_that_changes_is_one_change(
    body: dict[str, Any], draw: st.DataObject
) -> None:
    one_change(ecr.repository(body), draw)


@MANY
@given(shapes.task_definitions())
def test_the_form_of_any_task_definition_is_one_and_goes_there_and_back(body: dict[str, Any]) -> None:
    spec = ecs.canonical(body)
    assert ecs.canonical(spec) == spec
    assert ecs.canonical(ecs.to_api(spec)) == spec


@MANY
@given(shapes.repositories())
def test_the_form_of_any_repository_is_one(body: dict[str, Any]) -> None:
    assert ecr.repository(ecr.repository(body)) == ecr.repository(body)


ORDERED = ("command", "entryPoint", "links", "dnsServers", "dnsSearchDomains", "environmentFiles")


@MANY
@given(shapes.task_definitions(), st.randoms(use_true_random=False))
def test_the_order_of_no_set_matters(body: dict[str, Any], chance: Any) -> None:
    def shuffled(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: shuffled(item, name) for name, item in value.items()}
        if isinstance(value, list):
            items = [shuffled(item) for item in value]
            if key in ecs.SETS or key in ecs.PAIRS or key in ecs.PLAIN_SETS:
                chance.shuffle(items)
            return items
        return value

    assert diff.compare(ecs.canonical(body), ecs.canonical(shuffled(body))) == ()


@MANY
@given(shapes.task_definitions(), st.sampled_from(ORDERED), st.permutations(["x", "y", "z"]))
def test_the_order_of_what_is_ordered_always_does(body: dict[str, Any], field: str, order: list[str]) -> None:
    first = body["containerDefinitions"][0]
    items = [{"type": "s3", "value": word} for word in order] if field == "environmentFiles" else order
    straight = sorted(items, key=str)
    one, other = (
        ecs.canonical({**body, "containerDefinitions": [{**first, field: some}]})
        for some in (straight, items)
    )
    assert (diff.compare(one, other) == ()) is (order == ["x", "y", "z"])


def test_sets_of_the_strategies_are_those_of_the_form() -> None:
    spec = ecs.canonical({"containerDefinitions": [{"name": "a", "ulimits": [{"name": "core"}]}]})
    assert isinstance(spec["containerDefinitions"]["a"]["ulimits"], Keyed)
