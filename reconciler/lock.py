"""One lock per owner: s3://BUCKET/PREFIX/lock.json, held on a lease that is renewed.

Job: keep two applies of one owner from doing the same work. Nothing is wrong without it: the ledger is. Input: who,
and for what. Output: a Lease, or LockedError that says who holds it. Must not: guard correctness.

Every write is conditional (If-None-Match for the first ever, If-Match after that), so of two takers one wins. A
released lock stays as a document that says so: there is nothing to delete. Whether a lease is over is reckoned in
S3's time alone: the Date of the answer against the object's Last-Modified; no machine's clock matters.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Final

from reconciler import aws as aws_
from reconciler.clock import Clock
from reconciler.documents import TRIES, slow_down, unheard
from reconciler.errors import AwsError, BunniesError, LockedError

LEASE: Final = 60  # seconds that a lock outlives its last renewal
RENEWED: Final = 20  # seconds between two renewals
_POLL: Final = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The lock as S3 has it; `age` in seconds since it was written, by S3's own time."""

    etag: str
    document: Mapping[str, Any]
    age: float

    @property
    def left(self) -> float:
        """Seconds until anybody may take it; 0 where it is free."""
        if self.document.get("released"):
            return 0.0
        return max(0.0, float(self.document.get("lease", LEASE)) - self.age)


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock of one bucket and prefix. Every method raises AwsError."""

    aws: aws_.Aws
    bucket: str
    key: str
    clock: Clock
    nonce: Callable[[], str]

    def take(self, by: str, what: str, patience: float = 0) -> Lease:
        """The lease, waiting up to `patience` seconds for another's. Raises LockedError."""
        end = self.clock.now().timestamp() + patience
        document = {"version": 1, "by": by, "what": what, "since": self.clock.stamp(), "lease": LEASE}
        while True:
            seen = self.look()
            if seen is None or not seen.left:
                mine = {**document, "nonce": self.nonce()}
                if etag := self.write(mine, seen.etag if seen else None):
                    return Lease(self, mine, etag)
                continue  # somebody was faster: look who
            if self.clock.now().timestamp() >= end:
                raise LockedError(_words(seen))
            self.clock.sleep(min(_POLL, max(0.1, seen.left)))

    def release(self) -> Seen | None:
        """Frees the lock, whoever holds it; who held it, None where nobody did."""
        seen = self.look()
        if seen is None or not seen.left:
            return None
        self.write({**seen.document, "nonce": self.nonce(), "released": True}, seen.etag)
        return seen

    def look(self) -> Seen | None:
        """The lock as it is; None where there never was one. Raises BunniesError where there is no bucket."""
        try:
            answer, moment = self.aws.dated("s3", "GetObject", Bucket=self.bucket, Key=self.key)
            with aws_.translated("GetObject"):
                body = answer["Body"].read()
        except AwsError as error:
            if error.code == "NoSuchKey":
                return None
            if error.code == "NoSuchBucket":
                what = f"there is no bucket {self.bucket}. Run `bunnies bootstrap`, or write another bucket in Settings."
                raise BunniesError(what) from error
            raise
        try:
            document = json.loads(body)
        except ValueError:
            document = {}
        now: datetime = moment or self.clock.now()
        found = document if isinstance(document, dict) else {}
        return Seen(str(answer["ETag"]), found, (now - answer["LastModified"]).total_seconds())

    def write(self, document: Mapping[str, Any], etag: str | None) -> str | None:
        """Puts the document where the lock is still as seen (`etag`; None: not there); its ETag, None if it moved on."""
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        body = json.dumps(document, sort_keys=True).encode()
        for tried in range(TRIES):
            try:
                answer = self.aws.call(
                    "s3",
                    "PutObject",
                    Bucket=self.bucket,
                    Key=self.key,
                    Body=body,
                    ContentType="application/json",
                    **condition,
                )
                return str(answer["ETag"])
            except AwsError as error:
                if error.status in (404, 412):
                    seen = self.look()  # our own nonce: it arrived, and the answer was lost
                    ours = seen is not None and seen.document.get("nonce") == document["nonce"]
                    return seen.etag if seen and ours else None
                if not (unheard(error) or slow_down(error) or error.status == 409) or tried == TRIES - 1:
                    raise
                self.clock.wait(tried)
        raise AssertionError


class Lease:
    """A lock that we hold, until `release`; `renew` before its lease is over."""

    def __init__(self, lock: Lock, document: Mapping[str, Any], etag: str) -> None:
        self._lock, self._document, self._etag = lock, document, etag
        self._turn = threading.Lock()
        self._held = True

    def renew(self) -> bool:
        """Makes the lease last from now; False where somebody else has the lock by now."""
        return self._put({})

    def release(self) -> None:
        """Frees the lock for the next, unless somebody else has it by now."""
        self._put({"released": True})
        self._held = False

    def _put(self, more: Mapping[str, Any]) -> bool:
        with self._turn:
            if not self._held:
                return False
            document = {**self._document, "nonce": self._lock.nonce(), **more}
            etag = self._lock.write(document, self._etag)
            self._held, self._etag = etag is not None, etag or self._etag
            return self._held


@contextmanager
def kept(lease: Lease, tell: Callable[[str], None]) -> Iterator[None]:
    """Renews the lease in the background, and releases it at the end; `tell` hears when it is lost."""
    with _Renewal(lease, tell):
        try:
            yield
        finally:
            _release(lease)


class _Renewal:
    def __init__(self, lease: Lease, tell: Callable[[str], None]) -> None:
        self._lease, self._tell = lease, tell
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lock", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(RENEWED):
            try:
                kept_ = self._lease.renew()
            except BunniesError:
                continue  # the next renewal may arrive: the lease outlives two that do not
            if not kept_:
                self._tell("the lock was taken by another; this run goes on, the ledger keeps both right")
                return


def _release(lease: Lease) -> None:
    try:
        lease.release()
    except BunniesError:
        return  # it ends with its lease


def _words(seen: Seen) -> str:
    by, what = seen.document.get("by", "somebody"), seen.document.get("what", "a run")
    return (
        f"locked by {by} ({what}, since {seen.document.get('since', 'some time')}); last renewed {seen.age:.0f} s ago. "
        "Wait for it with --lock-timeout 10m; if that run is gone the lock is free in "
        f"{seen.left:.0f} s, or at once after `bunnies unlock`."
    )
