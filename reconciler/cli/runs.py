"""status, outputs, get, logs, stop, retry: what people ask and say about jobs.

Input: addresses; manifests for the Settings that say where the ledger is. Output: exit codes; tables and JSON on
stdout. Must not: read images or task definitions: the ledger tells all of it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import hidden
from reconciler.cli.options import Common, common

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.attempts import Actor
    from reconciler.model import Outcome
    from reconciler.render.terminal import Terminal

JOB_FAILED = 7
_FAILED_STATES = ("failed", "lost", "stopped", "interrupted")

_addresses = click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")


@click.command()
@common()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option(
    "--failed", "only_failed", is_flag=True, help="Only what failed, with the last line of its log."
)
def status(common: Common, as_json: bool, only_failed: bool) -> int:
    """Every job of the manifests: state, attempt, exit code, duration, why. Exit 7 if one failed."""
    from reconciler import views
    from reconciler.render import text

    terminal, actor, addresses = _open(common)
    if only_failed:
        return _failed(terminal, actor, addresses, as_json=as_json)
    rows = views.status(actor.ledger, addresses)
    if as_json:
        terminal.raw(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False) + "\n")
    else:
        header = ("JOB", "STATE", "ATTEMPT", "EXIT", "TIME", "WHY")
        cells = [
            (
                row.address,
                row.state,
                "" if row.attempt is None else row.attempt,
                "" if row.exit_code is None else row.exit_code,
                "" if row.seconds is None else text.duration(row.seconds),
                row.why,
            )
            for row in rows
        ]
        terminal.out(text.table(header, cells))
    return JOB_FAILED if any(row.state in _FAILED_STATES for row in rows) else 0


@click.command()
@common(paths=False)
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with sizes and sha256.")
def outputs(common: Common, addresses: tuple[str, ...], as_json: bool) -> int:
    """Where the files of jobs are; without ADDRESS, of all jobs that ran."""
    from reconciler import views
    from reconciler.render import text

    terminal, actor, wanted = _open(common)
    asked = addresses or [
        row.address for row in views.status(actor.ledger, wanted) if row.state == "succeeded"
    ]
    found = views.outputs(actor.ledger, asked)
    if as_json:
        terminal.raw(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        rows = [
            (f"{address}:{name}", file["size"], file["url"])
            for address, files in found.items()
            for name, listed in files.items()
            for file in listed
        ]
        terminal.out(text.table(("OUTPUT", "BYTES", "FILE"), rows))
    return 0


@click.command()
@common(paths=False)
@click.argument("what", metavar="ADDRESS[:OUTPUT]")
@click.argument("destination", type=click.Path(path_type=Path), metavar="DEST")
def get(common: Common, what: str, destination: Path) -> int:
    """Bring output files to DEST: a file's new name, or a folder."""
    from reconciler import views

    terminal, actor, _ = _open(common)
    with terminal.progress():
        for path in views.get(actor.ledger, what, destination):
            terminal.talk([(str(path), "")])
    return 0


@click.command()
@common(paths=False)
@click.argument("address", metavar="ADDRESS")
@click.option("-f", "--follow", is_flag=True, help="Go on until the attempt is over.")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Not the last one.")
def logs(common: Common, address: str, follow: bool, attempt: int | None) -> int:
    """What a job wrote to its stdout and stderr."""
    from reconciler import views

    _, actor, _ = _open(common)
    for piece in hidden.redactor().stream(views.logs(actor.ledger, address, attempt, follow=follow)):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    return 0


@click.command()
@common(paths=False)
@_addresses
def stop(common: Common, addresses: tuple[str, ...]) -> int:
    """Stop what runs of these jobs."""
    from reconciler import control

    terminal, actor, _ = _open(common, readonly=False)
    return _tell(terminal, control.stop(actor, addresses))


@click.command()
@common(paths=False)
@_addresses
def retry(common: Common, addresses: tuple[str, ...]) -> int:
    """Start another attempt of jobs that failed."""
    from reconciler import control

    terminal, actor, _ = _open(common, readonly=False)
    return _tell(terminal, control.retry(actor, addresses))


def _failed(terminal: Terminal, actor: Actor, addresses: list[str], *, as_json: bool) -> int:
    from reconciler import failures
    from reconciler.render import text

    found = failures.failures(actor.ledger, addresses)
    if as_json:
        terminal.raw(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False) + "\n")
    elif found:
        header = ("JOB", "ENDED", "CLASS", "EXIT", "ATTEMPT", "LAST LINE")
        cells = [
            (
                one.address,
                one.status,
                one.kind,
                "" if one.exit_code is None else one.exit_code,
                one.attempt,
                one.said,
            )
            for one in found
        ]
        terminal.out(text.table(header, cells))
        arrays = sorted({"/".join(one.address.split("/")[:2]) for one in found})
        words = (
            f"{len(found)} failed. Once more: bunnies retry {' '.join(arrays)} (what succeeded is left alone)"
        )
        terminal.talk([(words, "bold")])
    return JOB_FAILED if found else 0


def _open(common: Common, *, readonly: bool = True) -> tuple[Terminal, Actor, list[str]]:
    """The terminal, the ledger's actor, and the addresses of the manifests' jobs."""
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    manifests = common.load()
    actor = common.actor(manifests.settings, terminal.tell, readonly=readonly)
    return terminal, actor, [manifest.address for manifest in manifests.of("Job")]


def _tell(terminal: Terminal, outcomes: Iterable[Outcome]) -> int:
    from reconciler.model import Status
    from reconciler.render import text

    failed = False
    for outcome in outcomes:
        terminal.out([text.outcome(outcome)])
        failed |= outcome.status is Status.FAILED
    return 1 if failed else 0
