"""Everything a plan is made from, read in one pass.

Job: run `facts`, `desired` and `live` of every kind, then the jobs' identities and their records in the ledger.
Input: World, Ledger, ManifestSet. Output: Survey, and from it a Plan. Must not: change anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from reconciler import bygone, decide, kinds, limit, presence, publish, remembered, validate
from reconciler import plan as planner
from reconciler.kinds import job as job_kind
from reconciler.ledger import Ledger
from reconciler.model import (
    NOTHING,
    Action,
    Copy,
    Decision,
    Job,
    JobRecord,
    ManifestSet,
    Plan,
    Ref,
    Resource,
)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is wanted and what is there, at one moment.

    `live` is by address, `records` by job id; `history` gives the identity that an address meant last, under
    another job id than now; `copies` are due at the places that jobs publish to; `gone` are jobs whose outputs
    are needed and not there.
    """

    manifests: ManifestSet
    desired: tuple[Resource, ...]
    live: Mapping[str, Resource]
    jobs: tuple[Job, ...]
    records: Mapping[str, JobRecord]
    history: Mapping[str, Mapping[str, Any] | None]
    copies: tuple[Copy, ...]
    gone: Mapping[str, int] = NOTHING


def survey(world: kinds.World, ledger: Ledger, manifests: ManifestSet) -> Survey:
    """Read the world for these manifests, which are checked first: ManifestError where they are not valid."""
    validate.validate(manifests)
    desired: list[Resource] = []
    live: dict[str, Resource] = {}
    for name in kinds.KINDS:
        kind = kinds.by_name(name)
        of_kind = [m for m in manifests.manifests if m.kind.lower() == name]
        facts = kind.facts(world, of_kind)
        wanted = [kind.desired(manifest, manifests.settings, facts) for manifest in of_kind]
        world.tell(f"reading {name}")
        found = kind.live(world, [_as_it_is(one, live) for one in wanted])
        desired += kinds.explained(kind, world, wanted, found)
        live |= found
    jobs = _jobs(world, ledger, manifests, desired)
    with ThreadPoolExecutor(1) as pool:
        history = pool.submit(ledger.history, {job.address: job.job_id for job in jobs})
        records = ledger.records([job.job_id for job in jobs], remembered.read(ledger, jobs), lean=True)
        copies = publish.pending(world.aws, jobs, records)
        earlier = _earlier(jobs, history.result())
    _, gone = presence.decisions(
        ledger, records, lambda gone: decide.decide(jobs, records, earlier, decide.Ground(gone=gone))
    )
    return Survey(manifests, tuple(desired), live, jobs, records, earlier, copies, gone)


def plan(
    found: Survey, *, prune: bool = False, allow_deletes: int = 0, scope: limit.Scope = limit.EVERYTHING
) -> Plan:
    """The Plan that this survey calls for. Pure; raises GuardError where Settings.guards refuse it."""
    settings = found.manifests.settings
    everything = planner.plan(settings.name, found.desired, found.live, prune=prune)
    scope.check([change.address for change in everything] + [job.address for job in found.jobs])
    changes = limit.changes(scope, everything)
    changing = {change.address for change in changes if change.action is not Action.UNCHANGED}
    absent = {change.address: "is not ours" for change in changes if change.action is Action.CONFLICT}
    absent |= limit.waiting(scope, everything)
    ground = decide.Ground(changing, absent, found.gone)
    decisions = decide.decide(found.jobs, found.records, found.history, ground)
    decisions = limit.decisions(scope, decisions)
    starts = sum(decision.decision in (Decision.RUN, Decision.RETRY) for decision in decisions)
    planner.guard(changes, starts, settings.guards, allow_deletes)
    copies = [copy for copy in found.copies if scope.holds(copy.address)]
    made = planner.assemble(settings.name, changes, decisions, copies)
    return replace(made, limit=scope.limit, exclude=scope.exclude)


def outside(found: Survey, made: Plan) -> dict[str, Mapping[str, Any]]:
    """Attributes of what is wanted, ours, there, and not in a limited plan: what is inside may refer to it."""
    inside = {change.address for change in made.changes}
    changes = planner.plan(made.owner, found.desired, found.live) if not made.complete else ()
    waiting = limit.waiting(limit.Scope(made.limit, made.exclude), changes)
    return {
        change.address: change.before.attributes
        for change in changes
        if change.before and change.address not in inside and change.address not in waiting
    }


def _as_it_is(resource: Resource, live: Mapping[str, Resource]) -> Resource:
    """What is wanted, with the values that its Refs have now: its digest can then tell that nothing changed."""
    if not resource.needs:
        return resource

    def now(ref: Ref) -> Any:
        found = live.get(ref.address)
        return ref if found is None else found.attributes.get(ref.attribute, ref)

    return replace(resource, spec=planner.fill(resource.spec, now))


def _jobs(
    world: kinds.World, ledger: Ledger, manifests: ManifestSet, desired: list[Resource]
) -> tuple[Job, ...]:
    of_kind = manifests.of("Job")
    if not of_kind:
        return ()
    world.tell("reading the inputs of jobs")
    facts = job_kind.facts(world, of_kind)
    by_address = {resource.address: resource for resource in desired}
    jobs = job_kind.desired(of_kind, manifests.settings, by_address, facts)
    gone = bygone.facts(ledger, jobs)
    if not gone:
        return jobs
    # with the inputs as they were it is the job that it was; should it have to run, it lacks them all the same
    lacks = {job.address: job.spec["missing"] for job in jobs}
    again = job_kind.desired(of_kind, manifests.settings, by_address, {**facts, **gone})
    return tuple(replace(job, spec={**job.spec, "missing": lacks[job.address]}) for job in again)


def _earlier(
    jobs: tuple[Job, ...], history: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> dict[str, Mapping[str, Any] | None]:
    """The identity that each address meant before, where that was another job."""
    earlier: dict[str, Mapping[str, Any] | None] = {}
    for job in jobs:
        job_id, identity = history.get(job.address, (job.job_id, {}))
        earlier[job.address] = identity if job_id != job.job_id else None
    return earlier
