"""Inputs that are gone, as the job that read them last found them.

Job: let a job whose inputs were removed or archived after it succeeded stay what it is. Input: Jobs with inputs that
S3 does not have. Output: facts as kinds.inputs gives them. Must not: say that an input is there: the jobs stay marked.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler import decide
from reconciler.ledger import Ledger
from reconciler.model import Job, S3Object

Facts = Mapping[str, tuple[S3Object, ...]]


def facts(ledger: Ledger, jobs: Sequence[Job]) -> dict[str, tuple[S3Object, ...]]:
    """Of the inputs that `jobs` miss, those that the last success of their address read, by url."""
    missing = {job.address: job.spec["missing"] for job in jobs if job.spec.get("missing")}
    if not missing:
        return {}
    newest = {at: found[-1].job_id for at, found in ledger.meanings().items() if at in missing}
    records = ledger.records(newest.values())
    found: dict[str, tuple[S3Object, ...]] = {}
    for address, job_id in newest.items():
        best = decide.success(records[job_id])
        for url in missing[address]:
            if best and (objects := _read(best.claim or {}, url)):
                found.setdefault(url, objects)
    return found


def _read(claim: Mapping[str, Any], url: str) -> tuple[S3Object, ...]:
    """What the claim's job spec has of an object, or below a prefix."""
    inputs = ((claim.get("jobspec") or {}).get("inputs") or {}).values()
    objects = [item for given in inputs for item in given["objects"]]
    if url.endswith("/"):
        return tuple(_object(one, one["url"][len(url) :]) for one in objects if one["url"].startswith(url))
    return tuple(_object(one, posixpath.basename(url)) for one in objects if one["url"] == url)[:1]


def _object(one: Mapping[str, Any], path: str) -> S3Object:
    return S3Object(str(one["url"]), str(one.get("etag", "")), int(one["size"]), path)
