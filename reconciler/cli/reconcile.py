"""validate, plan, apply: the stages in their order.

Input: Common options. Output: exit codes of docs/operations.md. Must not: decide; each stage does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.cli import again, hidden
from reconciler.cli.durations import DURATION
from reconciler.cli.options import Common, common
from reconciler.cli.reports import Asked, Reports, as_planned, made_from
from reconciler.cli.telling import Telling
from reconciler.errors import BunniesError, StalePlanError
from reconciler.limit import Scope
from reconciler.model import JobDecision, Outcome, Plan, Status

if TYPE_CHECKING:
    from reconciler.approval import Approved, Held
    from reconciler.attempts import Actor
    from reconciler.render.terminal import Terminal
    from reconciler.step import Progress
    from reconciler.survey import Survey

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

CHANGES_PRESENT = 2
APPLIED_IN_PART = 3
STALE = StalePlanError.exit_code
JOB_FAILED = 7

_file = click.Path(path_type=Path, dir_okay=False)


def _asked(command: F) -> F:
    """Options that say what goes into a plan, and where it is written."""
    for option in (
        click.option("--prune", is_flag=True, help="Delete what is ours and no manifest wants any more."),
        click.option(
            "--allow-deletes",
            type=click.IntRange(0),
            default=0,
            metavar="N",
            help="Let N deletions pass the guard.",
        ),
        click.option(
            "--limit",
            multiple=True,
            metavar="ADDRESS",
            help="Only this; * and ? are wildcards; job/NAME is all of an array.",
        ),
        click.option("--exclude", multiple=True, metavar="ADDRESS", help="All but this; as --limit."),
        click.option("--markdown", type=_file, metavar="FILE", help="For a pull request's comment."),
        click.option("--junit", type=_file, metavar="FILE", help="As JUnit XML."),
    ):
        command = option(command)
    return command


@click.command()
@common()
def validate(common: Common) -> int:
    """Check the manifests offline."""
    from reconciler import validate as stage

    manifests = common.load()
    stage.validate(manifests)
    for problem in stage.in_clear(manifests):
        click.echo(f"note: {problem}", err=True)
    count = len(manifests.manifests)
    click.echo(
        f"valid: {count} manifest{'s' if count != 1 else ''} of owner {manifests.settings.name}", err=True
    )
    return 0


@click.command()
@common()
@_asked
@click.option("--out", type=_file, metavar="FILE", help="Write the plan for `bunnies apply FILE`.")
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON on standard output.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there are changes or jobs to start.")
@click.option("--fast", is_flag=True, help="Believe the digest tags in AWS's tagging index; few calls.")
def plan(
    common: Common,
    *,
    prune: bool,
    allow_deletes: int,
    limit: tuple[str, ...],
    exclude: tuple[str, ...],
    markdown: Path | None,
    junit: Path | None,
    out: Path | None,
    as_json: bool,
    detailed_exitcode: bool,
    fast: bool,
) -> int:
    """Compare the manifests with live AWS and say what an apply would do."""
    from reconciler import survey
    from reconciler.plan import unwanted
    from reconciler.render import data, text
    from reconciler.render.terminal import Terminal

    if fast and out:
        raise click.UsageError(
            "--out wants every object read in full, so that an apply can compare it: leave --fast out"
        )
    terminal = Terminal(no_color=common.no_color)
    asked = Asked(prune, allow_deletes, Scope(limit, exclude))
    manifests = common.load()
    with terminal.progress():
        actor = common.actor(manifests.settings, terminal.tell, readonly=True, fast=fast)
        found = survey.survey(actor.world, actor.ledger, manifests)
    made = survey.plan(found, prune=prune, allow_deletes=allow_deletes, scope=asked.scope)
    left = [] if prune or not made.complete else unwanted(made.owner, found.desired, found.live)
    if as_json:
        document = data.plan(made, hidden.redactor(), made_from(common, asked))
        terminal.raw(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        terminal.out(text.plan(made, left, verbose=bool(common.verbose), redactor=hidden.redactor()))
    Reports(out, markdown, junit).planned(made, left, made_from(common, asked))
    if out:
        terminal.talk([(f"written: {out}; `bunnies apply {out}` does this, and nothing else", "dim")])
    return CHANGES_PRESENT if detailed_exitcode and made.has_changes else 0


@click.command()
@common()
@_asked
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", is_flag=True, help="Go on until every job is final; exit 7 if one failed.")
@click.option("--expect", metavar="DIGEST", help="Refuse (exit 4) any plan but the one with this digest.")
@click.option("--continue", "go_on", is_flag=True, help="Only go on with the jobs of the last apply.")
@click.option("--lock-timeout", type=DURATION, default=0, help="How long to wait for another's lock.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output.")
def apply(
    common: Common,
    *,
    prune: bool,
    allow_deletes: int,
    limit: tuple[str, ...],
    exclude: tuple[str, ...],
    markdown: Path | None,
    junit: Path | None,
    yes: bool,
    wait: bool,
    expect: str | None,
    go_on: bool,
    lock_timeout: int,
    as_json: bool,
) -> int:
    """Make the plan true: create, push, register, and run the jobs that are ready.

    In place of PATHs one PLAN.json, as `plan --out` wrote it: then only what it says is done, and only to what is
    still as it was.
    """
    from reconciler import survey
    from reconciler.render import text
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    asked = Asked(prune, allow_deletes, Scope(limit, exclude))
    approved = _approved(common, asked, expect)
    if approved:
        common, asked = as_planned(common, approved.document)
    manifests = common.load()
    telling = Telling(terminal, as_json=as_json)
    with terminal.progress():
        actor = common.actor(manifests.settings, telling.progress)
        click.get_current_context().with_resource(again.locked(actor, "apply", lock_timeout))
        if go_on:
            return _go_on(actor, telling, wait=wait)
        found = survey.survey(actor.world, actor.ledger, manifests)
    made = survey.plan(found, prune=asked.prune, allow_deletes=asked.allow_deletes, scope=asked.scope)
    held = _held(made, approved, expect)
    if not as_json and (held.plan.has_changes or not held.refused):
        terminal.out(text.plan(held.plan, verbose=bool(common.verbose), redactor=hidden.redactor()))
    _confirm(terminal, held.plan, yes=yes)
    telling.begin(held.plan)
    for outcome in held.refused:
        telling.outcome(outcome)
    reports = Reports(None, markdown, junit)
    try:
        with terminal.progress():
            progress = _carry_out(actor, found, held, wait=wait, tell=telling.outcome)
    except BunniesError as error:  # AWS cannot be reached any more, say: what was done stays told
        reports.applied(made, telling.told, telling.end(made, (), error.exit_code))
        raise
    inside = {decision.address for decision in made.jobs}
    failed = [decision for decision in progress.failed if decision.address in inside]
    code = exit_code(telling.told, failed, wait=wait)
    recap = telling.end(made, failed, code)
    reports.applied(made, telling.told, recap)
    return code


def _go_on(actor: Actor, telling: Telling, *, wait: bool) -> int:
    """`apply --continue`: the jobs of the last plan, and nothing else."""
    from reconciler import kept

    last = kept.last(actor.ledger)
    telling.begin(last.plan)
    progress, failed = again.go_on(actor, last, telling.outcome, wait=wait)
    telling.cached = again.cached(progress, telling.told)
    code = exit_code(telling.told, failed, wait=wait)
    telling.end(last.plan, failed, code)
    return code


def _approved(common: Common, asked: Asked, expect: str | None) -> Approved | None:
    """The plan file among the words of the command line; None where manifests are named."""
    from reconciler import approval

    if expect is not None:
        approval.wanted(expect)
    if not any(path.suffix == ".json" for path in common.paths):
        return None
    if len(common.paths) > 1 or common.vars_files or asked != Asked():
        raise click.UsageError(
            "a plan file says itself which manifests, variables and options it was made with: name nothing beside it"
        )
    approved = approval.read(common.paths[0])
    if expect is not None and expect != approved.digest:
        raise StalePlanError(f"{common.paths[0]} is the plan {approved.digest}, not the expected {expect}.")
    return approved


def _held(made: Plan, approved: Approved | None, expect: str | None) -> Held:
    from reconciler import approval

    if approved:
        return approval.hold(made, approved)
    if expect is not None:
        approval.expect(expect, made)
    return approval.Held(made)


def _confirm(terminal: Terminal, made: Plan, *, yes: bool) -> None:
    if made.has_changes and not yes:
        if not terminal.can_ask:
            raise BunniesError(
                "nobody is here to say yes. Look at `bunnies plan`, then run `bunnies apply --yes`."
            )
        click.confirm("Apply this?", abort=True, err=True)


def _carry_out(
    actor: Actor, found: Survey, held: Held, *, wait: bool, tell: Callable[[Outcome], None]
) -> Progress:
    """Resources, then jobs, then what they publish."""
    from reconciler import apply as stage
    from reconciler import kept, publish, survey

    made = held.plan
    outside = survey.outside(found, made)
    attributes = _drain(stage.resources(actor.world, made, outside, held.lost), tell)
    inside = {decision.address for decision in made.jobs} - held.held
    barred = {job.address for job in found.jobs} - inside
    if found.jobs:
        at = actor.ledger.clock.stamp()
        kept.keep(actor.ledger, kept.Kept(made, found.jobs, attributes, actor.by, at, tuple(sorted(barred))))
    progress = _drain(
        stage.jobs(actor, found.jobs, attributes, wait=wait, progress=stage.begin(barred, found.records)),
        tell,
    )
    jobs = [job for job in found.jobs if job.address in inside]
    for outcome in publish.publish(actor.world.aws, publish.pending(actor.world.aws, jobs, progress.records)):
        tell(outcome)
    return progress


def _drain(stream: Generator[Outcome, None, T], tell: Callable[[Outcome], None]) -> T:
    """Tell every outcome as it comes; what the stage returned."""
    while True:
        try:
            tell(next(stream))
        except StopIteration as end:
            value: T = end.value
            return value


def exit_code(told: Sequence[Outcome], failed: Sequence[JobDecision], *, wait: bool) -> int:
    """A stale plan (4) wins over applied in part (3), that over an error (1), and all over a failed job (7)."""
    ended = [outcome for outcome in again.settled(told) if outcome.action != "finish"]
    if any(outcome.stale for outcome in ended):
        return STALE
    if any(outcome.status in (Status.FAILED, Status.SKIPPED) for outcome in ended):
        changed = any(outcome.status in (Status.CHANGED, Status.LAUNCHED, Status.ADOPTED) for outcome in told)
        return APPLIED_IN_PART if changed else 1
    return JOB_FAILED if wait and failed else 0
