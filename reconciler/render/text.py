"""The model as lines of text, each a list of (words, style).

Job: say at a glance what will happen, why, and where in the manifests it comes from; the most important line
last. Input: Plan, Outcomes. Output: Lines. Must not: know a terminal (terminal.py paints them).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from reconciler.canonical import normalised
from reconciler.model import (
    NOTHING,
    UNKNOWN,
    Action,
    Change,
    Decision,
    JobDecision,
    Outcome,
    Plan,
    Resource,
    Status,
)
from reconciler.redact import HIDDEN, Redactor
from reconciler.render.data import OPEN, plain

Line = list[tuple[str, str]]
"""Words with the name of a style: add, change, remove, bad, good, dim, bold, or "" for none."""

_SYMBOLS: Final = {
    Action.CREATE: ("+", "add"),
    Action.UPDATE: ("~", "change"),
    Action.REVISE: ("~", "change"),
    Action.DELETE: ("-", "remove"),
    Action.ADOPT: ("&", "change"),
    Action.CONFLICT: ("!", "bad"),
}
_JOB_STYLES: Final = {
    Decision.RUN: (">", "add"),
    Decision.RETRY: (">", "change"),
    Decision.RUNNING: ("*", "good"),
    Decision.CACHED: ("=", "dim"),
    Decision.BLOCKED: (".", "dim"),
    Decision.FAILED: ("!", "bad"),
}
_STATUS_STYLES: Final = {
    Status.CHANGED: "good",
    Status.LAUNCHED: "good",
    Status.ADOPTED: "good",
    Status.SUCCEEDED: "good",
    Status.SKIPPED: "change",
    Status.FAILED: "bad",
    Status.UNCHANGED: "dim",
}
_KEYS_SHOWN: Final = 4
_SAID: Final = (str(UNKNOWN), HIDDEN)
"""Values that are our own words."""
_DONE: Final = {
    "create": "created",
    "update": "updated",
    "revise": "revised",
    "delete": "deleted",
    "adopt": "taken over",
    "publish": "published",
}
_TRIED: Final = {
    "create": "create",
    "update": "update",
    "revise": "revise",
    "delete": "delete",
    "adopt": "adopt",
}


def plan(
    found: Plan, unwanted: Sequence[Resource] = (), *, verbose: bool = False, redactor: Redactor = OPEN
) -> Iterator[Line]:
    """The plan for a person. `unwanted`: what is ours and no manifest wants, while nobody said --prune."""
    yield from changes(found.changes, verbose=verbose, redactor=redactor)
    yield from jobs(found.jobs, verbose=verbose)
    for copy in found.copies:
        yield [(f"+ {copy.target}", "add"), ("  publish", "bold"), (f"  of {copy.address}", "dim")]
    for resource in unwanted:
        yield [
            ("? ", "change"),
            (resource.address, ""),
            ("  no manifest wants it; --prune deletes it", "dim"),
        ]
    yield _total(found)


def changes(found: Iterable[Change], *, verbose: bool = False, redactor: Redactor = OPEN) -> Iterator[Line]:
    """Each change with its fields; what is unchanged with `verbose` alone."""
    for change in found:
        if change.action is not Action.UNCHANGED:
            yield from _change(change, redactor, verbose=verbose)
        elif verbose:
            yield [("= ", "dim"), (change.address, "dim")]


def jobs(decisions: Iterable[JobDecision], *, verbose: bool = False) -> Iterator[Line]:
    """Jobs of one name with one fate are one line; those that are CACHED are counted only."""
    shown = [d for d in decisions if verbose or d.decision is not Decision.CACHED]
    groups: dict[tuple[str, Decision, str], list[str]] = {}
    for one in shown:
        groups.setdefault((_name(one.address), one.decision, one.why), []).append(one.address)
    for (name, decision, why), addresses in groups.items():
        keys = [address.split("/", 2)[2] for address in addresses if address.count("/") > 1]
        symbol, style = _JOB_STYLES[decision]
        place = f"{name}[{_some(keys)}]" if keys else name
        count = f"  {len(keys)} {decision}" if len(keys) > 1 else f"  {decision}"
        yield [(f"{symbol} {place}", style), (count, "bold"), (f"  {why}" if why else "", "dim")]


def outcome(found: Outcome) -> Line:
    """One outcome of an apply."""
    line: Line = [(f"{found.status:<9}", _STATUS_STYLES[found.status]), (f" {found.address}", "")]
    done = found.status is Status.CHANGED
    words = _DONE.get(found.action, found.action) if done else _TRIED.get(found.action, "")
    if words:
        line.append((f"  {words}", "" if done else "dim"))
    detail = _result(found) if done else found.detail
    if detail:
        line.append((f"  {detail}", "bad" if found.status is Status.FAILED else "dim"))
    return line


def _result(found: Outcome) -> str:
    """What there is now: an image by its digest, a revision by its number, with why it was changed."""
    if found.action == Action.CREATE or found.address.startswith("image/"):
        made = found.attributes.get("uri") or found.attributes.get("arn") or ""
        return str(made)
    revision = found.attributes.get("revision")
    words = [f"revision {revision}"] if revision and found.action == Action.REVISE else []
    return ": ".join([*words, found.detail] if found.detail else words)


def counts(told: Sequence[Outcome], cached: int) -> dict[str, int]:
    """The numbers of the recap. `cached`: jobs that had succeeded before.

    Of a job's attempts the last one counts: what a retry mended has not failed.
    """
    ends = {outcome.address: outcome for outcome in told if outcome.action == "finish"}
    found = Counter(
        outcome.status for outcome in [*(o for o in told if o.action != "finish"), *ends.values()]
    )
    ok = sum(found[status] for status in Status if status not in (Status.SKIPPED, Status.FAILED))
    return {
        "ok": ok,
        "changed": found[Status.CHANGED],
        "unchanged": found[Status.UNCHANGED],
        "skipped": found[Status.SKIPPED],
        "failed": found[Status.FAILED],
        "launched": found[Status.LAUNCHED],
        "adopted": found[Status.ADOPTED],
        "cached": cached,
        "succeeded": found[Status.SUCCEEDED],
    }


def recap(numbers: Mapping[str, int]) -> Line:
    """`RECAP ok=… changed=… … | launched=… …`, of `counts`."""
    words = [f"{name}={number}" for name, number in numbers.items()]
    text = f"RECAP {' '.join(words[:5])} | {' '.join(words[5:])}"
    return [(text, "bad" if numbers["failed"] else "bold")]


def failure(decision: JobDecision) -> Line:
    """A job that will not succeed without a person, and what that person may look at first."""
    style = _JOB_STYLES[decision.decision][1]
    line: Line = [
        (f"{decision.address}", style),
        (f"  {decision.decision}", "bold"),
        (f"  {decision.why}", ""),
    ]
    if decision.decision is Decision.FAILED:
        line.append((f"  (bunnies logs {decision.address})", "dim"))
    return line


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[Line]:
    """Columns padded to their widest cell, two blanks between."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for number, row in enumerate(cells):
        words = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield [(words, "dim" if number == 0 else "")]


def duration(seconds: float) -> str:
    """`4.2s`, `3m07s`, `2h05m`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def _change(change: Change, redactor: Redactor, *, verbose: bool) -> Iterator[Line]:
    symbol, style = _SYMBOLS[change.action]
    line: Line = [(f"{symbol} {change.address}", style), (f"  {change.action}", "bold")]
    if change.source:
        line.append((f"  {change.source}", "dim"))
    if change.why and change.action is Action.DELETE:
        line.append((f"  {change.why}", "dim"))
    yield line
    if change.action in (Action.CONFLICT, Action.ADOPT):
        yield [(f"    {change.why}", style)]
    shown = (Action.UPDATE, Action.REVISE, Action.ADOPT, *((Action.CREATE, Action.DELETE) if verbose else ()))
    if change.action not in shown:
        return
    for field in change.fields:
        before, after = (redactor.data(plain(side), field.path) for side in (field.before, field.after))
        words: Line = [(f"    {field.path}: ", "")]
        if change.action is not Action.CREATE:
            words += [(value(before), "remove"), (" → ", "")]
        words.append((value(after), "add"))
        if field.drift:
            words.append(("  drift: changed outside of bunnies", "change"))
        yield words
    if change.before and (due := change.before.options.get("due", NOTHING).get(change.action)):
        yield [(f"    {due}", "remove")]
    if verbose and change.before and change.after and change.before.raw:
        for one in normalised.between(change.before.raw, change.after.raw, change.fields):
            yield [(f"    = {one.path}  ({one.rule})", "dim")]  # no values: they may be secrets


def value(given: Any) -> str:
    """A value of a field in a plan, on one line, shortened to 100 characters."""
    if given is None:
        return "(none)"
    shown = plain(given)
    words = str(shown) if shown in _SAID else json.dumps(shown, ensure_ascii=False)
    return words if len(words) <= 100 else words[:97] + "…"


def _some(keys: Sequence[str]) -> str:
    if len(keys) <= _KEYS_SHOWN:
        return ", ".join(keys)
    return f"{', '.join(keys[: _KEYS_SHOWN - 1])}, … {keys[-1]}"


def _name(address: str) -> str:
    return "/".join(address.split("/")[:2])


def total(found: Plan) -> str:
    """The last line of a plan: `Plan: 3 to create, 0 unchanged; jobs: 8 RUN.`"""
    return "".join(words for words, _ in _total(found))


def _total(found: Plan) -> Line:
    summary = found.summary
    changes = [
        f"{summary[a]} to {a}" for a in ("create", "update", "revise", "delete", "adopt") if summary[a]
    ]
    jobs = [f"{summary[d.lower()]} {d}" for d in Decision if summary[d.lower()]]
    bad = [f"{summary['conflict']} in conflict"] if summary["conflict"] else []
    tail = (f"; jobs: {', '.join(jobs)}" if jobs else "") + "." + _limits(found)
    if not found.has_changes and not bad:
        return [(f"Nothing to do: {summary['unchanged']} resources unchanged{tail}", "good")]
    copies = [f"{len(found.copies)} to publish"] if found.copies else []
    parts = [*changes, *copies, *bad, f"{summary['unchanged']} unchanged"]
    return [(f"Plan: {', '.join(parts)}{tail}", "bold")]


def _limits(found: Plan) -> str:
    """What a plan that is not complete says of itself."""
    words = [f"--limit {pattern}" for pattern in found.limit]
    words += [f"--exclude {pattern}" for pattern in found.exclude]
    return f" Not complete: {' '.join(words)}." if words else ""
