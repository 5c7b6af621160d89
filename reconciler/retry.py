"""Whether a failed attempt is followed by another, how big, on what, and when.

Job: sort endings into classes and give each a budget of its own. Input: a Job, its JobRecord. Output: Again, a Job
fitted to what earlier attempts met. Must not: touch the world, look at a clock, or start anything.

    user            the command's exit code: the first of retry.rules that names it; none does: final.
                    Without rules, and for inputs, outputs and disks: retry.attempts (1)
    memory          the next size that Fargate has, up to retry.maxMemory; without that: final
    spot            3, then on demand where the strategy names something besides Spot
    capacity        until `deadline`, for ever without one
    start           a task that never began: 3, or retry.attempts where that is more
    infrastructure  lost, interrupted: 3, or retry.attempts where that is more
    image, spec, stopped, queue, deadline   final

What an attempt's ending belongs to is its own; all budgets count from the last manual claim.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from reconciler.canonical import fargate
from reconciler.clock import moment
from reconciler.model import Attempt, Job, JobRecord

BUDGET: Final = 3  # attempts that Spot, starting and the infrastructure are given
LONGEST_WAIT: Final = timedelta(minutes=10)

_FINAL: Final = frozenset({"image", "spec", "stopped", "queue", "deadline"})
_OWN_NAME: Final = frozenset({"image", "spec", "capacity", "start", "spot", "queue", "deadline"})
_CAPACITY_WAIT: Final = 15  # seconds; the longest wait after the first attempt that found no room


@dataclass(frozen=True, slots=True)
class Again:
    """Whether another attempt is due, and what is different about it or why there is none; words may be empty."""

    due: bool
    why: str = ""


def kind(attempt: Attempt) -> str:
    """The class of a closed attempt's ending, one of those above; `success` where it is none."""
    result = attempt.result or {}
    status, said = result.get("status"), str((result.get("error") or {}).get("class", ""))
    if status == "succeeded":
        return "success"
    if result.get("oom_killed") or said == "memory":
        return "memory"
    if said in _OWN_NAME:
        return said
    if status == "stopped":
        return "stopped"
    if status == "interrupted":
        return "spot" if _on_spot((attempt.claim or {}).get("request") or {}) else "infrastructure"
    return "infrastructure" if status == "lost" or said == "infrastructure" else "user"


def again(job: Job, record: JobRecord) -> Again:
    """What follows the last attempt of `record`, which ended and did not succeed."""
    counted = since_manual(record)
    ending = kind(counted[-1])
    if raised := _raised(job, counted[-1], ending, spent(counted)):
        return Again(True, raised)
    limit = job.spec.get("deadline")
    if ending not in _FINAL and limit is not None and spent(counted) >= limit:
        return Again(False, f"deadline of {limit} s is over")
    return _BUDGETS.get(ending, _never)(job, counted)


def fitted(job: Job, record: JobRecord | None) -> Job:
    """The job as its next attempt runs it: with the memory and on the capacity that earlier attempts call for."""
    counted = since_manual(record) if record else ()
    if not counted:
        return job
    sizes = _sizes(job, counted)
    if sizes:
        job = _sized(job, sizes[-1])
    if sum(kind(one) == "spot" for one in counted) >= BUDGET and (left := _on_demand(job)):
        job = replace(job, spec={**job.spec, "capacityProviderStrategy": left})
    return job


def not_before(job: Job, record: JobRecord) -> datetime | None:
    """The moment before which the next attempt must not start; None where there is none.

    Full jitter below a bound that doubles, the chance taken from the job and attempt: every process reckons alike.
    """
    last = record.last
    if last is None or last.result is None or last.result["status"] == "succeeded":
        return None
    counted = since_manual(record)
    ending = kind(last)
    first = (job.spec.get("retry") or {}).get("backoff") or (_CAPACITY_WAIT if ending == "capacity" else 0)
    alike = sum(kind(one) == ending for one in counted)
    bound = min(LONGEST_WAIT, timedelta(seconds=first) * 2.0 ** min(alike - 1, 20))
    return (
        moment(str(last.result["finished_at"])) + jitter(job.job_id, last.number) * bound if first else None
    )


def jitter(job_id: str, number: int) -> float:
    """A number in [0, 1) that is the same wherever it is asked for."""
    return int(hashlib.sha256(f"{job_id}/{number}".encode()).hexdigest()[:8], 16) / 2**32


def since_manual(record: JobRecord) -> tuple[Attempt, ...]:
    """The attempts that budgets count: from the last that a person asked for."""
    first = max((one.number for one in record.attempts if (one.claim or {}).get("manual")), default=0)
    return tuple(one for one in record.attempts if one.number >= first)


def spent(counted: Sequence[Attempt], now: datetime | None = None) -> float:
    """Seconds that attempts have taken together, from claim to result; to `now` where one has none."""
    total = timedelta()
    for one in counted:
        began = (one.claim or {}).get("claimed_at")
        ended = moment(str(one.result["finished_at"])) if one.result and "finished_at" in one.result else now
        if began and ended:
            total += ended - moment(str(began))
    return total.total_seconds()


def _never(_: Job, __: Sequence[Attempt]) -> Again:
    return Again(False)


def _always(_: Job, __: Sequence[Attempt]) -> Again:
    return Again(True)


def _a_few(job: Job, counted: Sequence[Attempt]) -> Again:
    return Again(len(_alike(counted)) < max(_attempts(job), BUDGET))


def _attempts(job: Job) -> int:
    return int((job.spec.get("retry") or {}).get("attempts", 1))


def _alike(counted: Sequence[Attempt]) -> list[Attempt]:
    """The attempts that ended as the last did."""
    ending = kind(counted[-1])
    return [one for one in counted if kind(one) == ending]


def _by_rules(job: Job, counted: Sequence[Attempt]) -> Again:
    rules, last, used = (job.spec.get("retry") or {}).get("rules"), counted[-1], _alike(counted)
    if not rules or not _told_by_code(last):
        return Again(len(used) < _attempts(job))
    number = _rule(rules, last)
    if number is None:
        return Again(False, "no rule of retry names that code")
    alike = sum(_told_by_code(one) and _rule(rules, one) == number for one in used)
    return Again(alike < int(rules[number].get("attempts", _attempts(job))))


def _rule(rules: Sequence[Mapping[str, Any]], attempt: Attempt) -> int | None:
    """The index of the first rule that names the attempt's exit code."""
    code = int((attempt.result or {})["exit_code"])
    return next((n for n, rule in enumerate(rules) if any(_names(c, code) for c in rule["exitCodes"])), None)


def _names(wanted: int | str, code: int) -> bool:
    first, _, last = str(wanted).partition("-")
    return int(first) <= code <= int(last or first)


def _told_by_code(attempt: Attempt) -> bool:
    result = attempt.result or {}
    return bool(result.get("exit_code")) and (result.get("error") or {}).get("class", "user") == "user"


# Memory


def _bigger(job: Job, counted: Sequence[Attempt]) -> Again:
    sizes = _sizes(job, counted)
    if len(sizes) < 2 or sizes[-1] == sizes[-2]:
        most = (job.spec.get("retry") or {}).get("maxMemory")
        return Again(False, f"retry.maxMemory is {most} MiB" if most and sizes else "")
    (_, before), (_, after) = sizes[-2:]
    return Again(True, f"memory {before} → {after} MiB")


def _sizes(job: Job, counted: Sequence[Attempt]) -> list[tuple[int, int]]:
    """The manifest's size (cpu units, MiB), then the one after each attempt that was too small; none without a limit."""
    given, most = job.spec.get("size") or {}, (job.spec.get("retry") or {}).get("maxMemory")
    if not most or not given.get("memory"):
        return []
    sizes = [(int(given.get("cpu") or 0), int(given["memory"]))]
    for one in counted:
        if kind(one) == "memory":
            sizes.append(_next(max(sizes[-1], _claimed_size(one, sizes[0])), int(most), given))
    return sizes


def _next(size: tuple[int, int], most: int, given: Mapping[str, Any]) -> tuple[int, int]:
    """The smallest size with more memory: of the same cpu, else of the next; the same where there is none."""
    cpu, memory = size
    if not given.get("fargate"):
        return (cpu, max(memory, min(2 * memory, most)))
    for units, sizes in fargate.SIZES.items():
        for mib in sizes:
            if units >= cpu and memory < mib <= most:
                return (units, mib)
    return size


def _claimed_size(attempt: Attempt, otherwise: tuple[int, int]) -> tuple[int, int]:
    overrides = ((attempt.claim or {}).get("request") or {}).get("overrides") or {}
    return int(overrides.get("cpu") or otherwise[0]), int(overrides.get("memory") or otherwise[1])


def _sized(job: Job, size: tuple[int, int]) -> Job:
    """The job with another size, its container's own limit of memory lifted with it."""
    cpu, memory = size
    given = job.spec["size"]
    if (int(given.get("cpu") or 0), int(given["memory"])) == size:
        return job
    overrides = {**job.spec.get("overrides", {}), "memory": str(memory)}
    if cpu:
        overrides["cpu"] = str(cpu)
    spec = {**job.spec, "overrides": overrides}
    task = {**spec["jobspec"].get("task", {}), "memory_mb": memory}
    if cpu:
        task["threads"] = max(1, cpu // 1024)
    if given.get("limit"):
        spec["containerMemory"] = memory
    return replace(job, spec={**spec, "jobspec": {**spec["jobspec"], "task": task}})


# Spot


def _after_spot(job: Job, counted: Sequence[Attempt]) -> Again:
    used = len(_alike(counted))
    if used < BUDGET:
        return Again(True)
    if left := _on_demand(job):
        return Again(True, f"on {', '.join(str(one['capacityProvider']) for one in left)} from now on")
    return Again(False, f"{used} Spot interruptions, and capacityProviderStrategy names nothing else")


def _on_demand(job: Job) -> list[dict[str, Any]]:
    """What the strategy names besides Spot, so that all of the task goes there."""
    strategy = job.spec.get("capacityProviderStrategy") or ()
    left = [one for one in strategy if not _is_spot(one)]
    if len(left) == len(strategy):
        return []
    return [{**one, "weight": max(1, int(one.get("weight", 0)))} for one in left]


def _on_spot(request: Mapping[str, Any]) -> bool:
    return any(_is_spot(one) for one in request.get("capacityProviderStrategy") or ())


def _is_spot(one: Mapping[str, Any]) -> bool:
    return "SPOT" in str(one.get("capacityProvider", "")).upper()


# Limits that were raised


def _raised(job: Job, last: Attempt, ending: str, took: float) -> str:
    """The limit that the attempt hit, where it is higher by now: `timeout 60 → 120 s`; else empty."""
    claim, result = last.claim or {}, last.result or {}
    then, now = claim.get("jobspec") or {}, job.spec.get("jobspec") or {}
    if ending == "memory":
        before, after = ((spec.get("task") or {}).get("memory_mb") for spec in (then, now))
        return f"memory {before} → {after} MiB" if before and after and after > before else ""
    if ending in ("queue", "deadline"):
        name = "queueTimeout" if ending == "queue" else "deadline"
        waited = spent([last]) if ending == "queue" else took
        limit = job.spec.get(name)
        return (
            f"{name} is {'gone' if limit is None else f'{limit} s'} now"
            if limit is None or limit > waited
            else ""
        )
    before, after = then.get("timeout"), now.get("timeout")
    ran = (result.get("phases") or {}).get("run", 0)
    if result["status"] == "failed" and before and ran >= before and (after is None or after > before):
        return f"timeout {before} → {'none' if after is None else after} s"
    return ""


_BUDGETS: Final[Mapping[str, Callable[[Job, Sequence[Attempt]], Again]]] = {
    "user": _by_rules,
    "memory": _bigger,
    "spot": _after_spot,
    "capacity": _always,
    "start": _a_few,
    "infrastructure": _a_few,
}
