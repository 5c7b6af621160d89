"""explain, provenance, accept, clean, unlock: what came to be and how, and what a person may say about it.

Input: addresses, s3 urls; manifests. Output: exit codes; text and JSON on stdout. Must not: decide; each stage does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.durations import DURATION
from reconciler.cli.options import Common, common

if TYPE_CHECKING:
    from reconciler.render.text import Line


@click.command()
@common(paths=False)
@click.argument("address", metavar="ADDRESS")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def explain(common: Common, address: str, as_json: bool) -> int:
    """Say all that is known of a job: its identity, its attempts, their tasks and logs, and why each was started."""
    from reconciler import history
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    actor = common.actor(common.load().settings, terminal.tell, readonly=True)
    found = history.explain(actor.ledger, address)
    if as_json:
        terminal.raw(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        terminal.out(_explained(found))
    return 0


@click.command()
@common(paths=False)
@click.argument("what", metavar="S3URL|ADDRESS")
def provenance(common: Common, what: str) -> int:
    """Trace a file back to its roots, as JSON: commit, image, command, inputs, times, of every job on the way."""
    from reconciler import history
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    actor = common.actor(common.load().settings, terminal.tell, readonly=True)
    terminal.raw(json.dumps(history.provenance(actor.ledger, what), indent=2, ensure_ascii=False) + "\n")
    return 0


@click.command()
@common(paths=False)
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--why", default="", help="Written down beside your name.")
def accept(common: Common, addresses: tuple[str, ...], why: str) -> int:
    """Let changed jobs have the results they had before, without running them.

    What a job makes is then what its address made last. Name what depends on it too, or it runs again.
    """
    from reconciler import accept as stage
    from reconciler import survey
    from reconciler.model import Status
    from reconciler.render import text
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    manifests = common.load()
    with terminal.progress():
        actor = common.actor(manifests.settings, terminal.tell)
        decisions = survey.plan(survey.survey(actor.world, actor.ledger, manifests)).jobs
    failed = False
    for outcome in stage.accept(actor, decisions, addresses, why):
        terminal.out([text.outcome(outcome)])
        failed |= outcome.status is Status.FAILED
    return 1 if failed else 0


@click.command()
@common()
@click.option("--older-than", type=DURATION, default=0, help="Only what was made so long ago.")
@click.option("--yes", is_flag=True, help="Remove them; without it they are listed.")
def clean(common: Common, older_than: int, yes: bool) -> int:
    """Remove outputs that nobody wants: of jobs that no manifest means, and `temp: true` ones that were used.

    What the ledger says of them stays.
    """
    from reconciler import clean as stage
    from reconciler import survey
    from reconciler.cli import again
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    manifests = common.load()
    with terminal.progress():
        actor = common.actor(manifests.settings, terminal.tell)
        if yes:
            click.get_current_context().with_resource(again.locked(actor, "clean", 0))
        found = survey.survey(actor.world, actor.ledger, manifests)
        leftovers = stage.find(actor.ledger, survey.plan(found).jobs, found.records, older_than)
    for one in leftovers:
        terminal.out([[("- ", "remove"), (actor.ledger.url(one.key), ""), (f"  {one.why}", "dim")]])
    if leftovers and yes:
        stage.remove(actor.ledger, leftovers)
    what = stage.total(leftovers)
    words = f"removed: {what}" if yes else f"{what} to remove; `bunnies clean --yes` does it"
    terminal.talk([(words if leftovers else "nothing to remove", "bold")])
    return 0


@click.command()
@common()
def unlock(common: Common) -> int:
    """Free the owner's lock, whoever holds it: for a run that is gone and whose lease has not ended yet."""
    from reconciler.cli import again
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    actor = common.actor(common.load().settings, terminal.tell)
    seen = again.lock_of(actor).release()
    if seen is None:
        terminal.talk([("nobody holds the lock", "")])
    else:
        who = f"{seen.document.get('by')} ({seen.document.get('what')}, since {seen.document.get('since')})"
        terminal.talk([(f"freed; it was held by {who}", "")])
    return 0


def _explained(found: dict[str, Any]) -> Iterator[Line]:
    from reconciler.render import text

    yield [(found["address"], "bold"), (f"  {found['job_id'][:12]}", "dim")]
    if found["changed"]:
        yield [("  changed: ", "dim"), (found["changed"], "")]
    for name, value in found["identity"].items():
        if value not in (None, {}, []):
            yield [(f"  {name}: ", "dim"), (text.value(value), "")]
    for one in found["attempts"]:
        style = "good" if one["status"] == "succeeded" else "" if one["status"] == "open" else "bad"
        line: Line = [(f"  attempt {one['attempt']}: ", "bold"), (str(one["status"]), style)]
        line += [(f", exit code {one['exit_code']}", "")] if one["exit_code"] is not None else []
        line += [(f", {text.duration(one['seconds'])}", "")] if one["seconds"] is not None else []
        yield line
        for label, words in (
            ("why", one["why"]),
            ("ended", one["message"]),
            ("by", f"{one['by']}, {one['claimed_at']}"),
            ("commit", _commit(one["source"])),
            ("task", one["task"]),
            ("definition", one["task_definition"]),
            ("logs", one["logs"]),
        ):
            if words:
                yield [(f"    {label}: ", "dim"), (str(words), "")]
    for name, files in found["outputs"].items():
        for file in files:
            yield [(f"  output {name}: ", "dim"), (str(file["url"]), "")]


def _commit(source: dict[str, Any]) -> str:
    if not source.get("commit"):
        return ""
    return f"{source['commit'][:12]}{'' if source.get('clean') else ', with changes'}"
