"""verify, iam-policy, init: what is looked at, allowed and written before the first plan.

Input: Common options. Output: exit codes; policies and findings on stdout. Must not: decide; verify, permissions and
starter do.
"""

from __future__ import annotations

import json

import click

from reconciler.cli.options import Common, common
from reconciler.permissions import COMMANDS, ROLES


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
