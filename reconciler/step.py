"""One turn of an apply on its jobs: look after what is open, then start what is ready.

Job: be level-triggered: each turn reads the ledger, recovers, decides anew and launches; `apply --wait` repeats it.
Input: Jobs, what the last turn knew, the attributes of resources. Output: Outcomes as they happen, then Progress.
Must not: sleep, or hold anything that the ledger does not.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Final

from reconciler import attempts, aws, decide, errors, launch, presence, recover, retry
from reconciler.attempts import Actor
from reconciler.ledger import Records
from reconciler.model import NOTHING, Attempt, Decision, Job, JobDecision, JobRecord, Outcome, Status

AT_ONCE: Final = 8  # launches; ECS takes 20 a second after a burst of 100

Attributes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a turn knew when it ended; an empty one starts the first.

    `active` says that another turn may bring more: an attempt is open, or was claimed by another apply. `refused`
    are addresses of jobs whose launch was not possible; they are not tried again. `placed` are those that the
    ledger has their present job for. `waiting` is what was told of attempts that wait, so that it is told once.
    `gone` are succeeded attempts whose outputs a job that starts needs and S3 does not have, as the first turn saw it.
    """

    records: Records = NOTHING
    decisions: tuple[JobDecision, ...] = ()
    active: bool = False
    refused: frozenset[str] = frozenset()
    placed: frozenset[str] | None = None
    waiting: frozenset[tuple[str, str]] = frozenset()
    gone: decide.Gone = NOTHING

    @property
    def failed(self) -> tuple[JobDecision, ...]:
        """The jobs that will not succeed without a person: final failures, and what they block."""
        final = (Decision.FAILED, Decision.BLOCKED)
        return tuple(decision for decision in self.decisions if decision.decision in final)


def step(
    actor: Actor, jobs: Sequence[Job], before: Progress, attributes: Attributes
) -> Generator[Outcome, None, Progress]:
    """One turn over `jobs`, upstream first; `progress = yield from step(…)`.

    `attributes` gives those of each resource that is there, by address: a job whose task definition is not in it
    does not start. Raises AwsError where the ledger cannot be read, BunniesError where the cluster is not there.
    """
    if not jobs:
        return Progress()
    waiting: set[tuple[str, str]] = set()
    records = yield from _look(actor, jobs, before, waiting)
    placed = _place(actor, jobs, records, before.placed)
    decisions, gone = _decide_first(actor, jobs, records, attributes, before)
    ready = [
        decision
        for decision in decide.ready(decisions, records, actor.world.settings.max_parallel, gone)
        if decision.address not in before.refused
    ]
    ready = yield from _due(actor, ready, records, before, waiting)
    started, refused, contended = dict(records), set(before.refused), False
    for decision, attempt, outcome in _launched(actor, ready, records, attributes):
        if attempt is not None:
            job_id = decision.job.job_id
            started[job_id] = recover.with_attempt(started.get(job_id, JobRecord(job_id)), attempt)
            placed |= {decision.address}
        elif outcome.status is Status.FAILED:
            refused.add(decision.address)
        else:
            contended = True
        yield from _once([outcome], before, waiting)
    placed = _place(actor, jobs, started, placed)  # addresses that share a job with one that was launched
    active = contended or any(
        record.last and not attempts.is_closed(record.last) for record in started.values()
    )
    decisions = _decide(jobs, started, attributes, gone)
    # an attempt that was closed as soon as it was sent leaves another one due
    active |= any(decision.address not in refused for decision in decide.ready(decisions, started, gone=gone))
    return Progress(started, decisions, active, frozenset(refused), placed, frozenset(waiting), gone)


def _look(
    actor: Actor, jobs: Sequence[Job], before: Progress, waiting: set[tuple[str, str]]
) -> Generator[Outcome, None, Records]:
    """The records of all jobs, their open attempts looked after; what succeeded before is not read again."""
    by_id = {job.job_id: job for job in reversed(jobs)}
    addresses = {job_id: job.address for job_id, job in by_id.items()}
    moving = [
        job_id for job_id in addresses if not _done(before.records.get(job_id), before.gone.get(job_id, 0))
    ]
    read = {**before.records, **actor.ledger.records(moving, before.records, lean=True)}
    yield from _endings(addresses, before.records, read)
    records, recovered = recover.recover(actor, by_id, read)
    yield from _once(recovered, before, waiting)
    if before.placed is None:  # the first turn of an apply
        yield from recover.stop_strays(actor, records)
    return records


def _place(
    actor: Actor, jobs: Sequence[Job], records: Records, placed: frozenset[str] | None
) -> frozenset[str]:
    """Writes down what an address means where nothing is launched for it: the same work was done before.

    So an address whose manifest went back to an earlier state gives the earlier outputs again.
    """
    ledger = actor.ledger
    if placed is None:
        meanings = ledger.meanings()
        placed = frozenset(
            job.address
            for job in jobs
            if job.address in meanings and meanings[job.address][-1].job_id == job.job_id
        )
    behind = [
        job
        for job in jobs
        if job.address not in placed and job.job_id in records and records[job.job_id].last
    ]
    aws.parallel(lambda job: ledger.address(job.address, job.job_id), behind)
    return placed | {job.address for job in behind}


def _done(record: JobRecord | None, gone: int) -> bool:
    best = decide.success(record)
    return best is not None and best.number > gone


def _due(
    actor: Actor,
    ready: Sequence[JobDecision],
    records: Records,
    before: Progress,
    waiting: set[tuple[str, str]],
) -> Generator[Outcome, None, list[JobDecision]]:
    """Those whose time has come: another attempt may have to keep its distance from the last."""
    now, due = actor.ledger.clock.now(), []
    for decision in ready:
        record = records.get(decision.job.job_id)
        moment = retry.not_before(decision.job, record) if record else None
        if moment is None or moment <= now:
            due.append(decision)
            continue
        detail = f"attempt {decision.attempt} starts after {moment:%H:%M:%S} UTC"
        yield from _once([Outcome(decision.address, "launch", Status.SKIPPED, detail)], before, waiting)
    return due


def _decide_first(
    actor: Actor, jobs: Sequence[Job], records: Records, attributes: Attributes, before: Progress
) -> tuple[tuple[JobDecision, ...], decide.Gone]:
    """The decisions of a turn; the first of an apply asks after the outputs that are needed."""
    if before.placed is None:
        return presence.decisions(
            actor.ledger, records, lambda gone: _decide(jobs, records, attributes, gone)
        )
    return _decide(jobs, records, attributes, before.gone), before.gone


def _decide(
    jobs: Sequence[Job], records: Records, attributes: Attributes, gone: decide.Gone
) -> tuple[JobDecision, ...]:
    needs = {need for job in jobs for need in job.needs if not need.startswith("job/")}
    absent = dict.fromkeys(needs - attributes.keys(), "is not there")
    return decide.decide(jobs, records, {}, decide.Ground(absent=absent, gone=gone))


def _endings(addresses: Mapping[str, str], before: Records, now: Records) -> Iterator[Outcome]:
    """The attempts that got their result since the last turn."""
    for job_id, record in now.items():
        if job_id not in before:
            continue
        closed = {attempt.number for attempt in before[job_id].attempts if attempts.is_closed(attempt)}
        for attempt in record.attempts:
            if attempt.result is not None and attempt.number not in closed:
                yield attempts.ended(addresses[job_id], attempt.number, attempt.result)


def _once(outcomes: Sequence[Outcome], before: Progress, waiting: set[tuple[str, str]]) -> Iterator[Outcome]:
    for outcome in outcomes:
        told = (outcome.address, outcome.detail)
        if outcome.status is Status.SKIPPED:
            waiting.add(told)
        if outcome.status is not Status.SKIPPED or told not in before.waiting:
            yield outcome


def _launched(
    actor: Actor, ready: Sequence[JobDecision], records: Records, attributes: Attributes
) -> Iterator[tuple[JobDecision, Attempt | None, Outcome]]:
    """Each decision with its attempt and outcome, as they come; an error of one is its outcome."""
    results = {job_id: result for job_id in records if (result := attempts.succeeded(records[job_id]))}

    def one(decision: JobDecision) -> tuple[Attempt | None, Outcome]:
        reference = decision.job.spec["taskDefinition"]
        arn = str(attributes[reference.address][reference.attribute])
        try:
            return launch.launch(actor, decision, arn, results)
        except errors.BunniesError as error:
            return None, Outcome(decision.address, "launch", Status.FAILED, str(error))

    yield from _as_they_come(one, ready)


def _as_they_come(
    one: Callable[[JobDecision], tuple[Attempt | None, Outcome]], ready: Sequence[JobDecision]
) -> Iterator[tuple[JobDecision, Attempt | None, Outcome]]:
    pool = ThreadPoolExecutor(max_workers=AT_ONCE)
    try:
        futures = {pool.submit(one, decision): decision for decision in ready}
        for future in as_completed(futures):
            yield futures[future], *future.result()
    finally:
        pool.shutdown(
            cancel_futures=True
        )  # interrupted: what is under way ends, the rest is for the next apply
