"""A Plan as JSON, and back: every type of the model, Refs, UNKNOWN and Keyed as they were.

Job: let a plan outlive the process that made it. Input: Plan, or any value that a Plan can hold. Output: plain JSON
data; from it the equal value. Must not: touch the world, or compare.

Plain values stand for themselves. What JSON has no form for is an object with the key `!`, which names it:
`{"!": "Ref", "address": …}`, `{"!": "unknown"}`, `{"!": "Keyed", "items": {…}}`, `{"!": "tuple", "items": […]}`. A
mapping that has such a key itself is `{"!": "map", "items": [[key, value], …]}`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from reconciler import model
from reconciler.canonical import Keyed
from reconciler.errors import BunniesError

VERSION: Final = 1

_MARK: Final = "!"
_CLASSES: Final[dict[str, Any]] = {
    one.__name__: one
    for one in (
        model.Change,
        model.Copy,
        model.FieldDiff,
        model.Job,
        model.JobDecision,
        model.Plan,
        model.Ref,
        model.Resource,
        model.S3Object,
        model.Source,
    )
}
_ENUMS: Final[dict[str, Any]] = {one.__name__: one for one in (model.Action, model.Decision, model.Status)}


def to_json(plan: model.Plan) -> dict[str, Any]:
    """The plan as JSON data, its version beside it."""
    return {"version": VERSION, "plan": encoded(plan)}


def from_json(document: Mapping[str, Any]) -> model.Plan:
    """The plan of such a document. Raises BunniesError where it is none, or of another version."""
    if document.get("version") != VERSION:
        raise BunniesError(
            f"the plan is of version {document.get('version')}, this bunnies reads version {VERSION}. Plan again."
        )
    plan = decoded(document.get("plan"))
    if not isinstance(plan, model.Plan):
        raise BunniesError("this is no plan. Plan again.")
    return plan


def without_values(plan: model.Plan) -> model.Plan:
    """The plan without any value of a resource: what changes and why, never what is in it."""
    changes = tuple(
        dataclasses.replace(
            change,
            before=None,
            after=None,
            fields=tuple(model.FieldDiff(field.path, None, None) for field in change.fields),
        )
        for change in plan.changes
    )
    return dataclasses.replace(plan, changes=changes)


def encoded(value: Any) -> Any:
    """A value that a plan can hold, as JSON data. Raises TypeError for any other."""
    name = type(value).__name__
    if name in _ENUMS:
        return {_MARK: name, "value": value.value}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if value is model.UNKNOWN:
        return {_MARK: "unknown"}
    if name in _CLASSES:
        fields = dataclasses.fields(value)
        return {_MARK: name} | {field.name: encoded(getattr(value, field.name)) for field in fields}
    return _container(value)


def _container(value: Any) -> Any:
    if isinstance(value, list | tuple):
        items = [encoded(item) for item in value]
        return items if isinstance(value, list) else {_MARK: "tuple", "items": items}
    if not isinstance(value, Mapping):
        raise TypeError(f"a plan cannot hold {type(value).__name__}")
    if isinstance(value, Keyed):
        return {_MARK: "Keyed", "items": {key: encoded(item) for key, item in value.items()}}
    if _MARK in value or not all(isinstance(key, str) for key in value):
        return {_MARK: "map", "items": [[encoded(key), encoded(item)] for key, item in value.items()]}
    return {key: encoded(item) for key, item in value.items()}


def decoded(data: Any) -> Any:
    """The value that `encoded` made this data of. Raises BunniesError for data that it did not make."""
    if isinstance(data, list):
        return [decoded(item) for item in data]
    if not isinstance(data, dict):
        return data
    name = data.get(_MARK)
    if name is None:
        return {key: decoded(item) for key, item in data.items()}
    try:
        return _marked(str(name), data)
    except (KeyError, TypeError, ValueError) as error:
        raise BunniesError(f"the plan is damaged at a {name}: {error}. Plan again.") from error


def _marked(name: str, data: Mapping[str, Any]) -> Any:
    if name == "unknown":
        return model.UNKNOWN
    if name in _ENUMS:
        return _ENUMS[name](data["value"])
    if name in _CLASSES:
        return _CLASSES[name](**{key: decoded(item) for key, item in data.items() if key != _MARK})
    items = data["items"]
    if name == "tuple":
        return tuple(decoded(item) for item in items)
    if name == "Keyed":
        return Keyed({key: decoded(item) for key, item in items.items()})
    if name == "map":
        return {decoded(key): decoded(item) for key, item in items}
    raise ValueError("a newer bunnies wrote it")
