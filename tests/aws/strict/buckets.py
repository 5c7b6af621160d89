"""Throttling by token buckets, as documented.

Job: say for each call whether its bucket has a token left. Input: a call and the moment. Output: Refusal or nothing.
Must not: wait, or try again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from tests.aws.strict.answers import Refusal


@dataclass
class Bucket:
    """`burst` tokens at most, `rate` more a second."""

    burst: float
    rate: float
    tokens: float = field(init=False)
    filled: datetime | None = None

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def take(self, count: float, now: datetime) -> bool:
        """Takes tokens; False where there are not enough, and then none is taken."""
        if self.filled is not None:
            self.tokens = min(self.burst, self.tokens + (now - self.filled).total_seconds() * self.rate)
        self.filled = now
        if self.tokens < count:
            return False
        self.tokens -= count
        return True


FARGATE: Final = (100, 20)
"""Launches on Fargate, on-demand and Spot apart: aws-facts, Limits; AmazonECS/latest/developerguide/throttling.html."""

_CATEGORIES: Final = (
    # burst, a second, operations: AmazonECS/latest/APIReference/request-throttling.html; a bucket for each line
    ("ecs", 20, 1, "CreateCluster DeleteCluster PutClusterCapacityProviders UpdateCluster"),
    ("ecs", 50, 20, "DescribeClusters ListClusters"),
    ("ecs", 20, 1, "DeregisterTaskDefinition RegisterTaskDefinition"),
    ("ecs", 50, 20, "DescribeTaskDefinition ListTaskDefinitions ListTaskDefinitionFamilies"),
    ("ecs", 5, 1, "DeleteTaskDefinitions"),
    ("ecs", 20, 10, "TagResource UntagResource"),
    ("ecs", 50, 20, "ListTagsForResource"),
    ("ecs", 100, 40, "RunTask StartTask StopTask DeregisterContainerInstance"),
    ("ecs", 100, 20, "DescribeTasks ListTasks DescribeContainerInstances ListContainerInstances"),
    # AmazonECR/latest/userguide/common-errors.html: the one rate of ECR that comes with its burst
    ("ecr", 200, 20, "GetAuthorizationToken"),
)


class Buckets:
    """The buckets of an account in a region; `refused` counts the throttled calls by operation."""

    def __init__(self, *, disguised: bool = False) -> None:
        self.disguised = disguised
        self.refused: Counter[str] = Counter()
        self._by_operation = {
            (service, operation): bucket
            for service, burst, rate, names in _CATEGORIES
            for bucket in [Bucket(burst, rate)]
            for operation in names.split()
        }
        self._fargate = {"FARGATE": Bucket(*FARGATE), "FARGATE_SPOT": Bucket(*FARGATE)}

    def check(self, service: str, operation: str, params: dict[str, Any], now: datetime) -> None:
        """Raises Refusal where the call is one too many."""
        bucket = self._by_operation.get((service, operation))
        if bucket is not None and not bucket.take(1, now):
            self._refuse(operation)
        fargate = self._fargate.get(capacity(params)) if operation == "RunTask" else None
        if fargate is not None and not fargate.take(params.get("count", 1), now):
            self._refuse(operation)

    def _refuse(self, operation: str) -> None:
        self.refused[operation] += 1
        raise disguised() if self.disguised and operation == "RunTask" else throttled()


def capacity(params: dict[str, Any]) -> str:
    """What a task runs on: FARGATE, FARGATE_SPOT, or EC2."""
    strategy = params.get("capacityProviderStrategy") or ()
    names = [item["capacityProvider"] for item in strategy]
    return str(names[0] if names else params.get("launchType", "EC2"))


def throttled() -> Refusal:
    """As every AWS service says it."""
    return Refusal("ThrottlingException", "Rate exceeded")


def disguised() -> Refusal:
    """As ECS says it where Fargate behind it throttles: aws-facts, Limits."""
    return Refusal(
        "InvalidParameterException",
        "Error retrieving subnet information: Rate exceeded (ErrorCode: Throttling)",
    )
