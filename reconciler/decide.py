"""What becomes of each job: run, run again, left to run, believed, held back, given up.

Job: read each wanted job against its record and its upstream. Input: Jobs, upstream first, JobRecords, earlier
identities. Output: JobDecisions, in the same order. Must not: touch the world, look at a clock, or launch.

    CACHED   an attempt succeeded; whether its outputs are still there is not asked
    RUNNING  an attempt is open (claimed, no result), or another job of this plan does the same work
    FAILED   the last attempt ended badly and no attempt is left, or somebody stopped it
    BLOCKED  it would start, but an input is not there, or an upstream job is FAILED, BLOCKED or RUNNING
    RETRY    it ended badly and has an attempt left
    RUN      it has no attempt

RUN and RETRY are what this apply starts: at once, or with --wait as soon as the upstream jobs that it starts
itself have succeeded; `why` then ends in `after …`. A failure of the user's counts against retry.attempts (1); one of
the infrastructure against 3, or retry.attempts where that is more. Both count from the last manual claim. A job that ran
into its memory or its timeout is tried again once that limit is higher than its claim says.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.canonical import job as canonical
from reconciler.model import Attempt, Decision, Job, JobDecision, JobRecord

_STARTS: Final = frozenset({Decision.RUN, Decision.RETRY})
_INFRASTRUCTURE_ATTEMPTS: Final = 3
# Statuses of a result that say nothing about the user's command.
_NOT_THE_USERS: Final = frozenset({"lost", "interrupted"})
# Classes of error that another attempt would only repeat.
_CERTAIN: Final = frozenset({"spec"})

Records = Mapping[str, JobRecord]


@dataclass(frozen=True, slots=True)
class _Known:
    """What has been decided so far: by address, and the job that does the work of each job id."""

    states: dict[str, Decision] = field(default_factory=dict)
    leaders: dict[str, JobDecision] = field(default_factory=dict)


def decide(
    jobs: Sequence[Job],
    records: Records,
    history: Mapping[str, Mapping[str, Any] | None],
    changing: Collection[str] = (),
    conflicts: Collection[str] = (),
) -> tuple[JobDecision, ...]:
    """A decision for each job, in the order given, which must be upstream first.

    `records` are by job id; one that is missing means no attempt. `history` has the identity that an address
    meant before, where it was another. `changing` are the addresses of resources that this apply changes first,
    `conflicts` of those that it cannot bring.
    """
    known = _Known()
    decisions = []
    for job in jobs:
        record = records.get(job.job_id, JobRecord(job.job_id))
        decision = _of_record(job, record, history.get(job.address))
        if decision.decision in _STARTS:
            decision = _of_upstream(decision, known, changing, conflicts)
        state = decision.decision
        if state in _STARTS:
            leader = known.leaders.setdefault(job.job_id, decision)
            if leader is not decision:
                # What follows it waits for a start of this apply, as it would behind the leader.
                decision = JobDecision(
                    job, Decision.RUNNING, f"same work as {leader.address}", leader.attempt
                )
        known.states[job.address] = state
        decisions.append(decision)
    return tuple(decisions)


def ready(
    decisions: Sequence[JobDecision], records: Records, max_parallel: int | None = None
) -> tuple[JobDecision, ...]:
    """Those to start right now: all upstream jobs have succeeded, and no more run at once than is allowed.

    `decisions` are all of a plan; `records` may be newer: what they show as claimed is not started again.
    `max_parallel` is Settings.maxParallel; a job's own maxParallel counts the elements of its name.
    """
    ids = {decision.address: decision.job.job_id for decision in decisions}
    succeeded = {job_id for job_id, record in records.items() if _success(record)}
    open_jobs = {job_id for job_id, record in records.items() if record.last and record.last.result is None}
    running = collections.Counter(
        _array(decision.address) for decision in decisions if decision.job.job_id in open_jobs
    )
    total = len({decision.job.job_id for decision in decisions} & open_jobs)
    chosen = []
    for decision in decisions:
        if decision.decision not in _STARTS or not _unclaimed(decision, records):
            continue
        if any(ids.get(need) not in succeeded for need in _jobs_needed(decision.job)):
            continue
        array, own = _array(decision.address), decision.job.spec.get("maxParallel")
        if (own is not None and running[array] >= own) or (
            max_parallel is not None and total >= max_parallel
        ):
            continue
        running[array] += 1
        total += 1
        chosen.append(decision)
    return tuple(chosen)


def _of_record(job: Job, record: JobRecord, earlier: Mapping[str, Any] | None) -> JobDecision:
    """What the job's own attempts say."""
    last = record.last
    if success := _success(record):
        return JobDecision(job, Decision.CACHED, f"attempt {success.number} succeeded", success.number)
    if last is None:
        why = canonical.explain(earlier, job.identity) if earlier else ""
        return JobDecision(job, Decision.RUN, why or "new", 1)
    if last.result is None:
        return JobDecision(job, Decision.RUNNING, f"attempt {last.number} is open", last.number)
    ended = f"attempt {last.number} {_ending(last.result)}"
    if raised := _raised(job, last.claim or {}, last.result):
        return JobDecision(job, Decision.RETRY, f"{ended}; {raised}", last.number + 1)
    if _may_retry(job, record, last.result):
        return JobDecision(job, Decision.RETRY, ended, last.number + 1)
    return JobDecision(job, Decision.FAILED, ended, last.number)


def _of_upstream(
    decision: JobDecision, known: _Known, changing: Collection[str], conflicts: Collection[str]
) -> JobDecision:
    """The decision to start, as what it needs allows: itself, with `after …`, or BLOCKED."""
    job = decision.job
    blocked = [f"input {url} is not there" for url in job.spec.get("missing", ())]
    blocked += [f"{need} is not ours" for need in job.needs if need in conflicts]
    first = []
    for need in _jobs_needed(job):
        state = known.states.get(need)
        if state is None:
            blocked.append(f"{need} is not in this plan")
        elif state is Decision.FAILED:
            blocked.append(f"{need} failed")
        elif state is Decision.BLOCKED:
            blocked.append(f"{need} is blocked")
        elif state is Decision.RUNNING:
            blocked.append(f"{need} is running")
        elif state in _STARTS and _array(need) not in first:
            first.append(_array(need))  # by the array's name: its elements read alike in a plan
    if blocked:
        return JobDecision(job, Decision.BLOCKED, _few(blocked), decision.attempt)
    first = first or [need for need in job.needs if need in changing]
    if first:
        return JobDecision(job, decision.decision, f"{decision.why}; after {_few(first)}", decision.attempt)
    return decision


def _may_retry(job: Job, record: JobRecord, result: Mapping[str, Any]) -> bool:
    """Whether the budget of the kind of failure that came last has an attempt left."""
    if result["status"] == "stopped" or (result.get("error") or {}).get("class") in _CERTAIN:
        return False
    attempts = int((job.spec.get("retry") or {}).get("attempts", 1))
    allowed = attempts if _users(result) else max(attempts, _INFRASTRUCTURE_ATTEMPTS)
    manual = max((one.number for one in record.attempts if (one.claim or {}).get("manual")), default=0)
    used = sum(
        one.number >= manual and one.result is not None and _users(one.result) == _users(result)
        for one in record.attempts
    )
    return used < allowed


def _raised(job: Job, claim: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """The limit that the attempt hit, where it is higher by now: `timeout 60 → 120 s`; else empty."""
    then, now = claim.get("jobspec") or {}, job.spec.get("jobspec") or {}
    before, after = ((spec.get("task") or {}).get("memory_mb") for spec in (then, now))
    memory = result.get("oom_killed") or (result.get("error") or {}).get("class") == "memory"
    if memory and before and after and after > before:
        return f"memory {before} → {after} MiB"
    before, after = then.get("timeout"), now.get("timeout")
    ran = (result.get("phases") or {}).get("run", 0)
    if result["status"] == "failed" and before and ran >= before and (after is None or after > before):
        return f"timeout {before} → {'none' if after is None else after} s"
    return ""


def _users(result: Mapping[str, Any]) -> bool:
    """Whether the failure is the user's, and not of what it ran on."""
    infrastructure = (result.get("error") or {}).get("class") == "infrastructure"
    return result["status"] not in _NOT_THE_USERS and not infrastructure


def _ending(result: Mapping[str, Any]) -> str:
    """How an attempt ended, as `failed: exit code 3` or `lost: the task is gone`."""
    error = result.get("error") or {}
    if result.get("oom_killed"):
        return f"{result['status']}: out of memory"
    if result["status"] == "failed" and error.get("class", "user") == "user" and result.get("exit_code"):
        return f"failed: exit code {result['exit_code']}"
    return f"{result['status']}: {error['message']}" if error.get("message") else str(result["status"])


def _success(record: JobRecord) -> Attempt | None:
    done = (one for one in reversed(record.attempts) if one.result and one.result["status"] == "succeeded")
    return next(done, None)


def _unclaimed(decision: JobDecision, records: Records) -> bool:
    """Whether the attempt that was decided on is still free, its predecessor closed."""
    record = records.get(decision.job.job_id)
    if record is None or record.last is None:
        return True
    return record.last.number < decision.attempt and record.last.result is not None and not _success(record)


def _jobs_needed(job: Job) -> tuple[str, ...]:
    return tuple(need for need in job.needs if need.startswith("job/"))


def _array(address: str) -> str:
    """`job/NAME` of an element."""
    return "/".join(address.split("/")[:2])


def _few(texts: Iterable[str]) -> str:
    """The first of them, and how many more."""
    first, *rest = texts
    return f"{first} and {len(rest)} more" if rest else first
