"""A job's next attempt: claimed, then started. Rule 2 of docs/jobs.md.

Job: build the exact request, and write the ledger in the order that makes every crash harmless: identity, address,
claim, job spec, RunTask, task. Input: a JobDecision. Output: the attempt and an Outcome. Must not: decide whether
an attempt is due, or wait for one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from reconciler import attempts, errors, recover, tasks
from reconciler.attempts import Actor
from reconciler.kinds import job as jobs
from reconciler.ledger import Ledger
from reconciler.model import Attempt, Job, JobDecision, Outcome, Status

LARGEST_OVERRIDES: Final = 8192  # characters of JSON that RunTask takes

_PASSED_ON: Final = (  # RunTask's own parameters, as the manifest has them
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "enableExecuteCommand",
    "enableECSManagedTags",
    "propagateTags",
    "placementConstraints",
    "placementStrategy",
    "group",
    "volumeConfigurations",
)


def launch(
    actor: Actor, decision: JobDecision, task_definition: str, results: Mapping[str, Mapping[str, Any]]
) -> tuple[Attempt | None, Outcome]:
    """Claims and starts the attempt that `decision` names; None where another apply claimed it first.

    `task_definition` is the ARN of a revision, `results` gives the result of each job that this one takes inputs
    from. Raises AwsError where the ledger cannot be written, BunniesError where the request is not possible.
    """
    job, number = decision.job, decision.attempt
    spec = jobspec(actor, job, number, results)
    request = run_task(actor, job, number, task_definition)
    actor.ledger.identity(job.job_id, job.identity)
    actor.ledger.address(job.address, job.job_id)
    return _claim_and_start(
        actor,
        job.address,
        number,
        {"request": request, "jobspec": spec, "manual": False, "why": decision.why},
    )


def relaunch(actor: Actor, address: str, attempt: Attempt) -> tuple[Attempt | None, Outcome]:
    """Claims and starts another attempt like `attempt`, which has its result, because a person says so."""
    claim = attempt.claim
    if claim is None:
        raise AssertionError("an attempt without a claim has nothing to repeat")
    ledger, job_id, number = actor.ledger, str(claim["job_id"]), attempt.number + 1
    placed = _places(ledger, address, job_id, number)
    token, tags = _token(ledger, job_id, number), _tags(actor, address, job_id, number)
    request = {**claim["request"], "clientToken": token}
    own = {tag["key"] for tag in tags}
    request["tags"] = tags + [tag for tag in request["tags"] if tag["key"] not in own]
    first, *others = request["overrides"]["containerOverrides"]
    first = {**first, "environment": [{"name": tasks.JOBSPEC, "value": ledger.jobspec_url(job_id, number)}]}
    request["overrides"] = {**request["overrides"], "containerOverrides": [first, *others]}
    document = {
        "request": request,
        "jobspec": {**claim["jobspec"], **placed},
        "manual": True,
        "why": "bunnies retry",
    }
    return _claim_and_start(actor, address, number, document)


def jobspec(actor: Actor, job: Job, number: int, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the shim reads: schemas/jobspec.schema.json."""
    inputs = jobs.complete_inputs(job, results)
    placed = _places(actor.ledger, job.address, job.job_id, number)
    return {**job.spec["jobspec"], **placed, "inputs": inputs}


def run_task(actor: Actor, job: Job, number: int, task_definition: str) -> dict[str, Any]:
    """RunTask's parameters; JSON as they stand, so that the claim can hold them to the byte."""
    settings, ledger, spec = actor.world.settings, actor.ledger, job.spec
    container: dict[str, Any] = {
        "name": spec["container"],
        "environment": [{"name": tasks.JOBSPEC, "value": ledger.jobspec_url(job.job_id, number)}],
    }
    if spec.get("containerMemory"):
        container["memory"] = spec["containerMemory"]
    overrides = {**spec.get("overrides", {}), "containerOverrides": [container]}
    length = len(json.dumps(overrides))
    if length > LARGEST_OVERRIDES:
        raise errors.BunniesError(
            f"{job.address}: its overrides are {length} characters long; RunTask takes {LARGEST_OVERRIDES}. "
            "Write less into cpu, memory, inferenceAccelerators and the like."
        )
    tags = _tags(actor, job.address, job.job_id, number)
    tags += [{"key": str(key), "value": str(value)} for key, value in sorted(spec.get("tags", {}).items())]
    request: dict[str, Any] = {
        "cluster": settings.cluster,
        "taskDefinition": task_definition,
        "count": 1,
        "clientToken": _token(ledger, job.job_id, number),
        "startedBy": recover.started_by(settings.name),
        "tags": tags,
        "overrides": overrides,
    }
    request |= {name: spec[name] for name in _PASSED_ON if spec.get(name) is not None}
    if spec.get("awsvpc"):
        # securityGroups is optional in ECS; the list goes along because not every stand-in takes its absence.
        network = {"securityGroups": [], **settings.network}
        request["networkConfiguration"] = {"awsvpcConfiguration": network}
    plain: dict[str, Any] = json.loads(json.dumps(request))
    return plain


def _claim_and_start(
    actor: Actor, address: str, number: int, document: Mapping[str, Any]
) -> tuple[Attempt | None, Outcome]:
    ledger, job_id = actor.ledger, str(document["jobspec"]["job_id"])
    claim = {
        "address": address,
        "owner": actor.world.settings.name,
        "claimed_at": ledger.clock.stamp(),
        "by": actor.by,
        "source": dict(actor.source()),
        **document,
    }
    claimed = ledger.claim(job_id, number, claim)
    if not claimed.ours:
        who, when = claimed.document.get("by", "somebody"), claimed.document.get("claimed_at", "before")
        detail = f"attempt {number} was claimed by {who} ({when}), whose apply starts it"
        return None, Outcome(address, "launch", Status.SKIPPED, detail)
    return attempts.start(actor, address, Attempt(number, claim=claimed.document))


def _places(ledger: Ledger, address: str, job_id: str, number: int) -> dict[str, Any]:
    return {
        "address": address,
        "job_id": job_id,
        "attempt": number,
        "attempt_url": ledger.attempt_url(job_id, number),
        "outputs_url": ledger.outputs_url(address, job_id, number),
    }


def _token(ledger: Ledger, job_id: str, number: int) -> str:
    """64 characters, the most that ECS takes; with the attempt in it, so that attempt 2 is not the dead task of 1."""
    return hashlib.sha256(f"{ledger.bucket}/{ledger.prefix}/{job_id}/{number}".encode()).hexdigest()


def _tags(actor: Actor, address: str, job_id: str, number: int) -> list[dict[str, str]]:
    own = {"owner": actor.world.settings.name, "address": address, "job": job_id, "attempt": str(number)}
    return [{"key": f"bunnies:{name}", "value": value} for name, value in own.items()]
