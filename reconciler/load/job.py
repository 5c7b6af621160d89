"""A Job that its schema allows → its normal form.

Job: defaults, durations in seconds, inputs and outputs written out, placeholders checked. Input: a Draft, and the
TaskDefinitions it may name. Output: its body changed in place; mistakes kept. Must not: resolve references.

    inputs       {NAME: {"from": s3 address | ${job…} | list of them, "as": str | None}}
    outputs      {NAME: {"path": str, "optional": bool, "temp": bool, "publish": str | None}}
    command, entrypoint  list of str;  script  str;  one of command and script
    environment  {NAME: str | ${…}};  tags {KEY: str}
    timeout, queueTimeout, deadline, retry.backoff  seconds;  retry.attempts  int, 1 by default
    restart  exitCodes: each written out, ascending; attempts; backoff: seconds
    retry.maxMemory  MiB
    launchType   FARGATE by default, unless capacityProviderStrategy;  workRoot  "/" by default
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from reconciler.canonical import ecs
from reconciler.load import files, normal, placeholders
from reconciler.load.draft import Draft, Problems, Verbatim
from reconciler.load.references import is_reference
from reconciler.schema import words

_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.*", re.DOTALL)


def normalise(draft: Draft, problems: Problems) -> None:
    """Brings the body into the form above."""
    body = draft.body
    _program(draft, problems)
    body["inputs"] = {name: _input(value) for name, value in body.get("inputs", {}).items()}
    body["outputs"] = {name: _output(value) for name, value in body.get("outputs", {}).items()}
    _check_inputs(draft, problems)
    _check_outputs(draft, problems)
    placeholders.check(draft, problems)
    body["environment"] = {
        name: value if isinstance(value, str) else str(value)
        for name, value in body.get("environment", {}).items()
    }
    for name in body["environment"]:
        if name == "JOBSPEC" or name.startswith("BUNNIES_"):
            draft.wrong(problems, f"{name} is the shim's own. Choose another name.", "environment", name)
    for field in ("timeout", "queueTimeout", "deadline"):
        if field in body:
            body[field] = normal.seconds(body[field])
    body["retry"] = {"attempts": 1, **body.get("retry", {})}
    if "backoff" in body["retry"]:
        body["retry"]["backoff"] = normal.seconds(body["retry"]["backoff"])
    if "maxMemory" in body["retry"]:
        _max_memory(draft, problems)
    if "restart" in body:
        body["restart"] = _restart(body["restart"])
    if "generation" in body:
        body["generation"] = str(body["generation"])
    body["workRoot"] = "/" + body.get("workRoot", "/").strip("/")
    body.setdefault("after", [])
    if "launchType" in body and "capacityProviderStrategy" in body:
        draft.wrong(
            problems, "launchType and capacityProviderStrategy exclude each other. Keep one.", "launchType"
        )
    elif "capacityProviderStrategy" not in body:
        body.setdefault("launchType", "FARGATE")
    normal.tags(draft, problems)


def _restart(given: Mapping[str, Any]) -> dict[str, Any]:
    """Ranges of exit codes written out, backoff in seconds."""
    ends = [str(code).partition("-")[::2] for code in given["exitCodes"]]
    codes = {code for first, last in ends for code in range(int(first), int(last or first) + 1)}
    return {
        "exitCodes": sorted(code for code in codes if 0 < code < 256),
        "attempts": given["attempts"],
        "backoff": normal.seconds(given.get("backoff", 0)),
    }


def _program(draft: Draft, problems: Problems) -> None:
    """command or script, and entrypoint."""
    body = draft.body
    if ("command" in body) == ("script" in body) and not draft.left_out & {("command",), ("script",)}:
        place = ("script",) if "script" in body else ()
        draft.wrong(
            problems,
            "a Job has one of command and script. Write `command: [PROGRAM, ARGUMENT]`, or `script: |`.",
            *place,
        )
    for field in ("command", "entrypoint"):
        if field in body:
            body[field] = [word if isinstance(word, str) else str(word) for word in body[field]]
    script = body.get("script")
    if isinstance(script, Mapping):
        path = normal.path_beside(draft, str(script["file"]), "script", "file")
        try:
            body["script"] = Verbatim(files.read(path))
        except files.UnreadableError as error:
            draft.wrong(problems, error.told, "script", "file")
            body["script"] = Verbatim("")
        else:
            if not body["script"]:
                draft.wrong(problems, f"{path} is empty. Write the script.", "script", "file")


def _max_memory(draft: Draft, problems: Problems) -> None:
    """In MiB."""
    given = draft.body["retry"]["maxMemory"]
    size = ecs.size(given, "gb")
    if isinstance(size, str) and size.isdecimal():
        draft.body["retry"]["maxMemory"] = int(size)
    else:
        what = f"{words.shown(given)} is not a size. Write 16 GB, or MiB: 16384."
        draft.wrong(problems, what, "retry", "maxMemory")


def _input(value: Any) -> dict[str, Any]:
    given = value if isinstance(value, dict) else {"from": value}
    return {"from": given["from"], "as": given.get("as")}


def _output(value: Any) -> dict[str, Any]:
    given = value if isinstance(value, dict) else {"path": value}
    flags = {name: given.get(name, False) for name in ("optional", "temp")}
    return {"path": given["path"], **flags, "publish": given.get("publish")}


def _check_inputs(draft: Draft, problems: Problems) -> None:
    taken: dict[str, str] = {}
    for name, wish in draft.body["inputs"].items():
        sources = wish["from"] if isinstance(wish["from"], list) else [wish["from"]]
        for source in sources:
            if not is_reference(source) and not _S3.fullmatch(source):
                draft.wrong(
                    problems,
                    f"{words.shown(source)} is not an S3 address. Write s3://BUCKET/KEY, or ${{job.NAME.outputs.OUTPUT}}.",
                    "inputs",
                    name,
                )
                break
        if place := wish["as"]:
            if what := _outside(place):
                draft.wrong(problems, what, "inputs", name, "as")
            elif not place.endswith("/") and (isinstance(wish["from"], list) or sources[0].endswith("/")):
                draft.wrong(
                    problems,
                    f"several files cannot all be {place}. Write a folder: {place}/",
                    "inputs",
                    name,
                    "as",
                )
                continue
        for path in _landings(name, wish, sources):
            clash = next(
                (
                    other
                    for other in taken
                    if other == path or other.startswith(f"{path}/") or path.startswith(f"{other}/")
                ),
                None,
            )
            if clash is not None and taken[clash] == name:
                draft.wrong(
                    problems,
                    f"two files of {name} both lie at /input/{path}. Make two inputs of them.",
                    "inputs",
                    name,
                )
                break
            if clash is not None:
                draft.wrong(
                    problems,
                    f"the inputs {taken[clash]} and {name} both lie at /input/{min(clash, path, key=len)}. Give one of them another `as:`.",
                    "inputs",
                    name,
                )
                break
            taken[path] = name


def _landings(name: str, wish: Mapping[str, Any], sources: list[str]) -> Iterator[str]:
    """Where the single objects of an input will lie, relative to /input, as far as the manifest shows it."""
    place = wish["as"] or f"{name}/"
    for source in sources:
        if not is_reference(source) and not source.endswith("/"):
            path = place + source.rpartition("/")[2] if place.endswith("/") else place
            yield str(PurePosixPath(path))


def _check_outputs(draft: Draft, problems: Problems) -> None:
    taken: dict[str, str] = {}
    for name, output in draft.body["outputs"].items():
        path, publish = output["path"], output["publish"]
        if what := _outside(path):
            draft.wrong(problems, what, "outputs", name)
        first = taken.setdefault(str(PurePosixPath(path)), name)
        if first != name:
            draft.wrong(
                problems,
                f"the outputs {first} and {name} are both {path}. Give one another path.",
                "outputs",
                name,
            )
        many = path.endswith("/") or any(sign in path for sign in "*?[")
        if publish and not _S3.fullmatch(publish):
            draft.wrong(
                problems,
                f"{words.shown(publish)} is not an S3 address. Write s3://BUCKET/KEY.",
                "outputs",
                name,
                "publish",
            )
        elif publish and many and not publish.endswith("/"):
            draft.wrong(
                problems,
                f"{path} may be several files. Publish them below a prefix: {publish}/",
                "outputs",
                name,
                "publish",
            )


def _outside(path: str) -> str | None:
    if path.startswith("/"):
        return f"{path} is absolute. Write it without the / in front: it lies below the job's own folder."
    if ".." in PurePosixPath(path).parts or path.strip("/") in ("", "."):
        return f"{path} leads out of the job's folder. Write a path below it."
    return None
