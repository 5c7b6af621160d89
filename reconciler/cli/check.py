"""verify, iam-policy, init: what is looked at, allowed and written before the first plan.

Input: Common options. Output: exit codes; policies and findings on stdout. Must not: decide; verify, permissions and
starter do.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import click

from reconciler.cli.options import Common, common
from reconciler.errors import BunniesError
from reconciler.permissions import COMMANDS, ROLES


@click.command()
@common()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def verify(common: Common, as_json: bool) -> int:
    """Look at what the manifests stand on, and change nothing; exit 1 if anything would fail.

    The account, cluster, buckets, log groups, roles and who may assume them, secrets and parameters, keys, images,
    the network's way to the registry, file systems.
    """
    from reconciler import verify as stage
    from reconciler.render.terminal import Terminal

    terminal = Terminal(no_color=common.no_color)
    manifests = common.load()
    settings = replace(manifests.settings, account=None)  # another account is a finding here, not an end
    with terminal.progress():
        found = stage.verify(common.world(settings, terminal.tell, readonly=True), manifests)
    counts = {level.value: sum(one.level is level for one in found) for level in stage.Level}
    if as_json:
        document = {"summary": counts, "findings": [asdict(one) for one in found]}
        terminal.raw(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        for finding in found:
            style = {"ok": "good", "warn": "change", "fail": "bad"}[finding.level]
            what = f"{finding.what}. {finding.do}" if finding.do else finding.what
            terminal.out([[(f"{finding.level:<5}", style), (f" {finding.about}: {what}", "")]])
        talk = f"{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} that would fail"
        terminal.talk([(talk, "bad" if counts["fail"] else "good")])
    return 1 if counts["fail"] else 0


@click.command("iam-policy")
@click.argument("who", type=click.Choice([*COMMANDS, *ROLES]), metavar="|".join((*COMMANDS, *ROLES)))
@common()
@click.option("--role", metavar="ARN", help="Of several task or execution roles, this one alone.")
def iam_policy(common: Common, who: str, role: str | None) -> int:
    """Print the IAM policy that a role needs for these manifests, and no more.

    plan, apply (which holds plan), verify and bootstrap are for who runs these commands; task and execution for
    the taskRoleArn and the executionRoleArn.
    """
    from reconciler import permissions

    manifests = common.load()
    if role is not None and who not in ROLES:
        raise click.UsageError(f"--role goes with {' and '.join(ROLES)}, not with {who}")
    document = permissions.policy(who, manifests, role)
    if who in ROLES and role is None:
        named = permissions.role_arns(who, manifests)
        if len(named) > 1:
            click.echo(f"for all of {', '.join(named)}; choose one with --role", err=True)
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    return 0


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="[DIR]")
@click.option("--force", is_flag=True, help="Overwrite files that are there already.")
def init(folder: Path, force: bool) -> int:
    """Write a starter repository to DIR: manifests, variables of dev and prod, workflows, a README."""
    from reconciler import starter

    left = 0
    try:
        for path, fate in starter.write(folder, force=force):
            click.echo(f"{fate:<11} {folder / path}")
            left += fate == "left alone"
    except OSError as error:
        raise BunniesError(
            f"{error.filename}: {error.strerror}. Name a folder that can be written."
        ) from None
    if left:
        click.echo(f"{left} left alone, being there with other content; --force overwrites", err=True)
    click.echo(f"Go on with {folder / 'README.md'}.", err=True)
    return 0
