"""The model as plain dictionaries: what `--json` prints.

Input: Plan, Outcome, Change. Output: dictionaries and lists of JSON types. Must not: print.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reconciler.model import Action, Change, JobDecision, Outcome, Plan, Source

FORMAT_VERSION: Final = "1"


def plan(found: Plan) -> dict[str, Any]:
    """`plan --json` (design §4). Unchanged resources are counted in the summary and not listed."""
    return {
        "format_version": FORMAT_VERSION,
        "owner": found.owner,
        "summary": found.summary,
        "changes": [_change(change) for change in found.changes if change.action is not Action.UNCHANGED],
        "jobs": [_job(decision) for decision in found.jobs],
        "publish": [{"address": copy.address, "target": copy.target} for copy in found.copies],
        "plan_digest": found.digest,
    }


def outcome(found: Outcome) -> dict[str, Any]:
    """One line of `apply --json`."""
    return {
        "address": found.address,
        "action": str(found.action),
        "status": str(found.status),
        "detail": found.detail,
    }


def plain(value: Any) -> Any:
    """`value` with Refs and UNKNOWN as the words people see."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _change(change: Change) -> dict[str, Any]:
    return {
        "address": change.address,
        "action": change.action.value,
        "why": change.why,
        "source": _source(change.source),
        "fields": [
            {"path": field.path, "before": plain(field.before), "after": plain(field.after)}
            for field in change.fields
        ],
    }


def _job(decision: JobDecision) -> dict[str, Any]:
    return {
        "address": decision.address,
        "decision": decision.decision.value,
        "why": decision.why,
        "job_id": decision.job.job_id,
        "attempt": decision.attempt,
        "source": _source(decision.job.source),
    }


def _source(source: Source | None) -> dict[str, Any] | None:
    return None if source is None else {"file": source.file, "line": source.line}
