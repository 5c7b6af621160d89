"""The model as lines of text, each a list of (words, style).

Job: say at a glance what will happen, why, and where in the manifests it comes from; the most important line
last. Input: Plan, Outcomes. Output: Lines. Must not: know a terminal (terminal.py paints them).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from reconciler.model import Action, Change, Decision, JobDecision, Outcome, Plan, Resource, Status
from reconciler.render.data import plain

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


def plan(found: Plan, unwanted: Sequence[Resource] = (), *, verbose: bool = False) -> Iterator[Line]:
    """The plan for a person. `unwanted`: what is ours and no manifest wants, while nobody said --prune."""
    for change in found.changes:
        if change.action is not Action.UNCHANGED:
            yield from _change(change)
        elif verbose:
            yield [("= ", "dim"), (change.address, "dim")]
    yield from _jobs(found.jobs, verbose=verbose)
    for copy in found.copies:
        yield [(f"+ {copy.target}", "add"), ("  publish", "bold"), (f"  of {copy.address}", "dim")]
    for resource in unwanted:
        yield [
            ("? ", "change"),
            (resource.address, ""),
            ("  no manifest wants it; --prune deletes it", "dim"),
        ]
    yield _total(found)


def outcome(found: Outcome) -> Line:
    """One outcome of an apply."""
    line: Line = [(f"{found.status:<9}", _STATUS_STYLES[found.status]), (f" {found.address}", "")]
    if found.action:
        line.append((f"  {found.action}", "dim"))
    if found.detail:
        line.append((f"  {found.detail}", "bad" if found.status is Status.FAILED else "dim"))
    return line


def recap(told: Iterable[Outcome], cached: int) -> Line:
    """`RECAP ok=… changed=… … | launched=… …` (design §4). `cached`: jobs that had succeeded before."""
    counts = Counter(found.status for found in told)
    ok = sum(counts[status] for status in Status if status not in (Status.SKIPPED, Status.FAILED))
    words = (
        f"RECAP ok={ok} changed={counts[Status.CHANGED]} unchanged={counts[Status.UNCHANGED]} "
        f"skipped={counts[Status.SKIPPED]} failed={counts[Status.FAILED]} | "
        f"launched={counts[Status.LAUNCHED]} adopted={counts[Status.ADOPTED]} "
        f"cached={cached} succeeded={counts[Status.SUCCEEDED]}"
    )
    return [(words, "bad" if counts[Status.FAILED] else "bold")]


def failure(decision: JobDecision) -> Line:
    """A job that will not succeed without a person."""
    style = _JOB_STYLES[decision.decision][1]
    return [(f"{decision.address}", style), (f"  {decision.decision}", "bold"), (f"  {decision.why}", "")]


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


def _change(change: Change) -> Iterator[Line]:
    symbol, style = _SYMBOLS[change.action]
    line: Line = [(f"{symbol} {change.address}", style), (f"  {change.action}", "bold")]
    if change.source:
        line.append((f"  {change.source}", "dim"))
    yield line
    if change.action in (Action.CONFLICT, Action.ADOPT):
        yield [(f"    {change.why}", style)]
    if change.action in (Action.UPDATE, Action.REVISE, Action.ADOPT):
        for field in change.fields:
            yield [
                (f"    {field.path}: ", ""),
                (value(field.before), "remove"),
                (" → ", ""),
                (value(field.after), "add"),
            ]


def value(given: Any) -> str:
    """A value of a field in a plan, on one line, shortened to 100 characters."""
    if given is None:
        return "(none)"
    shown = plain(given)
    words = shown if shown == "(known after apply)" else json.dumps(shown, ensure_ascii=False)
    return words if len(words) <= 100 else words[:97] + "…"


def _jobs(decisions: Sequence[JobDecision], *, verbose: bool) -> Iterator[Line]:
    """Jobs of one name with one fate are one line; those that are CACHED are counted only."""
    shown = [d for d in decisions if verbose or d.decision is not Decision.CACHED]
    for (name, decision, why), group in groupby(shown, lambda d: (_name(d.address), d.decision, d.why)):
        keys = [d.address.split("/", 2)[2] for d in group if d.address.count("/") > 1]
        symbol, style = _JOB_STYLES[decision]
        place = f"{name}[{_some(keys)}]" if keys else name
        count = f"  {len(keys)} {decision}" if len(keys) > 1 else f"  {decision}"
        yield [(f"{symbol} {place}", style), (count, "bold"), (f"  {why}" if why else "", "dim")]


def _some(keys: Sequence[str]) -> str:
    if len(keys) <= _KEYS_SHOWN:
        return ", ".join(keys)
    return f"{', '.join(keys[: _KEYS_SHOWN - 1])}, … {keys[-1]}"


def _name(address: str) -> str:
    return "/".join(address.split("/")[:2])


def _total(found: Plan) -> Line:
    summary = found.summary
    changes = [
        f"{summary[a]} to {a}" for a in ("create", "update", "revise", "delete", "adopt") if summary[a]
    ]
    jobs = [f"{summary[d.lower()]} {d}" for d in Decision if summary[d.lower()]]
    bad = [f"{summary['conflict']} in conflict"] if summary["conflict"] else []
    if not found.has_changes and not bad:
        words = f"Nothing to do: {summary['unchanged']} resources unchanged"
        return [(words + (f"; jobs: {', '.join(jobs)}" if jobs else "") + ".", "good")]
    copies = [f"{len(found.copies)} to publish"] if found.copies else []
    parts = [*changes, *copies, *bad, f"{summary['unchanged']} unchanged"]
    return [(f"Plan: {', '.join(parts)}" + (f"; jobs: {', '.join(jobs)}" if jobs else "") + ".", "bold")]
