"""The plan of the last apply, kept in the bucket: plans/MOMENT-DIGEST.json.gz.

Job: let `apply --continue` go on with its jobs, from any machine, without reading images or task definitions again.
Input: Plan, Jobs, attributes. Output: Kept. Must not: hold a value of a resource, or change a job.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler import plans
from reconciler.errors import BunniesError
from reconciler.ledger import Ledger
from reconciler.model import Job, Plan


@dataclass(frozen=True, slots=True)
class Kept:
    """What an apply is about: its `plan`; all `jobs` of its manifests, upstream first; `held` the addresses of those
    that may not start; `attributes` of the resources that are there after it; who applied it, and when (a stamp).
    """

    plan: Plan
    jobs: tuple[Job, ...]
    attributes: Mapping[str, Mapping[str, Any]]
    by: str
    at: str
    held: tuple[str, ...] = ()


def keep(ledger: Ledger, kept: Kept) -> str:
    """Writes it down, when the resources are done and before the first job starts; the key it lies at.

    Of the decisions only the words are kept: the next to go on decides anew.
    """
    document = {
        **plans.to_json(replace(plans.without_values(kept.plan), jobs=())),
        "by": kept.by,
        "at": kept.at,
        "decisions": [[one.address, one.decision.value, one.why, one.attempt] for one in kept.plan.jobs],
        "jobs": [plans.encoded(job) for job in kept.jobs],
        "held": sorted(kept.held),
        "attributes": plans.encoded(kept.attributes),
    }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    name = f"{kept.at.replace(':', '')}-{kept.plan.digest.rpartition(':')[2][:12]}.json.gz"
    key = ledger.key("plans", name)
    ledger.documents.write_bytes(key, gzip.compress(text, mtime=0))
    return key


def last(ledger: Ledger) -> Kept:
    """What the last apply kept. Raises BunniesError where there was none."""
    keys = [entry.key for entry in ledger.documents.list(ledger.key("plans", ""))]
    body = ledger.documents.read_bytes(keys[-1]) if keys else None
    if body is None:
        raise BunniesError("there is no apply to go on with. Run `bunnies apply`.")
    try:
        document = json.loads(gzip.decompress(body))
        return Kept(
            plans.from_json(document),
            tuple(plans.decoded(job) for job in document["jobs"]),
            plans.decoded(document["attributes"]),
            str(document["by"]),
            str(document["at"]),
            tuple(document["held"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BunniesError(
            f"{ledger.url(keys[-1])} cannot be read ({error}). Run `bunnies apply` again."
        ) from error
