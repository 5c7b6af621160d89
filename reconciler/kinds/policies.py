"""The two policies of a repository: lifecycle and access.

Job: read, put and delete them, and say what is wrong with one before any call. Input: World, a repository's name,
policies. Output: their texts, problems. Must not: compare them; `canonical.ecr` makes that plain.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from reconciler.canonical import ecr
from reconciler.errors import AwsError
from reconciler.kinds import World

_PRINCIPAL_DELAYS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between tries while IAM spreads the word of a new role; it takes some ten seconds."""

_LIFECYCLE: Final = (100, 30_720)
"""Characters that the text of a lifecycle policy has, at least and at most."""


def problems(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(field, what is wrong and what to write instead) of the policies in a Repository's body."""
    for field, read in (
        ("lifecyclePolicy", ecr.lifecycle_policy),
        ("repositoryPolicy", ecr.repository_policy),
    ):
        try:
            policy = read(body.get(field))
        except ValueError as error:
            yield field, f"{error}. Write JSON, or YAML."
            continue
        length = len(ecr.lifecycle_text(policy)) if field == "lifecyclePolicy" and policy else None
        if length is not None and length > _LIFECYCLE[1]:
            yield field, f"it is longer than the {_LIFECYCLE[1]} characters that ECR takes. Shorten it."
        if length is not None and length < _LIFECYCLE[0]:
            yield field, "it is too short to be one. Write rules with a selection and an action."


def read(world: World, name: str) -> dict[str, str | None]:
    """Both policies as ECR keeps them, by the names of a manifest's fields; None where there is none."""
    return {
        "lifecyclePolicy": _text(world, "GetLifecyclePolicy", "lifecyclePolicyText", name),
        "repositoryPolicy": _text(world, "GetRepositoryPolicy", "policyText", name),
    }


def put_lifecycle(world: World, name: str, policy: Mapping[str, Any] | None) -> None:
    """The canonical policy, or none."""
    if policy:
        text = ecr.lifecycle_text(policy)
        world.aws.call("ecr", "PutLifecyclePolicy", repositoryName=name, lifecyclePolicyText=text)
    else:
        gone(world, "DeleteLifecyclePolicy", repositoryName=name)


def put_repository_policy(world: World, name: str, policy: Any, sleep: Callable[[float], None]) -> None:
    """The policy as it was written, or none; a principal that IAM does not know yet is waited for."""
    if not policy:
        gone(world, "DeleteRepositoryPolicy", repositoryName=name)
        return
    text = policy if isinstance(policy, str) else json.dumps(policy)
    for delay in (*_PRINCIPAL_DELAYS, None):
        try:
            world.aws.call("ecr", "SetRepositoryPolicy", repositoryName=name, policyText=text)
        except AwsError as error:
            new = "Principal not found" in error.message or "Invalid repository policy" in error.message
            if delay is None or not new:
                raise
            world.tell(f"{name}: a principal of the policy is not known yet, trying again")
            sleep(delay)
        else:
            return


def _text(world: World, operation: str, field: str, name: str) -> str | None:
    try:
        text: str = world.aws.call("ecr", operation, repositoryName=name)[field]
    except AwsError as error:
        if error.code in ("LifecyclePolicyNotFoundException", "RepositoryPolicyNotFoundException"):
            return None
        raise
    return text


def gone(world: World, operation: str, **params: Any) -> None:
    """A deletion, of what may be gone already."""
    try:
        world.aws.call("ecr", operation, **params)
    except AwsError as error:
        if not error.code.endswith("NotFoundException"):
            raise
