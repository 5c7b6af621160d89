"""validate, plan, apply: the stages in their order.

Input: Common options. Output: exit codes of the design's contract. Must not: decide; each stage does.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import click

from reconciler.cli.options import Common, common, ledger
from reconciler.errors import BunniesError

CHANGES_PRESENT = 2
APPLIED_IN_PART = 3
JOB_FAILED = 7


@click.command()
@common()
def validate(common: Common) -> int:
    """Check the manifests offline."""
    from reconciler import survey

    manifests = common.load()
    survey.check(manifests)
    count = len(manifests.manifests)
    click.echo(f"valid: {count} manifest{'s' if count != 1 else ''} of owner {manifests.settings.name}", err=True)
    return 0


@click.command()
@common()
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON on standard output.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there are changes or jobs to start.")
@click.option("--prune", is_flag=True, help="Delete what is ours and no manifest wants any more.")
@click.option("--allow-deletes", type=click.IntRange(0), default=0, metavar="N", help="Let N deletions pass the guard.")
def plan(common: Common, as_json: bool, detailed_exitcode: bool, prune: bool, allow_deletes: int) -> int:
    """Compare the manifests with live AWS and say what an apply would do."""
    from reconciler import survey
    from reconciler.plan import unwanted
    from reconciler.render import data, text
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    manifests = common.load()
    with terminal.progress():
        world = common.world(manifests.settings, terminal.tell)
        found = survey.survey(world, ledger(world), manifests)
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
@click.option("--allow-deletes", type=click.IntRange(0), default=0, metavar="N", help="Let N deletions pass the guard.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output.")
def apply(common: Common, yes: bool, wait: bool, prune: bool, allow_deletes: int, as_json: bool) -> int:
    """Make the plan true: create, push, register, and run the jobs that are ready."""
    from reconciler import apply as stage
    from reconciler import survey
    from reconciler.model import Action, Status
    from reconciler.render import data, text
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    manifests = common.load()
    with terminal.progress():
        world = common.world(manifests.settings, terminal.tell)
        book = ledger(world)
        found = survey.survey(world, book, manifests)
    made = survey.plan(found, prune=prune, allow_deletes=allow_deletes)
    if not as_json:
        terminal.out(text.plan(made, verbose=bool(common.verbose)))
    if made.has_changes and not yes:
        if not terminal.can_ask:
            raise BunniesError("nobody is here to say yes. Look at `bunnies plan`, then run `bunnies apply --yes`.")
        click.confirm("Apply this?", abort=True, err=True)

    outcomes = []
    with terminal.progress():
        for outcome in stage.everything(world, book, found, made, wait=wait):
            outcomes.append(outcome)
            if as_json:
                terminal.raw(json.dumps(data.outcome(outcome), ensure_ascii=False) + "\n")
            elif outcome.status is not Status.UNCHANGED:
                terminal.out([text.outcome(outcome)])
