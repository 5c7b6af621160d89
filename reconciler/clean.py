"""Outputs that nobody wants any more: of jobs that no manifest means, and temporary ones that served their purpose.

Job: find and remove them. Input: Jobs, decisions, records, the listing of outputs/. Output: Leftovers, a count.
Must not: touch the ledger, or the outputs of a job that is wanted but for those marked `temp: true`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconciler import decide, errors
from reconciler.clock import moment
from reconciler.decide import Records
from reconciler.ledger import Ledger
from reconciler.model import Decision, Job, JobDecision

_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB")
_AT_ONCE: Final = 1000  # keys that DeleteObjects takes


@dataclass(frozen=True, slots=True)
class Leftover:
    """One file, and why nobody wants it."""

    key: str
    size: int
    why: str


def find(
    ledger: Ledger, decisions: Sequence[JobDecision], records: Records, older_than: float = 0
) -> tuple[Leftover, ...]:
    """What may go, by key; `older_than` is in seconds. Reads the listing of outputs/ and the ledger.

    Left alone: what a wanted job made or took over, what anything that runs reads or writes.
    """
    folder = ledger.key("outputs", "")
    listed = list(ledger.documents.list(folder))
    wanted = {one.job.job_id[:12] for one in decisions}
    temporary = _temporary(decisions, records)
    busy, used = _busy(ledger, wanted, records)
    now = ledger.clock.now()
    found = []
    for entry in listed:
        made_by = entry.key[len(folder) :].split("/")[2].partition("-")[0]
        url = ledger.url(entry.key)
        why = _why(made_by in wanted, url in temporary)
        young = older_than and (now - moment(entry.modified)).total_seconds() < older_than
        if why and not young and made_by not in busy and (url in temporary or url not in used):
            found.append(Leftover(entry.key, entry.size, why))
    return tuple(found)


def remove(ledger: Ledger, leftovers: Iterable[Leftover]) -> int:
    """Removes them; how many went. Raises BunniesError where S3 kept one."""
    keys = [one.key for one in leftovers]
    outputs = ledger.key("outputs", "")
    if any(not key.startswith(outputs) for key in keys):
        raise AssertionError("only outputs are ever removed")
    for start in range(0, len(keys), _AT_ONCE):
        objects = [{"Key": key} for key in keys[start : start + _AT_ONCE]]
        answer = ledger.aws.call(
            "s3", "DeleteObjects", Bucket=ledger.bucket, Delete={"Objects": objects, "Quiet": True}
        )
        if kept := answer.get("Errors"):
            raise errors.BunniesError(
                f"{kept[0].get('Key')} and {len(kept) - 1} more could not be removed: {kept[0].get('Message')}."
            )
    return len(keys)


def _why(wanted: bool, temporary: bool) -> str:
    if not wanted:
        return "no manifest wants its job"
    return "temporary, and all that need it have succeeded" if temporary else ""


def _temporary(decisions: Sequence[JobDecision], records: Records) -> set[str]:
    """The urls of temp outputs whose consumers have all succeeded; of what has no consumer, none."""
    consumers: Mapping[tuple[str, str], list[JobDecision]] = defaultdict(list)
    for one in decisions:
        for part in _parts(one.job):
            consumers[part["job_id"], part["output"]].append(one)
    urls: set[str] = set()
    for one in decisions:
        result = (best.result or {}) if (best := decide.success(records.get(one.job.job_id))) else {}
        for name in one.job.spec.get("temp") or ():
            waiting = consumers[one.job.job_id, name]
            if waiting and all(each.decision is Decision.CACHED for each in waiting):
                urls |= {str(file["url"]) for file in (result.get("outputs") or {}).get(name, ())}
    return urls


def _parts(job: Job) -> Iterable[Mapping[str, Any]]:
    for given in (job.spec.get("upstream") or {}).values():
        yield from (part for part in given["from"] if "job_id" in part)


def _busy(ledger: Ledger, wanted: set[str], records: Records) -> tuple[set[str], set[str]]:
    """Beginnings of job ids that run although nobody wants them, and urls that wanted or running jobs stand on."""
    ids = {meaning.job_id for found in ledger.meanings().values() for meaning in found}
    others = ledger.records(job_id for job_id in ids if job_id[:12] not in wanted)
    busy: set[str] = set()
    used: set[str] = set()
    for job_id, record in others.items():
        if record.last is not None and record.last.result is None:
            busy.add(job_id[:12])
            used |= _inputs(record.last.claim or {})
    for record in records.values():
        if best := decide.success(record):
            files = ((best.result or {}).get("outputs") or {}).values()
            used |= {str(file["url"]) for listed in files for file in listed}
        if record.last is not None and record.last.result is None:
            used |= _inputs(record.last.claim or {})
    return busy, used


def _inputs(claim: Mapping[str, Any]) -> set[str]:
    inputs = ((claim.get("jobspec") or {}).get("inputs") or {}).values()
    return {str(item["url"]) for given in inputs for item in given["objects"]}


def total(leftovers: Sequence[Leftover]) -> str:
    """`12 files, 3.4 GB`."""
    size, unit = float(sum(one.size for one in leftovers)), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{len(leftovers)} files, {size:.3g} {_UNITS[unit]}"
