"""validate, plan, apply: the stages in their order.

Input: Common options. Output: exit codes of the design's contract. Must not: decide; each stage does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeVar

import click

from reconciler.cli.options import Common, common
from reconciler.errors import BunniesError
from reconciler.model import Decision, Outcome, Plan, Status

if TYPE_CHECKING:
    from reconciler.attempts import Actor
    from reconciler.step import Progress
    from reconciler.survey import Survey

T = TypeVar("T")

CHANGES_PRESENT = 2
APPLIED_IN_PART = 3
JOB_FAILED = 7


@click.command()
@common()
def validate(common: Common) -> int:
    """Check the manifests offline."""
    from reconciler import validate as stage

    manifests = common.load()
    stage.validate(manifests)
    count = len(manifests.manifests)
    click.echo(
        f"valid: {count} manifest{'s' if count != 1 else ''} of owner {manifests.settings.name}", err=True
    )
    return 0


@click.command()
@common()
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON on standard output.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there are changes or jobs to start.")
@click.option("--prune", is_flag=True, help="Delete what is ours and no manifest wants any more.")
@click.option("--fast", is_flag=True, help="Believe the digest tags in AWS's tagging index; few calls.")
@click.option(
    "--allow-deletes", type=click.IntRange(0), default=0, metavar="N", help="Let N deletions pass the guard."
)
def plan(
    common: Common, *, as_json: bool, detailed_exitcode: bool, prune: bool, fast: bool, allow_deletes: int
) -> int:
    """Compare the manifests with live AWS and say what an apply would do."""
    from reconciler import survey
    from reconciler.plan import unwanted
    from reconciler.render import data, text
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    manifests = common.load()
    with terminal.progress():
        actor = common.actor(manifests.settings, terminal.tell, readonly=True, fast=fast)
        found = survey.survey(actor.world, actor.ledger, manifests)
    made = survey.plan(found, prune=prune, allow_deletes=allow_deletes)
    if as_json:
        terminal.raw(json.dumps(data.plan(made), indent=2, ensure_ascii=False) + "\n")
    else:
        left = [] if prune else unwanted(made.owner, found.desired, found.live)
        terminal.out(text.plan(made, left, verbose=bool(common.verbose)))
    return CHANGES_PRESENT if detailed_exitcode and made.has_changes else 0


@click.command()
@common()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", is_flag=True, help="Go on until every job is final; exit 7 if one failed.")
@click.option("--prune", is_flag=True, help="Delete what is ours and no manifest wants any more.")
@click.option(
    "--allow-deletes", type=click.IntRange(0), default=0, metavar="N", help="Let N deletions pass the guard."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output.")
def apply(common: Common, *, yes: bool, wait: bool, prune: bool, allow_deletes: int, as_json: bool) -> int:
    """Make the plan true: create, push, register, and run the jobs that are ready."""
    from reconciler import survey
    from reconciler.render import data, text
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    manifests = common.load()
    with terminal.progress():
        actor = common.actor(manifests.settings, terminal.tell)
        found = survey.survey(actor.world, actor.ledger, manifests)
    made = survey.plan(found, prune=prune, allow_deletes=allow_deletes)
    if not as_json:
        terminal.out(text.plan(made, verbose=bool(common.verbose)))
    if made.has_changes and not yes:
        if not terminal.can_ask:
            raise BunniesError(
                "nobody is here to say yes. Look at `bunnies plan`, then run `bunnies apply --yes`."
            )
        click.confirm("Apply this?", abort=True, err=True)

    told: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        told.append(outcome)
        if as_json:
            terminal.raw(json.dumps(data.outcome(outcome), ensure_ascii=False) + "\n")
        elif outcome.status is not Status.UNCHANGED:
            terminal.out([text.outcome(outcome)])

    with terminal.progress():
        progress = _carry_out(actor, found, made, wait=wait, tell=tell)
    cached = sum(decision.decision is Decision.CACHED for decision in made.jobs)
    terminal.talk(text.recap(told, cached))
    for decision in progress.failed:
        terminal.talk(text.failure(decision))
    return exit_code(told, progress, wait=wait)


def _carry_out(
    actor: Actor, found: Survey, made: Plan, *, wait: bool, tell: Callable[[Outcome], None]
) -> Progress:
    """Resources, then jobs, then what they publish."""
    from reconciler import apply as stage
    from reconciler import publish

    attributes = _drain(stage.resources(actor.world, made), tell)
    progress = _drain(stage.jobs(actor, found.jobs, attributes, wait=wait), tell)
    for outcome in publish.publish(
        actor.world.aws, publish.pending(actor.world.aws, found.jobs, progress.records)
    ):
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


def exit_code(told: list[Outcome], progress: Progress, *, wait: bool) -> int:
    """Applied in part (3) wins over an error (1), and both over a failed job (7)."""
    ended = [outcome for outcome in told if outcome.action != "finish"]
    if any(outcome.status in (Status.FAILED, Status.SKIPPED) for outcome in ended):
        changed = any(outcome.status in (Status.CHANGED, Status.LAUNCHED, Status.ADOPTED) for outcome in told)
        return APPLIED_IN_PART if changed else 1
    return JOB_FAILED if wait and progress.failed else 0
