"""A strict AWS: what moto and ministack leave out, added through botocore's event system. No socket is opened.

Job: be AWS to the product, as hard as the real one is said to be, in milliseconds and under a test's clock.
Input: calls of botocore sessions. Output: answers, refusals, faults on order. Must not: import the stages that it
tests (Aws, the client, is all that it knows of the product).

    StrictAws      one account and region: timeline, S3, tasks, buckets, and moto behind them for all else
    Line           Aws as one process reaches it: its calls are counted, it can be made to crash, and is then dead
    install        the handlers, on any botocore session
    limits, definitions, ecr, buckets, ecs_tasks, s3, shim     one behaviour each, with the fact it stands on
    faults         every call of a run by a name, and what can go wrong there
    baton          several processes, one call at a time, in an order that a seed gives

"aws-facts" are the facts gathered for this project, in our words; a number is the number of its rule. Paths such as
AmazonECS/latest/… are pages of docs.aws.amazon.com.
"""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from reconciler.aws import Aws
from reconciler.clock import Clock
from tests.aws.strict import definitions, ecr, limits
from tests.aws.strict.answers import Http, Refusal
from tests.aws.strict.baton import Baton
from tests.aws.strict.buckets import Buckets, disguised, throttled
from tests.aws.strict.ecs_tasks import Tasks, absent
from tests.aws.strict.faults import BEFORE, Crash, Fault, Point, Points
from tests.aws.strict.s3 import S3
from tests.aws.strict.shim import Shim
from tests.aws.strict.tagging import resources
from tests.aws.strict.timeline import Timeline

if TYPE_CHECKING:
    from botocore.session import Session

__all__ = ["Crash", "Fault", "Line", "Point", "StrictAws", "install"]

REGION = "us-east-1"
ACCOUNT = ecr.ACCOUNT
_TASKS = ("RunTask", "DescribeTasks", "ListTasks", "StopTask")
_current = threading.local()


class StrictAws:
    """One account in one region, for the length of a `moto.mock_aws()`.

    `latency` seconds pass with each call; `buckets` throttle where they are given.
    """

    def __init__(self, *, buckets: Buckets | None = None, latency: float = 0) -> None:
        self.timeline = Timeline()
        self.buckets = buckets
        self.latency = latency
        self.s3 = S3(lambda: self.timeline.now)
        self.shim = Shim(self.s3, self.timeline)
        self.tasks = Tasks(self.timeline, self.definition, self.shim)
        self.tasks.clusters = lambda: set(self._ecs().clusters)
        self._registered: dict[str, dict[str, Any]] = {}
        self.gate: Baton | None = None
        self.lock = threading.RLock()

    def line(self, name: str = "me@here") -> Line:
        """A new process's way to this account."""
        return Line(self, name)

    def advance(self, seconds: float) -> None:
        """Time passes: tasks start, run and end."""
        with self.lock:
            self.timeline.advance(seconds)

    def definition(self, reference: str) -> Mapping[str, Any]:
        """A registered task definition, as Describe echoes it. Raises Refusal."""
        revisions = self._ecs().task_definitions
        family, _, revision = reference.rpartition("/")[2].partition(":")
        known = {
            number: one
            for number, one in revisions.get(family, {}).items()
            if revision or one.status == "ACTIVE"
        }
        number = int(revision) if revision else max(known, default=0)
        if number not in known:
            raise absent(reference)
        if known[number].status != "ACTIVE":  # 17
            raise Refusal("ClientException", "TaskDefinition is inactive")
        return self._echo(known[number].arn)

    def answer(self, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any] | None:
        """The answer of a call; None leaves it to moto. Raises Refusal."""
        if self.latency:
            self.timeline.advance(self.latency)
        self._throttle(service, operation, params)
        if service == "s3":
            return self.s3.call(operation, params)
        if service == "ecs" and operation in _TASKS:
            return self.tasks.call(operation, params)
        if service == "ecs" and operation == "RegisterTaskDefinition":
            limits.register(params)
        if service == "ecr":
            ecr.check(operation, params)
        if service == "resourcegroupstaggingapi" and operation == "GetResources":
            return resources(params)
        return None

    def _throttle(self, service: str, operation: str, params: dict[str, Any]) -> None:
        """Buckets, and botocore's own patience: in its standard mode Aws makes 4 tries, 0.5, 1 and 2 s apart or so.

        A throttle in disguise is no throttle to botocore.
        """
        for wait in (0.5, 1.0, 2.0, None):
            try:
                if self.buckets:
                    self.buckets.check(service, operation, params, self.timeline.now)
            except Refusal as refusal:
                if wait is None or refusal.code != "ThrottlingException":
                    raise
                self.timeline.advance(wait)
            else:
                return

    def mend(self, operation: str, params: dict[str, Any], answer: dict[str, Any]) -> None:
        """Makes moto's answer AWS's, in place."""
        if definition := answer.get("taskDefinition"):
            arn = definition["taskDefinitionArn"]
            if operation == "RegisterTaskDefinition":
                self._registered[arn] = copy.deepcopy(params)
            answer["taskDefinition"] = self._echo(arn) | {"status": definition["status"]}
        ecr.mend(answer)

    def _echo(self, arn: str) -> dict[str, Any]:
        """All that was registered, whatever moto keeps of it."""
        family, _, revision = arn.rpartition("/")[2].partition(":")
        given = {key: value for key, value in self._registered[arn].items() if key != "tags"}
        described = {
            "taskDefinitionArn": arn,
            "family": family,
            "revision": int(revision),
            "status": "ACTIVE",
        }
        return definitions.echo({**copy.deepcopy(given), **described})

    def _ecs(self) -> Any:
        from moto.backends import get_backend

        return get_backend("ecs")[ACCOUNT][REGION]


class Line(Aws):
    """Aws as one process reaches a strict account; after a crash no call of it does anything any more."""

    def __init__(self, cloud: StrictAws, name: str) -> None:
        super().__init__(REGION)
        self.cloud = cloud
        self.name = name
        self.points = Points()
        self.dead = False
        self._account = ACCOUNT

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """As Aws."""
        with self._on():
            return super().call(service, operation, **params)

    def dated(self, service: str, operation: str, /, **params: Any) -> tuple[dict[str, Any], datetime | None]:
        """As Aws, with the account's time."""
        with self._on():
            answer, _ = super().dated(service, operation, **params)
            return answer, self.cloud.timeline.now

    def pages(self, service: str, operation: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        """As Aws."""
        pages = super().pages(service, operation, **params)
        while True:
            with self._on():
                page = next(pages, None)
            if page is None:
                return
            yield page

    def clock(self) -> Clock:
        """The account's time, to a process: sleeping lets it pass, for all."""
        return Clock(now=lambda: self.cloud.timeline.now, sleep=self.sleep, chance=lambda: 0.5)

    def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        self.enter()
        try:
            self.cloud.advance(seconds)
        finally:
            self.leave()

    def enter(self) -> None:
        """Waits for its turn, where several share the account, and for the account; a dead process stays dead."""
        self._alive()
        if self.cloud.gate:
            self.cloud.gate.enter(self.name)
        self.cloud.lock.acquire()
        try:
            self._alive()
        except Crash:
            self.leave()
            raise

    def leave(self) -> None:
        """The next call may come, of whatever process."""
        self.cloud.lock.release()
        if self.cloud.gate:
            self.cloud.gate.leave(self.name)

    def die(self) -> None:
        """The process is gone."""
        self.dead = True
        raise Crash

    def _alive(self) -> None:
        if self.dead:
            raise Crash

    def _client(self, service: str) -> Any:
        # making clients takes botocore its time; a process is told by the thread's current line
        return _shared()._client(service)

    @contextlib.contextmanager
    def _on(self) -> Iterator[None]:
        before = getattr(_current, "line", None)
        _current.line = self
        try:
            yield
        finally:
            _current.line = before


def install(session: Session, line: Callable[[], Line | None]) -> None:
    """Makes a botocore session reach a strict account; `line` gives the process that calls, None leaves it to moto."""

    def given(**event: Any) -> None:
        event["context"]["strict"] = dict(event["params"])

    def before(**event: Any) -> Any:
        current, model, context = line(), event["model"], event["context"]
        if current is None:
            return None
        call = _Call(current, str(model.service_model.service_name), str(model.name), context["strict"])
        context["strict-call"] = call
        return call.before()

    def after(**event: Any) -> None:
        if call := event["context"].pop("strict-call", None):
            call.after(event["parsed"], event["http_response"])

    def failed(**event: Any) -> None:
        if call := event["context"].pop("strict-call", None):
            call.line.leave()

    session.register("before-parameter-build", given)
    session.register("before-call", before)
    session.register("after-call", after)
    session.register("after-call-error", failed)


class _Call:
    """One call on its way; the account does one at a time, from `before` to `after`."""

    def __init__(self, line: Line, service: str, operation: str, params: dict[str, Any]) -> None:
        self.line, self.cloud = line, line.cloud
        self.service, self.operation, self.params = service, operation, params
        self.fault: Fault | None = None

    def before(self) -> tuple[Http, dict[str, Any]] | None:
        """What botocore takes for the answer; None sends the request on to moto."""
        self.line.enter()
        try:
            self.fault = self.line.points.next(self.operation, self.params)
            if self.fault in BEFORE:
                self._refuse(self.fault)
            answer = self.cloud.answer(self.service, self.operation, self.params)
        except Refusal as refusal:
            return Http(refusal.status), refusal.parsed()
        except BaseException:
            self.line.leave()
            raise
        if answer is None:
            return None
        return Http(), {**answer, "ResponseMetadata": {"HTTPStatusCode": 200, "RequestId": "strict"}}

    def after(self, parsed: dict[str, Any], http: Any) -> None:
        """The answer on its way back."""
        try:
            if http.status_code < 300:
                self.cloud.mend(self.operation, self.params, parsed)
            if self.fault is Fault.CRASH_AFTER:
                self.line.die()
        finally:
            self.line.leave()
        if self.fault is Fault.LOST:
            raise ConnectionClosedError(endpoint_url=self.service)
        if self.fault is Fault.BROKEN_AFTER:
            parsed.clear()
            parsed.update(_internal().parsed())
            http.status_code = 500

    def _refuse(self, fault: Fault) -> None:
        if fault is Fault.CRASH_BEFORE:
            self.line.die()
        if fault is Fault.UNSENT:
            raise EndpointConnectionError(endpoint_url=self.service)
        raise {
            Fault.THROTTLED: throttled,
            Fault.DISGUISED: disguised,
            Fault.BROKEN_BEFORE: _internal,
        }[fault]()


def _internal() -> Refusal:
    return Refusal("InternalError", "We encountered an internal error. Please try again.", 500)


_base: list[Aws] = []


def _shared() -> Aws:
    if not _base:
        import moto  # noqa: F401  # its handler is among botocore's from here on

        aws = Aws(REGION)
        install(aws.session, lambda: getattr(_current, "line", None))
        _base.append(aws)
    return _base[0]
