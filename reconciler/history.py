"""What the ledger tells of how something came to be.

Job: explain a job: its identity, every attempt, why each was started; trace a file back to its roots. Input: an
address, an s3 url. Output: plain data, JSON as it stands. Must not: need manifests, ECS or an image; change anything.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconciler import decide
from reconciler import retry as retries
from reconciler.canonical import job as canonical
from reconciler.clock import moment
from reconciler.errors import AwsError, BunniesError
from reconciler.ledger import Ledger
from reconciler.model import Attempt, JobRecord
from reconciler.publish import SOURCE

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchBucket"})
_JOB: Final = "bunnies-job"  # metadata that the shim gives to every output
_JOB_ID: Final = re.compile(r"[0-9a-f]{64}")
_MADE: Final = re.compile(r"[^/]+/[^/]+/(?P<start>[0-9a-f]{12})-(?P<number>\d+)/.+", re.DOTALL)


def explain(ledger: Ledger, address: str) -> dict[str, Any]:
    """All that is known of the newest job of one address. Raises BunniesError where it never ran."""
    meanings = ledger.meanings(address).get(address)
    if not meanings:
        several = list(ledger.newest([address]))
        raise BunniesError(f"{address} has several elements: name one, as {', '.join(several[:3])}.")
    job_ids = [meaning.job_id for meaning in meanings]
    job_id = job_ids[-1]
    identity, earlier = _identity(ledger, job_id), _identity(ledger, job_ids[-2]) if job_ids[1:] else None
    record = ledger.records([job_id])[job_id]
    best = decide.success(record)
    return {
        "address": address,
        "job_id": job_id,
        "changed": canonical.explain(earlier, identity, _names(ledger)) if earlier else "",
        "identity": dict(identity),
        "digests": canonical.component_digests(identity),
        "attempts": [_attempt(ledger, job_id, attempt) for attempt in record.attempts],
        "outputs": dict((best.result or {}).get("outputs") or {}) if best else {},
        "earlier": [{"job_id": one.job_id, "at": one.modified} for one in reversed(meanings[:-1])],
    }


def provenance(ledger: Ledger, what: str) -> dict[str, Any]:
    """What made a file (an s3 url, a published one too) or the outputs of an address, up to the roots.

    `jobs` has every job on the way by its id; `file` and each input name the job that made them, or none: a root.
    Raises BunniesError where nothing of this ledger made it.
    """
    jobs: dict[str, Any] = {}
    if what.startswith("s3://"):
        url = what
        made = _maker(ledger, url)
        if made is None:
            metadata = _metadata(ledger, what)
            url = urllib.parse.unquote(metadata.get(SOURCE, "")) or what
            made = _maker(ledger, url) or _named(ledger, metadata.get(_JOB, ""))
        if made is None:
            raise BunniesError(f"no job of {ledger.url(ledger.prefix)} made {what}.")
        _trace(ledger, made, jobs)
        return {"file": what, **({"copy_of": url} if url != what else {}), "made_by": made[0], "jobs": jobs}
    newest = ledger.newest([what])
    if what not in newest:
        raise BunniesError(f"{what} has several elements: name one, as {', '.join(list(newest)[:3])}.")
    best = decide.success(ledger.records([newest[what]])[newest[what]])
    if best is None:
        raise BunniesError(f"{what} has not succeeded: it made nothing. `bunnies explain {what}` says why.")
    _trace(ledger, (newest[what], best.number), jobs)
    return {"address": what, "made_by": newest[what], "jobs": jobs}


# Explaining


def _identity(ledger: Ledger, job_id: str) -> Mapping[str, Any]:
    found = ledger.documents.read(ledger.key("jobs", job_id, "identity.json")) or {}
    components: Mapping[str, Any] = found.get("components", {})
    return components


def _names(ledger: Ledger) -> dict[str, str]:
    """The address of every job id that one means now."""
    return {found[-1].job_id: address for address, found in ledger.meanings().items()}


def _attempt(ledger: Ledger, job_id: str, attempt: Attempt) -> dict[str, Any]:
    claim, result, request = (
        attempt.claim or {},
        attempt.result or {},
        (attempt.claim or {}).get("request") or {},
    )
    ended = result.get("finished_at")
    began = result.get("started_at") or (attempt.started or {}).get("started_at")
    error = result.get("error") or {}
    seconds = (moment(str(ended)) - moment(str(began))).total_seconds() if ended and began else None
    overrides = request.get("overrides") or {}
    return {
        "attempt": attempt.number,
        "status": result.get("status", "open"),
        "class": retries.kind(attempt) if result else None,
        "exit_code": result.get("exit_code"),
        "message": error.get("message", ""),
        "why": claim.get("why", ""),
        "manual": bool(claim.get("manual")),
        "accepted": claim.get("accepted", {}).get("accepted"),
        "by": claim.get("by"),
        "source": claim.get("source") or {},
        "claimed_at": claim.get("claimed_at"),
        "started_at": began,
        "finished_at": ended,
        "seconds": seconds,
        "cpu": overrides.get("cpu"),
        "memory": overrides.get("memory"),
        "task_definition": request.get("taskDefinition"),
        "task": _task(attempt),
        "logs": ledger.attempt_url(job_id, attempt.number),
    }


def _task(attempt: Attempt) -> str | None:
    for document in (attempt.result, attempt.started):
        if arn := ((document or {}).get("task") or {}).get("arn"):
            return str(arn)
    return (attempt.task or {}).get("task_arn")


# Tracing


def _trace(ledger: Ledger, made: tuple[str, int], jobs: dict[str, Any]) -> None:
    """Adds a job and all upstream of it to `jobs`; breadth first, each job once."""
    waiting = [made]
    while waiting:
        level = {job_id: number for job_id, number in waiting if job_id not in jobs}
        records = ledger.records(level)
        waiting = []
        for job_id, number in level.items():
            attempt = _numbered(records[job_id], number)
            # what was accepted was made by the job whose result it took
            accepted = ((attempt.result or {}).get("accepted") or {}) if attempt else {}
            jobs[job_id] = entry = _made(attempt, job_id, number)
            for file in (file for files in entry["inputs"].values() for file in files):
                maker = _maker(ledger, str(file["url"]))
                file["made_by"] = maker[0] if maker else None
                waiting += [maker] if maker else []
            if accepted:
                entry["accepted"] = accepted
                waiting.append((str(accepted["from"]), int(accepted["attempt"])))


def _made(attempt: Attempt | None, job_id: str, number: int) -> dict[str, Any]:
    claim = (attempt.claim if attempt else None) or {}
    result = (attempt.result if attempt else None) or {}
    spec, request = claim.get("jobspec") or {}, claim.get("request") or {}
    overrides = request.get("overrides") or {}
    inputs = {
        name: [
            {key: item[key] for key in ("url", "etag", "size") if key in item} for item in given["objects"]
        ]
        for name, given in (spec.get("inputs") or {}).items()
    }
    program = {name: spec[name] for name in ("entrypoint", "command", "script") if name in spec}
    asked = {name: overrides[name] for name in ("cpu", "memory", "ephemeralStorage") if name in overrides}
    return {
        "address": result.get("address") or claim.get("address"),
        "job_id": job_id,
        "attempt": number,
        "status": result.get("status"),
        "source": claim.get("source") or {},
        "by": claim.get("by"),
        "image": spec.get("image") or {},
        "task_definition": request.get("taskDefinition"),
        **program,
        "environment": spec.get("environment") or {},
        "inputs": inputs,
        "outputs": result.get("outputs") or {},
        "claimed_at": claim.get("claimed_at"),
        "started_at": result.get("started_at"),
        "finished_at": result.get("finished_at"),
        "phases": result.get("phases") or {},
        "resources": {**(spec.get("task") or {}), **asked},
        "used": {name: result[name] for name in ("rusage", "cgroup") if name in result},
        "exit_code": result.get("exit_code"),
        "task": result.get("task") or {},
    }


def _numbered(record: JobRecord, number: int) -> Attempt | None:
    return next((one for one in record.attempts if one.number == number), None)


def _maker(ledger: Ledger, url: str) -> tuple[str, int] | None:
    """The job and attempt whose folder of outputs the url lies in."""
    folder = ledger.url(ledger.key("outputs", ""))
    found = _MADE.fullmatch(url.removeprefix(folder)) if url.startswith(folder) else None
    if found is None:
        return None
    for job_id in _beginning(ledger, found["start"]):
        return job_id, int(found["number"])
    return None


def _beginning(ledger: Ledger, start: str) -> Iterator[str]:
    below = len(ledger.key("jobs", ""))
    for entry in ledger.documents.list(ledger.key("jobs", start)):
        yield entry.key[below:].partition("/")[0]


def _metadata(ledger: Ledger, url: str) -> Mapping[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    try:
        answer = ledger.aws.call("s3", "HeadObject", Bucket=bucket, Key=key)
    except AwsError as error:
        if error.code in _ABSENT:
            raise BunniesError(f"{url} is not there.") from error
        raise
    metadata: Mapping[str, str] = answer.get("Metadata", {})
    return metadata


def _named(ledger: Ledger, job_id: str) -> tuple[str, int] | None:
    """The job of this ledger that a copy made by others still names, and its newest success."""
    best = decide.success(ledger.records([job_id])[job_id]) if _JOB_ID.fullmatch(job_id) else None
    return (job_id, best.number) if best else None
