"""jsonschema's errors in words for people.

Job: one sentence about what is wrong, one about what to write. Input: a ValidationError. Output: path and text.
Must not: import jsonschema (the error is read, not made).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Path = tuple[str | int, ...]
Error = Any  # jsonschema.exceptions.ValidationError, whose types say "Unset" where no error of ours is
_PLAIN = re.compile(r"[\w./][\w./:=-]*|-[a-zA-Z-]+")
_NAMES = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


def explain(error: Error) -> Iterator[tuple[Path, str]]:
    """Where and what, once for each field that an error is about; a missing field has a path too."""
    path: Path = tuple(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))
        for name in error.instance:
            if name not in known:
                yield (*path, name), unknown(name, known, "field")
    elif error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance and f"{name!r} is a required" in error.message:
                yield (*path, name), f"{name} is missing. Write `{name}: …`."
    elif error.parent is not None and error.parent.validator == "propertyNames":  # pragma: no cover
        return
    else:
        say = _SAYINGS.get(str(error.validator), _anything)
        if "propertyNames" in error.absolute_schema_path:
            path = (*path, error.instance)
        yield path, say(error)


def unknown(name: str, known: Iterable[str], what: str) -> str:
    """`name` is not a `what`; the nearest of `known`, or all where they are few."""
    known = [entry for entry in known if entry]
    article = "an" if what[0] in "aeiouAEIOU" else "a"
    if near := nearest(name, known):
        return f"{name} is not {article} {what}. Did you mean {near}?"
    return f"{name} is not {article} {what}. {there_are(known)}"


def there_are(known: Iterable[str]) -> str:
    """A sentence that lists what there is, the first twenty in alphabetical order."""
    names = sorted(known)
    if not names:
        return "There is none."
    listed = ", ".join(names[:20]) + (f", and {len(names) - 20} more" if len(names) > 20 else "")
    return f"There {'is only' if len(names) == 1 else 'are'} {listed}."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `name` was meant to be, if one is near; case does not count."""
    lower = {entry.lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.65)
    return lower[near[0]] if near else None


def shown(value: Any) -> str:
    """A value as YAML would have it, short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def _a_type(value: Any) -> str:
    if value is None:
        return "empty"
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return next(name for kind, name in names.items() if isinstance(value, kind))


def _type(error: Error) -> str:
    value = error.instance
    wanted = (
        [error.validator_value] if isinstance(error.validator_value, str) else list(error.validator_value)
    )
    names = " or ".join(_NAMES[name] for name in wanted)
    if value is None:
        return f"this is empty, and must be {names}. Write a value, or delete the field."
    said = f"{shown(value)} is {_a_type(value)}, and must be {names}."
    if "string" in wanted and isinstance(value, (bool, int, float)):
        return f'{said} Write it in quotes as text: "{shown(value)}".'
    if wanted == ["array"] and isinstance(value, str):
        return f"{said} Write {_as_list(value)}."
    if wanted == ["boolean"]:
        return f"{said} Write true or false, without quotes."
    if "integer" in wanted and isinstance(value, str):
        return f"{said} Write a number without quotes."
    return f"{said} Write {names}."


def _as_list(value: str) -> str:
    return (
        "[" + ", ".join(part if _PLAIN.fullmatch(part) else json.dumps(part) for part in value.split()) + "]"
    )


def _enum(error: Error) -> str:
    values = [str(value) for value in error.validator_value]
    near = nearest(str(error.instance), values)
    return (
        f"{shown(error.instance)} is not known. Write {near}."
        if near
        else f"{shown(error.instance)} is not known. Write one of {', '.join(values)}."
    )


def _pattern(error: Error) -> str:
    wanted = error.schema.get("patternErrorMessage", f"text that matches {error.validator_value}")
    return f"{shown(error.instance)} is not allowed here. Write {wanted}."


def _minimum(error: Error) -> str:
    return f"{shown(error.instance)} is too small. Write {error.validator_value} or more."


def _maximum(error: Error) -> str:
    return f"{shown(error.instance)} is too large. Write {error.validator_value} or less."


def _too_few(error: Error) -> str:
    return f"this is empty. Write at least {error.validator_value}, or delete the field."


def _anything(error: Error) -> str:
    return f"{shown(error.instance)} does not fit: {error.message}. See docs/manifests.md."


_SAYINGS: dict[str, Callable[[Error], str]] = {
    "type": _type,
    "enum": _enum,
    "pattern": _pattern,
    "minimum": _minimum,
    "maximum": _maximum,
    "minLength": _too_few,
    "minItems": _too_few,
    "minProperties": _too_few,
}
