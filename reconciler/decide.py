"""What becomes of each job: run, run again, left to run, believed, held back, given up.

Job: read each wanted job against its record and its upstream. Input: Jobs, upstream first, JobRecords, earlier
identities. Output: JobDecisions, in the same order. Must not: touch the world, look at a clock, or launch.

    CACHED   an attempt succeeded, and no job that starts needs outputs of it that are gone
    RUNNING  an attempt is open (claimed, no result), or another job of this plan does the same work
    FAILED   the last attempt ended badly and no attempt is left, or somebody stopped it
    BLOCKED  it would start, but an input is not there, or an upstream job is FAILED, BLOCKED or RUNNING
    RETRY    it ended badly and has an attempt left
    RUN      it has no attempt

RUN and RETRY are what this apply starts: at once, or with --wait as soon as the upstream jobs that it starts
itself have succeeded; `why` then ends in `after …`. Whether a failure is followed by another attempt is retry's to say.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from reconciler import retry
from reconciler.canonical import job as canonical
from reconciler.model import NOTHING, Attempt, Decision, Job, JobDecision, JobRecord

_STARTS: Final = frozenset({Decision.RUN, Decision.RETRY})

Records = Mapping[str, JobRecord]
Gone = Mapping[str, int]
"""Job id → the newest of its attempts whose outputs somebody needs and S3 does not have any more."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What has been decided so far: by address, and the job that does the work of each job id; `names` of ids."""

    names: Mapping[str, str]
    states: dict[str, Decision] = field(default_factory=dict)
    leaders: dict[str, JobDecision] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Past:
    """Of a job: the identity that its address meant before, addresses of job ids, the attempt whose outputs are gone."""

    identity: Mapping[str, Any] | None
    names: Mapping[str, str]
    gone: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What jobs stand on: `changing` are addresses of resources that this apply changes first; `absent` says of those
    that it cannot bring why ("is not ours"); `gone` as above."""

    changing: Collection[str] = ()
    absent: Mapping[str, str] = NOTHING
    gone: Gone = NOTHING


SOLID: Final = Ground()


def decide(
    jobs: Sequence[Job],
    records: Records,
    history: Mapping[str, Mapping[str, Any] | None],
    ground: Ground = SOLID,
) -> tuple[JobDecision, ...]:
    """A decision for each job, in the order given, which must be upstream first.

    `records` are by job id; one that is missing means no attempt. `history` has the identity that an address
    meant before, where it was another. The Job of a RUN or RETRY is fitted to what its earlier attempts met
    (memory, capacity).
    """
    known = _Known(names={job.job_id: job.address for job in reversed(jobs)})
    decisions = []
    for job in jobs:
        record = records.get(job.job_id, JobRecord(job.job_id))
        decision = _of_record(
            job, record, _Past(history.get(job.address), known.names, ground.gone.get(job.job_id, 0))
        )
        if decision.decision in _STARTS:
            decision = _of_upstream(decision, known, ground, _unmade(job, records))
            decision = replace(decision, job=retry.fitted(job, record))
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
    decisions: Sequence[JobDecision],
    records: Records,
    max_parallel: int | None = None,
    gone: Gone = NOTHING,
) -> tuple[JobDecision, ...]:
    """Those to start right now: all upstream jobs have succeeded, and no more run at once than is allowed.

    `decisions` are all of a plan; `records` may be newer: what they show as claimed is not started again.
    `max_parallel` is Settings.maxParallel; a job's own maxParallel counts the elements of its name.
    """
    ids = {decision.address: decision.job.job_id for decision in decisions}
    succeeded = {
        job_id
        for job_id, record in records.items()
        if (best := success(record)) and best.number > gone.get(job_id, 0)
    }
    open_jobs = {job_id for job_id, record in records.items() if record.last and record.last.result is None}
    running = collections.Counter(
        _array(decision.address) for decision in decisions if decision.job.job_id in open_jobs
    )
    total = len({decision.job.job_id for decision in decisions} & open_jobs)
    chosen = []
    for decision in decisions:
        if decision.decision not in _STARTS or not _unclaimed(decision, records, gone):
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


def _of_record(job: Job, record: JobRecord, past: _Past) -> JobDecision:
    """What the job's own attempts say."""
    last, best = record.last, success(record)
    if best and best.number > past.gone:
        return JobDecision(job, Decision.CACHED, f"attempt {best.number} succeeded", best.number)
    if last is None:
        why = canonical.explain(past.identity, job.identity, past.names) if past.identity else ""
        return JobDecision(job, Decision.RUN, why or "new", 1)
    if last.result is None:
        return JobDecision(job, Decision.RUNNING, f"attempt {last.number} is open", last.number)
    if best and best.number == last.number:
        return JobDecision(job, Decision.RUN, "outputs missing", last.number + 1)
    then = retry.again(job, record)
    why = f"attempt {last.number} {_ending(last.result)}" + (f"; {then.why}" if then.why else "")
    if then.due:
        return JobDecision(job, Decision.RETRY, why, last.number + 1)
    return JobDecision(job, Decision.FAILED, why, last.number)


def _of_upstream(decision: JobDecision, known: _Known, ground: Ground, unmade: Sequence[str]) -> JobDecision:
    """The decision to start, as what it needs allows: itself, with `after …`, or BLOCKED."""
    job = decision.job
    blocked = [*unmade, *(f"input {url} is not there" for url in job.spec.get("missing", ()))]
    blocked += [f"{need} {ground.absent[need]}" for need in job.needs if need in ground.absent]
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
    first = first or [need for need in job.needs if need in ground.changing]
    if first:
        return JobDecision(job, decision.decision, f"{decision.why}; after {_few(first)}", decision.attempt)
    return decision


def _unmade(job: Job, records: Records) -> list[str]:
    """The optional files that this job takes and their job, which succeeded, did not make."""
    return [
        f"{part['address']} did not make {part['output']}"
        for given in (job.spec.get("upstream") or {}).values()
        for part in given["from"]
        if part.get("kind") == "file"
        and (made := success(records.get(part.get("job_id", ""))))
        and not ((made.result or {}).get("outputs") or {}).get(part["output"])
    ]


def _ending(result: Mapping[str, Any]) -> str:
    """How an attempt ended, as `failed: exit code 3` or `lost: the task is gone`."""
    error = result.get("error") or {}
    if result.get("oom_killed"):
        return f"{result['status']}: out of memory"
    if result["status"] == "failed" and error.get("class", "user") == "user" and result.get("exit_code"):
        return f"failed: exit code {result['exit_code']}"
    return f"{result['status']}: {error['message']}" if error.get("message") else str(result["status"])


def success(record: JobRecord | None) -> Attempt | None:
    """The newest attempt that succeeded, None where none did."""
    attempts = reversed(record.attempts) if record else ()
    return next((one for one in attempts if one.result and one.result["status"] == "succeeded"), None)


def _unclaimed(decision: JobDecision, records: Records, gone: Gone) -> bool:
    """Whether the attempt that was decided on is still free, its predecessor closed."""
    record = records.get(decision.job.job_id)
    if record is None or record.last is None:
        return True
    best = success(record)
    done = best is not None and best.number > gone.get(decision.job.job_id, 0)
    return record.last.number < decision.attempt and record.last.result is not None and not done


def _jobs_needed(job: Job) -> tuple[str, ...]:
    return tuple(need for need in job.needs if need.startswith("job/"))


def _array(address: str) -> str:
    """`job/NAME` of an element."""
    return "/".join(address.split("/")[:2])


def _few(texts: Iterable[str]) -> str:
    """The first of them, and how many more."""
    first, *rest = texts
    return f"{first} and {len(rest)} more" if rest else first
