"""The job spec as the shim reads it.

Job: turn the bytes at JOBSPEC into frozen data, or say what is wrong with them. Input: bytes. Output: JobSpec.
Must not: touch the world. The schema is schemas/jobspec.schema.json; there is no jsonschema in the layer, so what
the shim relies on is checked here by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from shim.init.errors import ShimError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_URL = re.compile(r"s3://[^/]+/.+", re.DOTALL)
#: The fields of schemas/jobspec.schema.json.
KNOWN = frozenset(
    {"version", "job_id", "attempt", "address", "owner", "region", "attempt_url", "outputs_url", "work_root"}
    | {"entrypoint", "command", "script", "environment", "timeout", "stop_timeout", "task", "image"}
    | {"inputs", "outputs", "restart"}
)


class Object(NamedTuple):
    """One object of an input: `path` relative to input/, `etag` without quotes, "" where it is not pinned."""

    url: str
    path: str
    size: int
    etag: str
    sha256: str


class Input(NamedTuple):
    """`kind` file, folder or list; `path` relative to input/."""

    name: str
    kind: str
    path: str
    objects: tuple[Object, ...]


class Output(NamedTuple):
    """`kind` file, glob or folder; `path` relative to output/."""

    name: str
    kind: str
    path: str
    optional: bool


class Restart(NamedTuple):
    """After one of `exit_codes` (128+n for signal n) the command runs again, `attempts` times in all; `backoff`: seconds."""

    exit_codes: tuple[int, ...]
    attempts: int
    backoff: int


class Attempt(NamedTuple):
    """What is needed to write to the ledger, even where the rest of the spec is wrong."""

    job_id: str
    attempt: int
    address: str
    url: str


class JobSpec(NamedTuple):
    """One attempt of one job; `entrypoint` None means the image's own; either `command` or `script` is None."""

    attempt: Attempt
    region: str
    outputs_url: str
    work_root: str
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None
    script: str | None
    environment: Mapping[str, str]
    timeout: int | None
    restart: Restart | None
    stop_timeout: int
    task: Mapping[str, int]
    image: Mapping[str, str]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]


def parse_attempt(data: bytes) -> Attempt:
    """Only the part that says where results go; ShimError (spec) where even that is missing."""
    body = _load(data)
    attempt = _need(body, "attempt", int)
    return Attempt(_text(body, "job_id"), attempt, _text(body, "address"), _folder_url(body, "attempt_url"))


def parse(data: bytes) -> JobSpec:
    """The whole spec; ShimError (spec) names the first field that is wrong."""
    body = _load(data)
    if body.get("version") != 1:
        raise ShimError(
            "spec", f"the job spec has version {body.get('version')!r}; this shim reads version 1."
        )
    if unknown := sorted(set(body) - KNOWN):
        raise ShimError(
            "spec", f"the job spec has fields that this shim does not know: {', '.join(unknown)}."
        )
    if ("command" in body) == ("script" in body):
        raise ShimError("spec", "the job spec needs either command or script.")
    return JobSpec(
        attempt=parse_attempt(data),
        region=_text(body, "region"),
        outputs_url=_folder_url(body, "outputs_url"),
        work_root=_work_root(body),
        entrypoint=_words(body, "entrypoint"),
        command=_words(body, "command"),
        script=_text(body, "script") if "script" in body else None,
        environment=_environment(body),
        timeout=_need(body, "timeout", int) if "timeout" in body else None,
        restart=_restart(_need(body, "restart", dict)) if "restart" in body else None,
        stop_timeout=_need(body, "stop_timeout", int) if "stop_timeout" in body else 30,
        task=_need(body, "task", dict) if "task" in body else {},
        image=_need(body, "image", dict) if "image" in body else {},
        inputs=tuple(_input(name, value) for name, value in _named(body, "inputs")),
        outputs=tuple(_output(name, value) for name, value in _named(body, "outputs")),
    )


def _load(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError as error:
        raise ShimError("spec", f"the job spec is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise ShimError("spec", "the job spec is not a JSON object.")
    return body


def _need(body: Mapping[str, Any], field: str, kind: type) -> Any:
    value = body.get(field)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ShimError("spec", f"{field} in the job spec must be a {kind.__name__}, not {value!r:.80}.")
    return value


def _text(body: Mapping[str, Any], field: str) -> str:
    value: str = _need(body, field, str)
    if "\0" in value:
        raise ShimError("spec", f"{field} in the job spec holds a NUL character.")
    return value


def _folder_url(body: Mapping[str, Any], field: str) -> str:
    value = _text(body, field)
    if not _URL.fullmatch(value) or not value.endswith("/"):
        raise ShimError("spec", f"{field} in the job spec must be s3://BUCKET/PREFIX/, not {value!r}.")
    return value


def _work_root(body: Mapping[str, Any]) -> str:
    value = _text(body, "work_root")
    if not value.startswith("/"):
        raise ShimError("spec", f"work_root in the job spec must be an absolute path, not {value!r}.")
    return value


def _words(body: Mapping[str, Any], field: str) -> tuple[str, ...] | None:
    if field not in body:
        return None
    words = _need(body, field, list)
    if not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ShimError("spec", f"{field} in the job spec must be a list of strings without NUL characters.")
    return tuple(words)


def _restart(body: Mapping[str, Any]) -> Restart:
    codes = _need(body, "exit_codes", list)
    if not all(isinstance(code, int) and 0 < code < 256 for code in codes):
        raise ShimError("spec", "restart.exit_codes in the job spec must be numbers from 1 to 255.")
    return Restart(tuple(codes), _need(body, "attempts", int), _need(body, "backoff", int))


def _environment(body: Mapping[str, Any]) -> Mapping[str, str]:
    environment: dict[str, Any] = _need(body, "environment", dict)
    for name, value in environment.items():
        if not isinstance(value, str) or "\0" in name + value or "=" in name or not name:
            raise ShimError("spec", f"environment.{name} in the job spec is no valid environment variable.")
    return environment


def _named(body: Mapping[str, Any], field: str) -> list[tuple[str, Mapping[str, Any]]]:
    found: dict[str, Any] = _need(body, field, dict)
    for name, value in found.items():
        if not _NAME.fullmatch(name) or not isinstance(value, dict):
            raise ShimError("spec", f"{field}.{name} in the job spec must be a name and an object.")
    return list(found.items())


def _input(name: str, body: Mapping[str, Any]) -> Input:
    kind = _one_of(body, f"inputs.{name}", ("file", "folder", "list"))
    objects = []
    for value in _need(body, "objects", list):
        if not isinstance(value, dict) or not _URL.fullmatch(str(value.get("url"))):
            raise ShimError("spec", f"inputs.{name}.objects in the job spec must have s3://BUCKET/KEY urls.")
        size: int = _need(value, "size", int)
        etag, sha256 = str(value.get("etag") or ""), str(value.get("sha256") or "")
        objects.append(Object(value["url"], _text(value, "path"), size, etag.strip('"'), sha256))
    if kind == "file" and len(objects) != 1:
        raise ShimError("spec", f"inputs.{name} in the job spec is a file but has {len(objects)} objects.")
    return Input(name, kind, _text(body, "path"), tuple(objects))


def _output(name: str, body: Mapping[str, Any]) -> Output:
    kind = _one_of(body, f"outputs.{name}", ("file", "glob", "folder"))
    path = _text(body, "path")
    if not within(path):
        raise ShimError("spec", f"outputs.{name}.path must stay below output/, not {path!r}.")
    return Output(name, kind, path.rstrip("/"), bool(body.get("optional", False)))


def _one_of(body: Mapping[str, Any], where: str, kinds: tuple[str, ...]) -> str:
    kind = body.get("kind")
    if kind not in kinds:
        raise ShimError(
            "spec", f"{where}.kind in the job spec must be one of {', '.join(kinds)}, not {kind!r}."
        )
    return str(kind)


def within(path: str) -> bool:
    """Whether a relative path stays where it begins: no absolute path, no empty part, no `.` or `..`, no NUL."""
    parts = path.removesuffix("/").split("/")
    return "\0" not in path and all(part not in ("", ".", "..") for part in parts)
