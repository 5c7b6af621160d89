"""ECR as it answers, over moto's.

Job: the defaults, normalisations and refusals of ECR that moto leaves out: aws-facts 19 to 23. Input: parameters and
moto's answers. Output: refusals, answers mended. Must not: import the product.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.aws.strict.answers import Refusal

ACCOUNT = "123456789012"


def check(operation: str, params: Mapping[str, Any]) -> None:
    """Raises Refusal for what ECR does not take."""
    if operation == "PutLifecyclePolicy":
        text = params["lifecyclePolicyText"]
        if not 100 <= len(text) <= 30_720:  # 21
            raise Refusal("InvalidParameterException", "Invalid parameter at 'LifecyclePolicyText': length")
        json.loads(text)


def mend(answer: dict[str, Any]) -> None:
    """Makes moto's answer ECR's, in place."""
    for repository in answer.get("repositories", ()):
        _repository(repository)
    if "repository" in answer:
        _repository(answer["repository"])
    if "lifecyclePolicyText" in answer:  # 21: white space is not kept
        answer["lifecyclePolicyText"] = json.dumps(
            json.loads(answer["lifecyclePolicyText"]), separators=(",", ":")
        )
    if "policyText" in answer:
        answer["policyText"] = json.dumps(_policy(json.loads(answer["policyText"])), indent=2)


def _repository(repository: dict[str, Any]) -> None:
    repository.setdefault("imageTagMutability", "MUTABLE")  # 19
    repository.setdefault("imageScanningConfiguration", {"scanOnPush": False})
    encryption = repository.setdefault("encryptionConfiguration", {"encryptionType": "AES256"})
    key = encryption.get("kmsKey")
    if key and not key.startswith("arn:"):  # 20: whatever it was given as, it reads back as ARN
        name = key if key.startswith("alias/") else f"key/{key}"
        encryption["kmsKey"] = f"arn:aws:kms:us-east-1:{ACCOUNT}:{name}"


def _policy(policy: dict[str, Any]) -> dict[str, Any]:
    """22: an account id as a principal is stored as the ARN of its root."""
    statements = policy.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal")
        if isinstance(principal, dict) and "AWS" in principal:
            principal["AWS"] = _principals(principal["AWS"])
    return policy


def _principals(given: Any) -> Any:
    if isinstance(given, list):
        return [_principals(one) for one in given]
    return f"arn:aws:iam::{given}:root" if str(given).isdecimal() and len(str(given)) == 12 else given
