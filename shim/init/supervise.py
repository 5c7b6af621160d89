"""A good PID 1: starts a command in its own process group, forwards signals, reaps, and waits without polling.

Job: fork, exec, forward, reap, copy output. Input: argv, environment. Output: how it ended.
Must not: know of jobs, or import more than the few modules below: it stays in memory while the user's command runs.
"""

from __future__ import annotations

import errno
import marshal
import os
import select
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

#: Never forwarded: our own children, what the kernel raises for our own faults and writes, terminal reads.
_OURS = frozenset(
    {
        signal.SIGCHLD,
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGABRT,
        signal.SIGTRAP,
    }
    | {signal.SIGSYS, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGXCPU, signal.SIGTTIN, signal.SIGTTOU}
    | {signal.SIGKILL, signal.SIGSTOP}
)
_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
#: How long output of grandchildren is still read after the command itself has ended.
_DRAIN_SECONDS = 2.0
_PR_SET_CHILD_SUBREAPER = 36


class Child:
    """A process of ours: `failure` is the errno of its exec, 0 where it runs; `outputs` are pipes to copy from."""

    __slots__ = ("failure", "outputs", "pid", "started")

    def __init__(self, pid: int, failure: int, outputs: dict[int, Copy]) -> None:
        self.pid = pid
        self.failure = failure
        self.outputs = outputs
        self.started = time.monotonic()


class Ended:
    """How a child ended: `code` None after signal `signal`; `usage` as wait4 gives it; `killed` when we had to."""

    __slots__ = ("code", "seconds", "signal", "stopped_by", "timed_out", "usage")

    def __init__(self, status: int, usage: tuple[float, float, int], seconds: float) -> None:
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


class Copy:
    """Where the bytes of a pipe go: descriptors, each dropped on its first error, or a buffer in memory."""

    __slots__ = ("buffer", "targets")

    def __init__(self, *targets: int) -> None:
        self.targets = list(targets)
        self.buffer = bytearray()

    def take(self, data: bytes) -> None:
        """Passes `data` on, whole."""
        if not self.targets:
            self.buffer += data
        for target in list(self.targets):
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[os.write(target, rest) :]
            except OSError:  # stdout closed, or the disk full: the command must not suffer from it
                self.targets.remove(target)


class Supervisor:
    """Owns the process's signals. One child at a time; everything else that ends is reaped."""

    def __init__(self) -> None:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._group = 0
        self._forward = False
        self._early: list[int] = []
        self.stopped_by = 0
        self._wake, wake = os.pipe()
        for end in (self._wake, wake):
            os.set_blocking(end, False)
        given = [n for n in signal.valid_signals() if n not in _OURS]
        self._caught = [
            n for n in given if signal.getsignal(n) is not signal.SIG_IGN
        ]  # ignored stays ignored
        for number in (*self._caught, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        if os.getpid() != 1:
            _become_subreaper()

    def spawn(self, argv: list[str], environ: dict[str, str], *logs: int, oom_score: int = 0) -> Child:
        """Runs `argv`; with two `logs`, stdout and stderr go through pipes to ours and to those descriptors."""
        pipes = [os.pipe() for _ in logs]
        report, told = os.pipe()

        def start() -> None:
            for number, (_, write) in enumerate(pipes, start=1):
                os.dup2(write, number)
            _take_terminal()
            if oom_score:
                _raise_oom_score(oom_score)
            self._restore()
            try:
                os.execvpe(argv[0], argv, environ)
            except OSError as error:
                os.write(told, str(error.errno).encode())
                code = 127 if error.errno in (errno.ENOENT, errno.ENOTDIR) else 126
                os._exit(code)

        pid = self._fork(start, forward=True)
        for end in (told, *(write for _, write in pipes)):
            os.close(end)
        failure = os.read(report, 16)
        os.close(report)
        outputs = {read: Copy(number, logs[number - 1]) for number, (read, _) in enumerate(pipes, start=1)}
        return Child(pid, int(failure or b"0"), outputs)

    def work(self, function: Callable[[Callable[[Any], None]], None]) -> Child:
        """Runs `function(tell)` in a child of our own; what it tells arrives in the one output's buffer."""
        read, write = os.pipe()

        def start() -> None:
            self._restore()
            code = 70
            try:
                function(lambda message: _write_all(write, marshal.dumps(message)))
                code = 0
            except BaseException:  # noqa: BLE001 - a child must end here, whatever happens
                _tell_traceback()
            os._exit(code)

        pid = self._fork(start, forward=False)
        os.close(write)
        return Child(pid, 0, {read: Copy()})

    def wait(self, child: Child, timeout: float | None = None, grace: float | None = None) -> Ended:
        """Waits for `child`, copying its outputs. `timeout`: seconds until SIGTERM. `grace`: from a stopping signal
        (an earlier one too) or the timeout until SIGKILL; without it nothing is ever killed.
        """
        poller = select.poll()
        open_outputs = dict(child.outputs)
        for fd in (self._wake, *open_outputs):
            poller.register(fd, select.POLLIN)
        deadline = None if timeout is None else child.started + timeout
        timed_out, killed, kill_at, ended = False, False, None, None
        while ended is None or open_outputs:
            ended = ended or self._reap(child)
            now = time.monotonic()
            if ended is not None:
                kill_at, deadline = None, child.started + ended.seconds + _DRAIN_SECONDS
                if not open_outputs or now >= deadline:
                    break
            elif deadline is not None and now >= deadline:
                timed_out, deadline = True, None
                self._kill(signal.SIGTERM)
                kill_at = now + (grace or 0)
            elif self.stopped_by and kill_at is None and grace is not None and not killed:
                kill_at = now + grace
            if kill_at is not None and now >= kill_at:
                self._kill(signal.SIGKILL)
                killed, kill_at = True, None
            self._copy(poller, open_outputs, _milliseconds(now, deadline, kill_at))
        self._kill(
            signal.SIGKILL if child.outputs else 0
        )  # what the command left behind must not go on writing
        self._group, self._forward = 0, False
        for fd in child.outputs:
            os.close(fd)
        ended.stopped_by, ended.timed_out = self.stopped_by, timed_out
        return ended

    def _copy(self, poller: select.poll, outputs: dict[int, Copy], milliseconds: int | None) -> None:
        for fd, _ in poller.poll(milliseconds):
            if fd == self._wake:
                _drain(fd)
            elif data := os.read(fd, 65536):
                outputs[fd].take(data)
            else:
                poller.unregister(fd)
                del outputs[fd]

    def _reap(self, child: Child) -> Ended | None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == 0:
                return None
            if pid == child.pid:
                resources = (usage.ru_utime, usage.ru_stime, usage.ru_maxrss)
                return Ended(status, resources, time.monotonic() - child.started)

    def _fork(self, start: Callable[[], None], *, forward: bool) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, self._caught)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            try:
                start()
            finally:
                os._exit(126)
        try:
            os.setpgid(pid, pid)  # both sides do it: whoever comes first
        except OSError:
            pass  # it has already called exec, or is gone
        self._group, self._forward = pid, forward
        while forward and self._early:
            self._kill(self._early.pop(0))
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        return pid

    def _restore(self) -> None:
        """In a child: dispositions and mask as they were given to us; python itself ignores SIGPIPE and SIGXFSZ."""
        for number in (*self._caught, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Runs even while a write to a slow stdout blocks, so that a stop is never late.
        if number == signal.SIGCHLD:
            return
        if number in _STOPPING and not self.stopped_by:
            self.stopped_by = number
        if self._forward:
            self._kill(number)
        else:
            self._early.append(number)

    def _kill(self, number: int) -> None:
        if self._group and number:
            try:
                os.killpg(self._group, number)
            except OSError:
                pass  # gone already


def _milliseconds(now: float, *moments: float | None) -> int | None:
    coming = [moment for moment in moments if moment is not None]
    return None if not coming else max(0, int((min(coming) - now) * 1000) + 1)


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _take_terminal() -> None:
    """Makes our process group the foreground one where stdin is a terminal, so that it may read and gets ^C."""
    if os.isatty(0):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            os.tcsetpgrp(0, os.getpid())
        except OSError:
            pass  # not our controlling terminal
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _raise_oom_score(score: int) -> None:
    """The kernel shall take the user's command before us, so that someone is left to tell."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, str(score).encode())
        os.close(fd)
    except OSError:
        return


def _become_subreaper() -> None:
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return


def _tell_traceback() -> None:
    import traceback

    from shim.init import events

    events.tell("bug", traceback=traceback.format_exc())
