"""The canonical forms of a repository, a lifecycle policy and a repository policy.

Job: what ECR and IAM read as the same, written the same. Input: a Repository's body, what DescribeRepositories
and the policy calls answer, policies as text or as mappings. Output: sets as Keyed or sorted, defaults filled.
Must not: touch the world. A policy that is not JSON is a ValueError: nothing can be said of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from reconciler.canonical import Keyed, is_leaf, keyed, string, tags, text

DESCRIBED: Final = frozenset({"repositoryArn", "registryId", "repositoryName", "repositoryUri", "createdAt"})
"""What DescribeRepositories adds to what was asked for."""

KNOWN: Final = frozenset(
    {
        "encryptionConfiguration",
        "encryptionType",
        "filter",
        "filterType",
        "forceDelete",
        "imageScanningConfiguration",
        "imageTagMutability",
        "imageTagMutabilityExclusionFilters",
        "kmsKey",
        "lifecyclePolicy",
        "repositoryPolicy",
        "scanOnPush",
        "tags",
    }
)
"""The fields that we know; others are compared only where a manifest gives them. Policies are compared in full."""

_ACCOUNT = re.compile(r"\d{12}")
_PARTITION = re.compile(r"arn:(aws[a-z-]*):")


def repository(
    body: Mapping[str, Any], partition: str = "aws", ignored_tags: Iterable[str] = ()
) -> dict[str, Any]:
    """The canonical spec of a repository; of a canonical spec, itself.

    `lifecyclePolicy` and `repositoryPolicy` are mappings or JSON text. What is left out is at ECR's default,
    except encryptionConfiguration: it cannot be changed, so it counts only where it is given.
    """
    spec = {key: value for key, value in body.items() if key not in DESCRIBED and value not in (None, [], {})}
    scanning = spec.get("imageScanningConfiguration", {})
    if isinstance(scanning, Mapping):
        spec["imageScanningConfiguration"] = {"scanOnPush": False, **scanning}
    spec.setdefault("imageTagMutability", "MUTABLE")
    if filters := spec.pop("imageTagMutabilityExclusionFilters", None):
        items = filters.values() if isinstance(filters, Mapping) else filters
        spec["imageTagMutabilityExclusionFilters"] = keyed((str(item.get("filter")), item) for item in items)
    if isinstance(encryption := spec.get("encryptionConfiguration"), Mapping):
        spec["encryptionConfiguration"] = {"encryptionType": "AES256", **encryption}
    policies = {
        "lifecyclePolicy": lifecycle_policy(spec.pop("lifecyclePolicy", None)),
        "repositoryPolicy": repository_policy(spec.pop("repositoryPolicy", None), partition),
    }
    wanted = tags(spec.pop("tags", None), ignored_tags)
    return (
        spec | {key: value for key, value in policies.items() if value} | ({"tags": wanted} if wanted else {})
    )


def lifecycle_policy(policy: Any) -> dict[str, Any]:
    """Rules by priority, tag lists as sets, empties gone; {} for no policy. `policy` is a mapping or JSON text."""
    rest = document(policy)
    given = rest.pop("rules", None) or ()
    rules = [_pruned(rule) for rule in (given.values() if isinstance(given, Mapping) else given)]
    found = keyed((string(rule.get("rulePriority")), rule) for rule in rules if rule)
    kept: dict[str, Any] = _pruned(rest)
    return kept | ({"rules": found} if found else {})


def lifecycle_text(policy: Mapping[str, Any]) -> str:
    """A canonical lifecycle policy as PutLifecyclePolicy takes it, rules in the order of their priority."""
    rules = sorted(policy.get("rules", {}).values(), key=lambda rule: str(rule.get("rulePriority")).zfill(9))
    return json.dumps({**policy, "rules": rules}, ensure_ascii=False)


def repository_policy(policy: Any, partition: str = "aws") -> dict[str, Any]:
    """An IAM document with statements keyed by Sid, and all that is a set in it sorted; {} for no policy.

    `partition` is the one that a bare account id stands in: aws, aws-cn, aws-us-gov.
    """
    rest = document(policy)
    given = rest.pop("Statement", None) or ()
    if isinstance(given, Keyed):
        given = list(given.values())
    items = [given] if isinstance(given, Mapping) else given
    statements = [_statement(item, partition) for item in items if item]
    if not statements:
        return {}
    rest.setdefault("Version", "2008-10-17")  # IAM's default for a document that names none
    return rest | {"Statement": keyed((_name(one), one) for one in statements)}


def partition_of(*policies: Any) -> str:
    """The partition of the first ARN in these documents, `aws` where there is none."""
    found = _PARTITION.search(" ".join(text(policy) for policy in policies))
    return found[1] if found else "aws"


def partition_in(region: str) -> str:
    """The partition that a region lies in."""
    prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-iso-": "aws-iso", "us-isob-": "aws-iso-b"}
    return next((name for prefix, name in prefixes.items() if region.startswith(prefix)), "aws")


def document(policy: Any) -> dict[str, Any]:
    """A policy, as text or as a mapping, as a mapping of its own; {} for none. ValueError where it is neither."""
    if isinstance(policy, str):
        try:
            policy = json.loads(policy) if policy.strip() else {}
        except ValueError as error:
            raise ValueError(f"it is not JSON: {error}") from None
    if policy is not None and not isinstance(policy, Mapping):
        raise ValueError("a policy is an object")
    return dict(policy or {})


def _pruned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _tag_set(key, _pruned(item)) for key, item in value.items() if _pruned(item) not in _EMPTY
        }
    if isinstance(value, list | tuple):
        return [item for item in map(_pruned, value) if item not in _EMPTY]
    return value


_EMPTY: Final[tuple[Any, ...]] = (None, [], {}, "")


def _tag_set(key: str, value: Any) -> Any:
    return (
        sorted(set(value))
        if key in ("tagPrefixList", "tagPatternList") and isinstance(value, list)
        else value
    )


def _statement(given: Mapping[str, Any], partition: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in given.items():
        if value is None or is_leaf(value):
            made |= {} if value is None else {key: value}
        elif key == "Effect":
            made[key] = str(value).capitalize()
        elif key in ("Principal", "NotPrincipal"):
            made[key] = _principal(value, partition)
        elif key in ("Action", "NotAction"):
            made[key] = _set(value, str.lower)
        elif key in ("Resource", "NotResource"):
            made[key] = _set(value)
        elif key == "Condition" and isinstance(value, Mapping):
            made |= {key: {operator: _values(test) for operator, test in value.items()}} if value else {}
        else:
            made[key] = value
    return made


def _principal(value: Any, partition: str) -> Any:
    def whole(one: str) -> str:
        return f"arn:{partition}:iam::{one}:root" if _ACCOUNT.fullmatch(one) else one

    if isinstance(value, str | int | list):
        value = {"AWS": value}
    return {kind: _set(names, whole if kind == "AWS" else str) for kind, names in value.items()}


def _values(test: Any) -> Any:
    return Keyed((key, _set(value)) for key, value in test.items()) if isinstance(test, Mapping) else test


def _set(value: Any, change: Any = str) -> list[str]:
    items = value if isinstance(value, list | tuple) else [value]
    return sorted({change(string(item)) if isinstance(string(item), str) else text(item) for item in items})


def _name(statement: Mapping[str, Any]) -> str:
    """A statement's Sid, else words that say what it does."""
    if sid := statement.get("Sid"):
        return str(sid)
    actions = statement.get("Action", statement.get("NotAction", []))
    return f"{statement.get('Effect')} {','.join(actions[:2])}{',…' if len(actions) > 2 else ''}"
