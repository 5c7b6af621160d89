"""Whether what the manifests stand on is there and fit, before anything is planned on it.

The way: `questions` says what to ask, from the manifests alone and then from the first answers (a subnet's VPC);
`read` asks, all at once; `checks` and `network` judge the answers, each check a pure function that yields Findings.

Job: all of that, read-only. Input: World, ManifestSet. Output: Findings in a stable order. Must not: change anything,
or read the value of a secret.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.errors import AwsError
from reconciler.kinds import World
from reconciler.model import ManifestSet
from reconciler.permissions.ground import Ground
from reconciler.verify import checks, network, questions, read
from reconciler.verify.finding import Finding, Level

CHECKS = (
    checks.cluster,
    checks.buckets,
    checks.log_groups,
    checks.roles,
    checks.secrets,
    checks.parameters,
    checks.keys,
    checks.images,
    network.subnets,
    network.security_groups,
    network.file_systems,
)


def verify(world: World, manifests: ManifestSet) -> tuple[Finding, ...]:
    """Every finding, those about the account first; in another account than Settings.account nothing else is asked."""
    account = _account(world, manifests)
    if account.level is Level.FAIL:
        return (account,)
    ground = Ground(manifests, world.aws.account)
    world.tell("reading what the manifests name")
    answers = read.read(world, manifests, questions.first(ground))
    more = read.read(world, manifests, questions.second(answers))
    found = replace(answers, given={**answers.given, **more.given})
    return (account, *(finding for check in CHECKS for finding in check(ground, found)))


def _account(world: World, manifests: ManifestSet) -> Finding:
    wanted = manifests.settings.account
    try:
        account = world.aws.account
    except AwsError as error:
        return Finding(Level.FAIL, "account", f"cannot be told: {error.message}")
    return checks.account(account, wanted)


__all__ = ["Finding", "Level", "verify"]
