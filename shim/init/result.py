"""The documents that the shim writes to the ledger: started.json and result.json.

Job: build them, and write each at most once. Input: a JobSpec, what happened. Output: JSON.
Must not: overwrite, or reference outputs of an attempt that is not ours. Their shape is schemas/result.schema.json.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from shim.init import s3
from shim.init.errors import ShimError
from shim.init.spec import Attempt, JobSpec, Object

#: The status of result.json, and why where it is not success.
Verdict = tuple[str, ShimError | None]


def now() -> str:
    """The time as the ledger has it: UTC, milliseconds, `Z`."""
    return _moment(datetime.now(UTC))


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def started(attempt: Attempt, nonce: str, task: Mapping[str, str], at: str) -> dict[str, Any]:
    """started.json: the fence. Who writes it first runs the attempt."""
    return {**_head(attempt, nonce), "started_at": at, "task": dict(task)}


def closed(attempt: Attempt, nonce: str, verdict: Verdict, exit_code: int | None) -> dict[str, Any]:
    """The least that result.json must hold; the caller adds what it knows beyond."""
    status, error = verdict
    problem = None if error is None else {"class": error.kind, "message": str(error)}
    head = _head(attempt, nonce)
    return {**head, "status": status, "exit_code": exit_code, "error": problem, "finished_at": now()}


def inputs(spec: JobSpec, digests: bytes) -> dict[str, list[dict[str, Any]]]:
    """The entries of result.json's inputs; `digests` as download.download returns them, empty where nothing came."""
    found: dict[str, list[dict[str, Any]]] = {}
    at = 0
    for given in spec.inputs:
        found[given.name] = []
        for item in given.objects:
            digest = digests[at : at + 32]
            at += 32
            known = digest.hex() if any(digest) else item.sha256
            found[given.name].append(_entry(given.kind, given.path, item._replace(sha256=known)))
    return found


def runs(done: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The entries of result.json's runs, from what runs.command returns."""
    return [
        {
            "started_at": _moment(datetime.fromtimestamp(run["at"], UTC)),
            "exit_code": None if run["failure"] else run["exit_code"],
            "signal": run["signal"] or None,
            "seconds": round(run["seconds"], 3),
            "oom_killed": run["oom_killed"],
        }
        for run in done
    ]


def write_once(store: s3.Store, url: str, document: Mapping[str, Any]) -> None:
    """A conditional write; ShimError (fenced) where another's document is there already."""
    there = store.create(url, json.dumps(document, indent=1, sort_keys=True).encode())
    if there is None:
        return
    try:
        nonce = json.loads(there).get("nonce")
    except (ValueError, AttributeError):
        nonce = None
    if nonce != document["nonce"]:
        raise ShimError(
            "fenced", f"{url} is there already, written by another: this attempt is not ours to run."
        )


def _head(attempt: Attempt, nonce: str) -> dict[str, Any]:
    return {
        "version": 1,
        "nonce": nonce,
        "written_by": "shim",
        "job_id": attempt.job_id,
        "attempt": attempt.attempt,
        "address": attempt.address,
    }


def _entry(kind: str, folder: str, item: Object) -> dict[str, Any]:
    path = posixpath.relpath(item.path, folder or ".") if kind == "folder" else posixpath.basename(item.path)
    entry = {"url": item.url, "path": path, "size": item.size}
    return entry | {name: value for name in ("etag", "sha256") if (value := getattr(item, name))}
