"""How far the jobs of an apply are, and when they will be done, by what others of their array took.

Job: words for a person who waits. Input: decisions, records, a moment. Output: a line of text. Must not: promise: it
says nothing where there is no history.
"""

from __future__ import annotations

import collections
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime

from reconciler import decide
from reconciler.clock import moment
from reconciler.model import Attempt, Decision, JobDecision, JobRecord

Records = Mapping[str, JobRecord]

_SHOWN = 3  # running tasks by name
_DONE = (Decision.CACHED, Decision.FAILED)


def line(decisions: Sequence[JobDecision], records: Records, now: datetime) -> str:
    """`12 of 40 done, 5 running (align/s01 2m10s, …), 20 ready, 3 waiting, 0 failed; about 14m left`."""
    counts = collections.Counter(one.decision for one in decisions)
    ready = counts[Decision.RUN] + counts[Decision.RETRY]
    parts = [f"{counts[Decision.CACHED]} of {len(decisions)} done"]
    parts.append(f"{counts[Decision.RUNNING]} running{_names(decisions, records, now)}")
    parts += [f"{ready} to start"] if ready else []
    parts += [f"{counts[Decision.BLOCKED]} blocked"] if counts[Decision.BLOCKED] else []
    parts += [f"{counts[Decision.FAILED]} failed"] if counts[Decision.FAILED] else []
    left = seconds_left(decisions, records, now)
    return ", ".join(parts) + (f"; about {_short(left)} left" if left is not None else "")


def seconds_left(decisions: Sequence[JobDecision], records: Records, now: datetime) -> float | None:
    """What is left of the work over how many run at once; None where nothing is known to go by.

    The work of a job is the median of what succeeded jobs of its array took, else of all of them.
    """
    took = collections.defaultdict(list)
    for one in decisions:
        best = decide.success(records.get(one.job.job_id))
        if best and (seconds := _seconds(best)) is not None:
            took[_array(one.address)].append(seconds)
    everything = [seconds for found in took.values() for seconds in found]
    if not everything:
        return None
    work, longest, running = 0.0, 0.0, 0
    for one in decisions:
        if one.decision in _DONE:
            continue
        whole = statistics.median(took.get(_array(one.address)) or everything)
        if one.decision is Decision.RUNNING:
            running += 1
            whole = max(0.0, whole - (_age(records.get(one.job.job_id), now) or 0.0))
        work, longest = work + whole, max(longest, whole)
    return max(longest, work / max(1, running)) if work or running else None


def _names(decisions: Sequence[JobDecision], records: Records, now: datetime) -> str:
    running = [one for one in decisions if one.decision is Decision.RUNNING]
    words = []
    for one in running[:_SHOWN]:
        age = _age(records.get(one.job.job_id), now)
        words.append(one.address.removeprefix("job/") + ("" if age is None else f" {_short(age)}"))
    more = ["…"] if len(running) > _SHOWN else []
    return f" ({', '.join([*words, *more])})" if words else ""


def _age(record: JobRecord | None, now: datetime) -> float | None:
    """Seconds since the fence of the open attempt; None where it has none yet."""
    began = ((record.last.started if record and record.last else None) or {}).get("started_at")
    return max(0.0, (now - moment(str(began))).total_seconds()) if began else None


def _seconds(attempt: Attempt) -> float | None:
    result = attempt.result or {}
    began, ended = result.get("started_at"), result.get("finished_at")
    return (moment(str(ended)) - moment(str(began))).total_seconds() if began and ended else None


def _array(address: str) -> str:
    return "/".join(address.split("/")[:2])


def _short(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
    return f"{minutes // 60}h{minutes % 60:02}m"
