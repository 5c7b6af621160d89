"""What makes two runs the same work: the identity of a job, its digest, and the words for what changed in it.

Job: turn what a run would do into canonical data and 64 hex digits. Input: the container of the task definition,
the body of the Job manifest, its inputs as `kinds.inputs` laid them out. Output: plain data and text.
Must not: look at what may change without running again (key, cpu, memory, retry, timeout, tags, publish), nor read
anything. Adding a component changes every job_id unless its absence is None: None is left out of the digest.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from reconciler import canonical, model, redact

# The version of schemas/jobspec.schema.json: another contract may run the same words differently.
SHIM_CONTRACT: Final = 1

_SHOWN_DIFFERENCES: Final = 3
_SHOWN_CHARACTERS: Final = 32
_ABSENT: Final = object()


def identity(
    image: str,
    architecture: str,
    container: Mapping[str, Any],
    body: Mapping[str, Any],
    inputs: Mapping[str, Any],
) -> Mapping[str, Any]:
    """The components of a job's identity (docs/jobs.md), as plain data.

    `image` is the digest of the user's image for the platform that runs, `architecture` ECS's cpuArchitecture,
    `container` its canonical definition, `body` a Job manifest in normal form, and `inputs` maps a name to
    `{"kind", "place", "content": [{"place", "etag", "size"} | {"job", "output"}]}`, places absolute.
    """
    root = str(body.get("workRoot") or "/").rstrip("/")
    environment = named(container.get("environment"), "value") | dict(body.get("environment") or {})
    files = [
        item["value"] if isinstance(item, Mapping) else item
        for item in container.get("environmentFiles") or ()
    ]
    outputs = body.get("outputs") or {}
    components = {
        "image": image,
        "shim": SHIM_CONTRACT,
        "entrypoint": body.get("entrypoint"),
        "command": body.get("command"),
        "script": body.get("script"),
        "environment": environment,
        "secrets": named(container.get("secrets"), "valueFrom"),
        "environmentFiles": files,
        "user": container.get("user"),
        "workingDirectory": container.get("workingDirectory"),
        "architecture": architecture,
        "inputs": inputs,
        "outputs": {name: f"{root}/output/{output['path']}" for name, output in outputs.items()},
        # What may be missing decides whether a run has failed. None where nothing may: it then does not count.
        "optional": sorted(name for name, output in outputs.items() if output.get("optional")) or None,
        "generation": body.get("generation"),
    }
    plain: dict[str, Any] = _plain(components)
    return plain


def named(entries: Mapping[str, Any] | None, value: str) -> dict[str, Any]:
    """Name → value of a canonical set of pairs; an item with further fields gives its field `value`."""
    return {
        name: entry.get(value) if isinstance(entry, Mapping) else entry
        for name, entry in (entries or {}).items()
    }


def job_id(identity: Mapping[str, Any]) -> str:
    """SHA-256 of the identity's canonical JSON, 64 hex digits."""
    return _digest({name: value for name, value in identity.items() if value is not None})


def component_digests(identity: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each component that is there, by its name."""
    return {name: _digest(value) for name, value in identity.items() if value is not None}


def without_secrets(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity as the ledger holds it: a value whose name looks secret is known by the start of its digest.

    The digest tells one value from another, so that a rerun explains itself. Applied again it changes nothing.
    """
    environment = identity.get("environment")
    if not isinstance(environment, Mapping):
        return dict(identity)
    sealed = {
        name: _sealed(value) if value is not None and redact.looks_secret(name) else value
        for name, value in environment.items()
    }
    return {**identity, "environment": sealed}


def _sealed(value: Any) -> str:
    text = str(value)
    return text if re.fullmatch(r"hidden:[0-9a-f]{12}", text) else f"hidden:{_digest(text)[:12]}"


def explain(
    before: Mapping[str, Any], after: Mapping[str, Any], names: Mapping[str, str] = model.NOTHING
) -> str:
    """What differs, as `environment.THREADS "4" → "8"`: the first three differences; empty where nothing does.

    `names` gives the address of a job id: of an input that another job makes that says more than two ids.
    """
    before, after = without_secrets(before), without_secrets(after)
    old, new = dict(_leaves(before)), dict(_leaves(after))
    paths = [
        path for path in sorted(old.keys() | new.keys()) if old.get(path, _ABSENT) != new.get(path, _ABSENT)
    ]
    if not paths:
        # Two things leave no path behind: the order of an input's objects, and [] in place of nothing.
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        return "; ".join(_unlisted(name, before.get(name), after.get(name)) for name in changed)
    shown = [
        _upstream(path, old, new, names) or f"{path} {_arrow(old.get(path, _ABSENT), new.get(path, _ABSENT))}"
        for path in paths[:_SHOWN_DIFFERENCES]
    ]
    more = len(paths) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _upstream(path: str, old: Mapping[str, Any], new: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """`inputs.reference: job/index is another now`, where the path is a job id whose address is known."""
    if not (path.startswith("inputs.") and path.endswith(".job") and path in old and path in new):
        return ""
    name = path.split(".content", 1)[0]
    return f"{name}: {names[new[path]]} is another now" if new[path] in names else ""


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical.text(value).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """`value` as JSON has it; a Ref to something that is not a job stands for itself by its written form."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, model.Ref) else value


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar, empty list and empty mapping with its path; an object of an input is named by its place."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for index, item in enumerate(value):
            if isinstance(item, Mapping) and "place" in item:
                rest = {name: part for name, part in item.items() if name != "place"}
                yield from _leaves(rest, f"{path}[{item['place']}]")
            else:
                yield from _leaves(item, f"{path}[{index}]")
    elif value is not None and value not in ({}, []):
        yield path, value


def _unlisted(name: str, before: Any, after: Any) -> str:
    if before and after:
        return f"order in {name}"
    return f"{name} {_arrow(_ABSENT if before is None else before, _ABSENT if after is None else after)}"


def _arrow(before: Any, after: Any) -> str:
    """`"4" → "8"`; long texts are cut to where they begin to differ."""
    start = 0
    if isinstance(before, str) and isinstance(after, str):
        longest = max(len(before), len(after))
        if longest > _SHOWN_CHARACTERS:
            same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
            start = max(0, sum(1 for _ in same) - _SHOWN_CHARACTERS // 4)
    return f"{_short(before, start)} → {_short(after, start)}"


def _short(value: Any, start: int) -> str:
    if value is _ABSENT:
        return "(none)"
    if not isinstance(value, str):
        return json.dumps(value)
    text = value[start:]
    if len(text) > _SHOWN_CHARACTERS:
        text = text[:_SHOWN_CHARACTERS] + "…"
    return json.dumps(("…" if start else "") + text, ensure_ascii=False)
