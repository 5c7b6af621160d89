"""The command's stdout.log and stderr.log while it runs: to S3 at growing intervals.

Job: say when, and have it done by a short-lived child. Input: two open files. Output: what a killed task leaves of its log.
Must not: import anything heavy in PID 1, hold the command up, or fail it.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from shim.init import supervise

NAMES = ("stdout.log", "stderr.log")
_FIRST, _LONGEST = 5.0, 60.0
#: S3 cannot append: each time the whole log goes. At most this part of the time is spent on that.
_SHARE = 10
#: The kernel shall take the uploader before the command, whose memory it borrows.
_OOM_SCORE = 1000


class Keeper:
    """Flushes after 5 s, 10 s, 20 s, … at most 60 s each, where there is something new; supervise.Beside."""

    def __init__(
        self, supervisor: supervise.Supervisor, files: list[int], upload: Callable[[], None]
    ) -> None:
        self._supervisor = supervisor
        self._files = files
        self._upload = upload
        self._interval = _FIRST
        self._next = time.monotonic() + _FIRST
        self._began = 0.0
        self._pid = 0
        self._size = 0

    def due(self) -> float | None:
        """When to flush next; None while it happens."""
        return None if self._pid else self._next

    def begin(self, now: float) -> None:
        """Starts a child that uploads, unless nothing is new; twice as long until the next time."""
        size = sum(os.fstat(file).st_size for file in self._files)
        self._interval = min(self._interval * 2, _LONGEST)
        self._next = now + self._interval
        if size != self._size:
            self._size, self._began = size, now
            self._pid = self._supervisor.aside(self._child)

    def reaped(self, pid: int, now: float) -> bool:
        """Whether the child that ended is ours; if so it is forgotten."""
        if pid != self._pid:
            return False
        self._pid = 0
        self._next = max(self._next, now + _SHARE * (now - self._began))
        return True

    def stop(self) -> None:
        """Ends a flush that is under way: what comes at the end is whole."""
        if self._pid:
            self._supervisor.dismiss(self._pid)
            self._pid = 0

    def _child(self) -> None:
        from shim.init import process

        process.raise_oom_score(_OOM_SCORE)
        self._upload()


def flush(environ: dict[str, str], region: str, folder: str, url: str) -> None:
    """In the child: both files as they are now; one that cannot be written is told and tried again next time."""
    from shim.init import s3

    upload(s3.Store(environ, region), folder, url, streams=1)


def upload(store: object, folder: str, url: str, streams: int = 4) -> None:
    """`folder`/stdout.log and stderr.log to `url`; failures are told on stderr: they must not cost the result."""
    from shim.init import errors, events, s3

    assert isinstance(store, s3.Store)  # noqa: S101 - imported here, since PID 1 has no use for it
    for name in NAMES:
        path = f"{folder}/{name}"
        try:
            log = s3.Local(path, os.path.getsize(path), {"Content-Type": "text/plain; charset=utf-8"})
            store.upload(log, url + name, streams)
        except (errors.ShimError, OSError) as error:
            events.tell("log lost", name=name, message=str(error))
