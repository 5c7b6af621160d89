"""Calls held below AWS's documented rates.

Job: say how long a call must wait. Input: the service and operation, the clock. Output: the wait is slept. Must not:
retry; botocore's adaptive mode slows a client down further where AWS throttles it all the same.

Rates: AmazonECS/latest/APIReference/request-throttling.html, AmazonECR/latest/userguide/service-quotas.html,
resourcegroupstagging/latest/APIReference/API_GetResources.html. They are an account's, shared with everybody else in
it, so we take SHARE of each.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Final

from reconciler.clock import Clock

SHARE: Final = 0.8

_RATES: Final = (
    # service, burst, calls a second, operations that share them
    ("ecs", 20, 1, "CreateCluster DeleteCluster PutClusterCapacityProviders UpdateCluster"),
    ("ecs", 50, 20, "DescribeClusters ListClusters"),
    ("ecs", 20, 1, "DeregisterTaskDefinition RegisterTaskDefinition"),
    ("ecs", 50, 20, "DescribeTaskDefinition ListTaskDefinitions ListTaskDefinitionFamilies"),
    ("ecs", 20, 10, "TagResource UntagResource"),
    ("ecs", 50, 20, "ListTagsForResource"),
    ("ecs", 100, 40, "StopTask"),
    ("ecs", 100, 20, "DescribeTasks ListTasks"),
    ("ecr", 200, 20, "GetAuthorizationToken"),
    ("resourcegroupstaggingapi", 15, 15, "GetResources"),
)
_LAUNCHES: Final = (97.0, 19.4)
"""Of RunTask: Fargate starts 100 at once, then 20 a second, below the API's own rate. Who waits for ten thousand
waits for these, and nothing else of the account starts tasks by the hundred: nearly all of it is ours."""


class Bucket:
    """Tokens that come back with time: `burst` at most, `rate` a second; safe among threads."""

    def __init__(self, burst: float, rate: float, clock: Clock) -> None:
        self._burst, self._rate, self._clock = burst, rate, clock
        self._tokens = burst
        self._filled: datetime | None = None
        self._lock = threading.Lock()

    def take(self) -> float:
        """Takes a token, one of the future if need be; seconds until it is there."""
        with self._lock:
            now = self._clock.now()
            if self._filled is not None:
                gained = max(0.0, (now - self._filled).total_seconds()) * self._rate
                self._tokens = min(self._burst, self._tokens + gained)
            self._filled = now
            self._tokens -= 1
            return max(0.0, -self._tokens / self._rate)


class Pace:
    """The buckets of one account and region, as one process sees them."""

    def __init__(self, clock: Clock) -> None:
        self._sleep = clock.sleep
        self._buckets = {
            (service, operation): bucket
            for service, burst, rate, operations in _RATES
            for bucket in [Bucket(burst * SHARE, rate * SHARE, clock)]
            for operation in operations.split()
        }
        self._buckets["ecs", "RunTask"] = Bucket(*_LAUNCHES, clock)

    def wait(self, service: str, operation: str) -> None:
        """Sleeps until this call is within its rate."""
        bucket = self._buckets.get((service, operation))
        if bucket is not None and (seconds := bucket.take()):
            self._sleep(seconds)
