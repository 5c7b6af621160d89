"""Results of jobs that succeeded, many in one object: successes/NAME.json.gz for each large array.

Job: keep a plan of ten thousand elements from reading ten thousand objects. Input: records. Output: records.
Must not: be believed for more than it can know: a success is written once and never replaced, so what is remembered
of one is true as long as its result.json is listed; whoever reads looks there. It may be missing, or old, at any time.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from reconciler import aws, decide
from reconciler.ledger import Ledger, Records
from reconciler.model import Attempt, Job, JobRecord

LARGE: Final = (
    100  # elements from which on an array is remembered, and new ones from which on it is written again
)


def read(ledger: Ledger, jobs: Iterable[Job]) -> dict[str, JobRecord]:
    """What is remembered of the large arrays among `jobs`: a success each, its attempt without claim."""
    found: dict[str, JobRecord] = {}
    for kept in aws.parallel(lambda name: _read(ledger, name), _large(jobs)):
        for job_id, (number, result) in kept.items():
            found[job_id] = JobRecord(job_id, (Attempt(int(number), result=result),))
    return found


def write(ledger: Ledger, jobs: Iterable[Job], records: Records) -> None:
    """Remembers the successes of large arrays, where there are enough new ones."""
    for name, members in _large(jobs).items():
        now = {
            job.job_id: [best.number, best.result]
            for job in members
            if (best := decide.success(records.get(job.job_id)))
        }
        if len(now) < LARGE:
            continue
        before = _read(ledger, name)
        if len(now.keys() - before.keys()) < LARGE:
            continue
        text = json.dumps(now, separators=(",", ":"), ensure_ascii=False).encode()
        ledger.documents.write_bytes(_key(ledger, name), gzip.compress(text, 6, mtime=0), "application/gzip")


def _large(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    arrays: Mapping[str, list[Job]] = defaultdict(list)
    for job in jobs:
        arrays[job.address.split("/")[1]].append(job)
    return {name: members for name, members in arrays.items() if len(members) >= LARGE}


def _read(ledger: Ledger, name: str) -> dict[str, Any]:
    body = ledger.documents.read_bytes(_key(ledger, name))
    try:
        found = json.loads(gzip.decompress(body)) if body else {}
    except (OSError, ValueError):
        return {}  # as good as none: the ledger itself is read then
    return found if isinstance(found, dict) else {}


def _key(ledger: Ledger, name: str) -> str:
    return ledger.key("successes", f"{name}.json.gz")
