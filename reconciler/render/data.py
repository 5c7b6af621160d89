"""The model as plain dictionaries: what `--json` and `--out` give (schemas/plan.schema.json).

Input: Plan, Outcome, Change. Output: dictionaries and lists of JSON types, secrets hidden by name. Must not: print.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reconciler import __version__, seal
from reconciler.model import NOTHING, Action, Change, JobDecision, Outcome, Plan, Source, Status
from reconciler.redact import Redactor

FORMAT_VERSION: Final = "1"

OPEN: Final = Redactor()
"""Hides what looks secret by itself, and knows of nothing else."""


def plan(found: Plan, redactor: Redactor = OPEN, made_from: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """`plan --json` and `plan --out`. Unchanged resources are counted in the summary and not listed.

    `made_from` is what the plan was asked with: paths, files of variables, options; an apply of the file asks it again.
    """
    return {
        "format_version": FORMAT_VERSION,
        "bunnies_version": __version__,
        "owner": found.owner,
        "complete": found.complete,
        "limit": list(found.limit),
        "exclude": list(found.exclude),
        "made_from": dict(made_from),
        "summary": found.summary,
        "changes": [
            _change(change, redactor) for change in found.changes if change.action is not Action.UNCHANGED
        ],
        "jobs": [_job(decision, redactor) for decision in found.jobs],
        "publish": [{"address": copy.address, "target": copy.target} for copy in found.copies],
        "plan_digest": found.digest,
    }


def version() -> dict[str, Any]:
    """The first line of `apply --json`."""
    return {"type": "version", "format_version": FORMAT_VERSION, "bunnies_version": __version__}


def planned(found: Plan) -> dict[str, Any]:
    """The second line: what the apply is about to do."""
    return {
        "type": "planned",
        "owner": found.owner,
        "plan_digest": found.digest,
        "complete": found.complete,
        "summary": found.summary,
    }


def start(address: str, action: str) -> dict[str, Any]:
    """A change has begun."""
    return {"type": "start", "address": address, "action": action}


def progress(words: str) -> dict[str, Any]:
    """What is going on now."""
    return {"type": "progress", "message": words}


def outcome(found: Outcome, redactor: Redactor = OPEN) -> dict[str, Any]:
    """One line of `apply --json`: what became of a change, a launch, a job or a copy."""
    kind = "failed" if found.status in (Status.FAILED, Status.SKIPPED) else "complete"
    return {
        "type": "start" if found.status is Status.LAUNCHED else kind,
        "address": found.address,
        "action": str(found.action),
        "status": str(found.status),
        "detail": redactor.text(found.detail),
        "stale": found.stale,
    }


def summary(counts: Mapping[str, int], exit_code: int) -> dict[str, Any]:
    """The last line of `apply --json`: the numbers of the recap."""
    return {"type": "summary", **counts, "exit_code": exit_code}


def plain(value: Any) -> Any:
    """`value` with Refs and UNKNOWN as the words people see."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _change(change: Change, redactor: Redactor) -> dict[str, Any]:
    _, _, before, after = seal.line(change)
    return {
        "address": change.address,
        "action": change.action.value,
        "why": redactor.text(change.why),
        "source": _source(change.source),
        "fields": [
            {
                "path": field.path,
                "before": redactor.data(plain(field.before), field.path),
                "after": redactor.data(plain(field.after), field.path),
                "drift": field.drift,
            }
            for field in change.fields
        ],
        "fingerprints": {"before": before, "after": after},
    }


def _job(decision: JobDecision, redactor: Redactor) -> dict[str, Any]:
    return {
        "address": decision.address,
        "decision": decision.decision.value,
        "why": redactor.text(decision.why),
        "job_id": decision.job.job_id,
        "attempt": decision.attempt,
        "source": _source(decision.job.source),
    }


def _source(source: Source | None) -> dict[str, Any] | None:
    return None if source is None else {"file": source.file, "line": source.line}
