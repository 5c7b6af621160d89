"""Everything a plan is made from, read in one pass.

Job: run `facts`, `desired` and `live` of every kind, then the jobs' identities and their records in the ledger.
Input: World, Ledger, ManifestSet. Output: Survey, and from it a Plan. Must not: change anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from reconciler import decide, kinds, publish, validate
from reconciler import plan as planner
from reconciler.kinds import job as job_kind
from reconciler.ledger import Ledger
from reconciler.model import Action, Copy, Decision, Job, JobRecord, ManifestSet, Plan, Resource


@dataclass(frozen=True, slots=True)
class Survey:
    """What is wanted and what is there, at one moment.

    `live` is by address, `records` by job id; `history` gives the identity that an address meant last, under
    another job id than now; `copies` are due at the places that jobs publish to.
    """

    manifests: ManifestSet
    desired: tuple[Resource, ...]
    live: Mapping[str, Resource]
    jobs: tuple[Job, ...]
    records: Mapping[str, JobRecord]
    history: Mapping[str, Mapping[str, Any] | None]
    copies: tuple[Copy, ...]


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
        desired += wanted
        live |= kind.live(world, wanted)
    jobs = _jobs(world, manifests, desired)
    with ThreadPoolExecutor(1) as pool:
        history = pool.submit(ledger.history, [job.address for job in jobs])
        records = ledger.records([job.job_id for job in jobs])
        copies = publish.pending(world.aws, jobs, records)
        earlier = _earlier(jobs, history.result())
    return Survey(manifests, tuple(desired), live, jobs, records, earlier, copies)


def plan(found: Survey, *, prune: bool = False, allow_deletes: int = 0) -> Plan:
    """The Plan that this survey calls for. Pure; raises GuardError where Settings.guards refuse it."""
    settings = found.manifests.settings
    changes = planner.plan(settings.name, found.desired, found.live, prune=prune)
    changing = {change.address for change in changes if change.action is not Action.UNCHANGED}
    conflicts = {change.address for change in changes if change.action is Action.CONFLICT}
    decisions = decide.decide(found.jobs, found.records, found.history, changing, conflicts)
    starts = sum(decision.decision in (Decision.RUN, Decision.RETRY) for decision in decisions)
    planner.guard(changes, starts, settings.guards, allow_deletes)
    return planner.assemble(settings.name, changes, decisions, found.copies)


def _jobs(world: kinds.World, manifests: ManifestSet, desired: list[Resource]) -> tuple[Job, ...]:
    of_kind = manifests.of("Job")
    if not of_kind:
        return ()
    world.tell("reading the inputs of jobs")
    facts = job_kind.facts(world, of_kind)
    by_address = {resource.address: resource for resource in desired}
    return job_kind.desired(of_kind, manifests.settings, by_address, facts)


def _earlier(
    jobs: tuple[Job, ...], history: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> dict[str, Mapping[str, Any] | None]:
    """The identity that each address meant before, where that was another job."""
    earlier: dict[str, Mapping[str, Any] | None] = {}
    for job in jobs:
        job_id, identity = history.get(job.address, (job.job_id, {}))
        earlier[job.address] = identity if job_id != job.job_id else None
    return earlier
