"""Which outputs of succeeded jobs are gone, of those that a job that starts needs.

Job: make CACHED lazy: nobody asks after outputs that nobody needs. Input: Jobs, records, a way to decide.
Output: the jobs that must run again, and decisions that know of them. Must not: read or remove an output.

S3 is listed by prefix, not asked object by object: an attempt's folder, or all of `outputs/NAME/` where several
elements of one array are asked after.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from reconciler import aws, decide
from reconciler.decide import Gone, Records
from reconciler.ledger import Ledger
from reconciler.model import Decision, Job, JobDecision

_TOGETHER: Final = 3  # from so many attempts of one array on, one listing of the array is cheaper

Deciding = Callable[[Gone], tuple[JobDecision, ...]]
"""`decide.decide` of everything but what is gone."""


def decisions(ledger: Ledger, records: Records, deciding: Deciding) -> tuple[tuple[JobDecision, ...], Gone]:
    """The decisions, and what is gone: asked of S3 for each job that starts, and again for what starts because of it."""
    gone: dict[str, int] = {}
    asked: set[tuple[str, str]] = set()
    while True:
        found = deciding(gone)
        cached = {one.job.job_id for one in found if one.decision is Decision.CACHED}
        starting = [one.job for one in found if one.decision in (Decision.RUN, Decision.RETRY)]
        needed = {need for job in starting for need in _needed(job) if need[0] in cached} - asked
        if not needed:
            return found, gone
        asked |= needed
        lost = _gone(ledger, records, needed)
        if not lost:
            return found, gone
        gone |= lost


def _needed(job: Job) -> Iterable[tuple[str, str]]:
    """(job id, output) of every output that the job takes in."""
    for given in (job.spec.get("upstream") or {}).values():
        for part in given["from"]:
            if "job_id" in part:
                yield part["job_id"], part["output"]


def _gone(ledger: Ledger, records: Records, needed: Iterable[tuple[str, str]]) -> dict[str, int]:
    wanted: dict[str, set[str]] = {}
    numbers: dict[str, int] = {}
    for job_id, output in needed:
        best = decide.success(records.get(job_id))
        if best is not None and best.result is not None:
            numbers[job_id] = best.number
            files = (best.result.get("outputs") or {}).get(output, ())
            wanted.setdefault(job_id, set()).update(str(file["url"]) for file in files)
    there = _there(ledger, {url for urls in wanted.values() for url in urls})
    return {job_id: numbers[job_id] for job_id, urls in wanted.items() if not urls <= there}


def _there(ledger: Ledger, urls: Iterable[str]) -> set[str]:
    """Those of `urls`, all in the ledger's bucket, that S3 has."""
    arrays: Mapping[str, set[str]] = defaultdict(set)
    below = len(ledger.url(ledger.key("outputs", "")))
    for url in urls:
        name, key, attempt, *_ = url[below:].split("/")
        arrays[name].add(f"{name}/{key}/{attempt}/")
    prefixes = [
        prefix
        for name, attempts in sorted(arrays.items())
        for prefix in ([f"{name}/"] if len(attempts) >= _TOGETHER else sorted(attempts))
    ]
    listed = aws.parallel(
        lambda prefix: [one.key for one in ledger.documents.list(ledger.key("outputs", prefix))], prefixes
    )
    return {ledger.url(key) for keys in listed for key in keys}
