"""The command line: parse arguments, run the stages, leave with the contract's exit code.

Job: read like the architecture; one module a group of commands, imported when its command is called, so that
`bunnies --version` needs neither boto3 nor rich. Input: argv. Output: exit code; data on stdout, talk on stderr.
Must not: decide, or talk to AWS itself.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Final

import click

from reconciler import __version__
from reconciler.cli import hidden, reports
from reconciler.errors import BunniesError, ManifestError

_COMMANDS: Final = {
    "validate": "reconcile",
    "plan": "reconcile",
    "apply": "reconcile",
    "status": "runs",
    "outputs": "runs",
    "get": "runs",
    "logs": "runs",
    "stop": "runs",
    "retry": "runs",
    "explain": "history",
    "provenance": "history",
    "accept": "history",
    "clean": "history",
    "unlock": "history",
    "diff": "compare",
    "bootstrap": "places",
    "local": "places",
    "shim": "places",
    "schema": "places",
    "init": "check",
    "verify": "check",
    "iam-policy": "check",
}

INTERRUPTED: Final = 130


class _Lazy(click.Group):
    """A group whose commands live in modules that are imported when called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which they are used."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, None where there is none."""
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"reconciler.cli.{module}"), cmd_name.replace("-", "_")
        )
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bunnies", message="%(prog)s %(version)s")
def bunnies() -> None:
    """Reconcile YAML manifests with Amazon ECR and ECS, and run container jobs on Fargate.

    Start with `bunnies validate`, then `bunnies plan`, then `bunnies apply`.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave with its exit code (docs/operations.md: wrong usage is 1, interrupted 130)."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code. No secret is printed, and no traceback unless BUNNIES_TRACEBACK is set."""
    with hidden.streams():
        return _run(arguments)


def _run(arguments: list[str] | None) -> int:
    try:
        code = bunnies.main(arguments, prog_name="bunnies", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; the next apply goes on from here", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return 1
    except OSError as error:
        if error.filename is None:
            # stdout takes no more: a pipe's reader has left (`bunnies plan | head`), a disk is full. What is in its
            # buffer would fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if isinstance(error, BrokenPipeError) else refused(error)
    except Exception as error:  # noqa: BLE001  no traceback reaches a user
        return refused(error)
    return code if isinstance(code, int) else 0


def refused(error: Exception) -> int:
    """Say what is wrong in words; the exit code that goes with it."""
    if isinstance(error, ManifestError):
        reports.annotate_problems(error.problems)
        count = len(error.problems)
        lines = [*map(str, error.problems), f"{count} problem{'s' if count != 1 else ''} in the manifests"]
    elif isinstance(error, BunniesError):
        lines = [f"error: {error}"]
    elif isinstance(error, OSError) and error.strerror:
        lines = [f"error: {error.filename or 'standard output'}: {error.strerror}"]
    elif os.environ.get("BUNNIES_TRACEBACK"):
        lines = ["".join(traceback.format_exception(error)).rstrip()]
    else:
        lines = [
            f"error: this is a defect in bunnies: {type(error).__name__}: {error}",
            "Set BUNNIES_TRACEBACK=1 and run it again for the details to report.",
        ]
    click.echo("\n".join(lines), err=True)
    return error.exit_code if isinstance(error, BunniesError) else 1
