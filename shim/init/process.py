"""One child: how it is started, how it ended, and what the kernel is told about it.

Job: the parts of fork and exec that know no state. Input: argv, environment, descriptors. Output: a child that runs, facts.
Must not: wait for anything, or hold signals (supervise does).
"""

from __future__ import annotations

import errno
import os
import time

from shim.init import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import NoReturn

    from shim.init.copying import Buffer, Copy
else:
    import _signal as signal  # as in supervise: without its enums

#: user seconds, system seconds, kibibytes of the largest process
Usage = tuple[float, float, int]
_PR_SET_CHILD_SUBREAPER = 36


class Child:
    """A process of ours: `failure` is the errno of its exec, 0 where it runs; `pipes` are to be read, by descriptor."""

    __slots__ = ("failure", "pid", "pipes", "started")

    def __init__(self, pid: int, failure: int, pipes: dict[int, Buffer | Copy]) -> None:
        self.pid = pid
        self.failure = failure
        self.pipes = pipes
        self.started = time.monotonic()


class Ended:
    """How a child ended: `code` None after signal `signal`; `usage` of it and all that was reaped meanwhile."""

    __slots__ = ("code", "seconds", "signal", "stopped_by", "timed_out", "usage")

    def __init__(self, status: int, usage: Usage, seconds: float) -> None:
        self.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        self.code = None if self.signal else os.WEXITSTATUS(status)
        self.usage = usage
        self.seconds = seconds
        self.stopped_by = 0
        self.timed_out = False

    @property
    def exit_code(self) -> int:
        """The code as a shell would tell it: 128+n after signal n."""
        return 128 + self.signal if self.code is None else self.code


def add(one: Usage, other: Usage) -> Usage:
    """Both together: seconds add up, the largest process is the larger one."""
    return one[0] + other[0], one[1] + other[1], max(one[2], other[2])


def execute(argv: list[str], environ: dict[str, str], told: int) -> NoReturn:
    """Becomes `argv`; where that fails, writes the errno to `told` and ends as a shell would."""
    try:
        os.execvpe(argv[0], argv, environ)
    except OSError as error:
        os.write(told, str(error.errno).encode())
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        os._exit(errors.NOT_FOUND if missing else errors.NOT_EXECUTABLE)


def take_terminal() -> None:
    """Makes our process group the foreground one where stdin is a terminal, so that it may read and gets ^C."""
    if os.isatty(0):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            os.tcsetpgrp(0, os.getpid())
        except OSError:
            pass  # not our controlling terminal
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def raise_oom_score(score: int) -> None:
    """The kernel shall take this process before PID 1, so that someone is left to tell."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, str(score).encode())
        os.close(fd)
    except OSError:
        return


def become_subreaper() -> None:
    """Orphans come to us although we are not PID 1; best effort."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return
