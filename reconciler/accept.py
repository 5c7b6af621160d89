"""A new identity takes the result of the last one, because a person says that it would come out the same.

Job: carry out `bunnies accept`. Input: decisions of a plan, addresses or patterns. Output: Outcomes.
Must not: judge whether the two are the same: who, when and why are written down instead.

The claim holds the whole result, so that whoever finds it without one can finish.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from reconciler import decide, errors, ledger
from reconciler.attempts import Actor
from reconciler.model import Decision, JobDecision, JobRecord, Outcome, Status

_OPEN = (Decision.RUN, Decision.RETRY, Decision.FAILED, Decision.BLOCKED)


def accept(
    actor: Actor, decisions: Sequence[JobDecision], wanted: Iterable[str], why: str
) -> Iterator[Outcome]:
    """Gives each job of `wanted` that has not succeeded the result of what its address meant before.

    Raises BunniesError for an address or pattern that no job has.
    """
    chosen: dict[str, JobDecision] = {}
    for pattern in wanted:
        found = {one.address: one for one in decisions if ledger.matches(pattern, one.address)}
        if not found:
            raise errors.BunniesError(f"{pattern} is no job of these manifests.")
        chosen |= found
    meanings = actor.ledger.meanings()
    for decision in chosen.values():
        if decision.decision not in _OPEN:
            why_not = f"it is {decision.decision}: {decision.why}"
            yield Outcome(decision.address, "accept", Status.UNCHANGED, why_not)
            continue
        ids = [one.job_id for one in meanings.get(decision.address, ())]
        yield _one(
            actor, decision, [job_id for job_id in reversed(ids) if job_id != decision.job.job_id], why
        )


def _one(actor: Actor, decision: JobDecision, earlier: Sequence[str], why: str) -> Outcome:
    """The newest success among `earlier` job ids becomes that of the job."""
    book, job = actor.ledger, decision.job
    records = book.records([*earlier, job.job_id])
    own = records[job.job_id].last
    if own is not None and own.result is None:
        return Outcome(
            job.address, "accept", Status.FAILED, f"attempt {own.number} runs; `bunnies stop` it first"
        )
    found = _success(records, earlier)
    if found is None:
        return Outcome(job.address, "accept", Status.FAILED, "no earlier run of it succeeded")
    before, number, result = found
    missing = set(job.spec["jobspec"]["outputs"]) - set(result.get("outputs") or {})
    if missing:
        what = f"the result of {before[:12]} lacks outputs: {', '.join(sorted(missing))}"
        return Outcome(job.address, "accept", Status.FAILED, what)
    given = {name: result[name] for name in ("exit_code", "inputs", "outputs", "image") if name in result}
    accepted = {"from": before, "attempt": number, "by": actor.by, "at": book.clock.stamp(), "why": why}
    ending = {"address": job.address, "status": "succeeded", "error": None, **given, "accepted": accepted}
    next_ = (own.number if own else 0) + 1
    claim: dict[str, Any] = {
        "address": job.address,
        "owner": actor.world.settings.name,
        "claimed_at": book.clock.stamp(),
        "by": actor.by,
        "manual": True,
        "why": f"accepted: {why}",
        "jobspec": job.spec["jobspec"],
        "accepted": ending,
    }
    book.identity(job.job_id, job.identity)
    book.address(job.address, job.job_id)
    claimed = book.claim(job.job_id, next_, claim)
    if not claimed.ours:
        return Outcome(job.address, "accept", Status.SKIPPED, f"attempt {next_} was claimed by another")
    book.close(job.job_id, next_, ending)
    detail = f"the result of {before[:12]}, attempt {number}"
    return Outcome(job.address, "accept", Status.CHANGED, detail)


def _success(records: dict[str, JobRecord], earlier: Sequence[str]) -> tuple[str, int, Any] | None:
    for job_id in earlier:
        if best := decide.success(records[job_id]):
            return job_id, best.number, best.result
    return None
