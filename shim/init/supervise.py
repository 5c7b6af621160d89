"""A good PID 1: starts a command in its own process group, forwards signals, reaps, and waits without polling.

Job: fork, forward, reap, keep deadlines. Input: argv, environment. Output: how it ended.
Must not: know of jobs, or import more than the few modules below: it stays in memory while the user's command runs.
"""

from __future__ import annotations

import marshal
import os
import time

from shim.init import copying, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, Protocol

    Messages = dict[str, Any]

    class Beside(Protocol):
        """Something done now and then while a child runs: when it is due next, doing it, a child of its that ended."""

        def due(self) -> float | None: ...  # noqa: D102
        def begin(self, now: float) -> None: ...  # noqa: D102
        def reaped(self, pid: int, now: float) -> bool: ...  # noqa: D102
else:
    import _signal as signal  # without the enums of signal, which take longer than all the rest of the start


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


class Supervisor:
    """Owns the process's signals. One child at a time is waited for; everything else that ends is reaped."""

    def __init__(self) -> None:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._group = 0
        self._forward = False
        self._early: list[int] = []
        self._others: process.Usage = (0.0, 0.0, 0)
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
            process.become_subreaper()

    def spawn(
        self, argv: list[str], environ: dict[str, str], *logs: int, oom_score: int = 0
    ) -> process.Child:
        """Runs `argv`; with two `logs`, stdout and stderr go through pipes to those descriptors and to ours."""
        pipes = [os.pipe() for _ in logs]
        report, told = os.pipe()

        def start() -> None:
            for number, (_, write) in enumerate(pipes, start=1):
                os.dup2(write, number)
            process.take_terminal()
            if oom_score:
                process.raise_oom_score(oom_score)
            process.execute(argv, environ, told)

        pid = self._fork(start)
        self._lead(pid)
        for end in (told, *(write for _, write in pipes)):
            os.close(end)
        failure = os.read(report, 16)
        os.close(report)
        copies: dict[int, copying.Buffer | copying.Copy] = {
            read: copying.Copy(logs[number - 1], number) for number, (read, _) in enumerate(pipes, start=1)
        }
        return process.Child(pid, int(failure or b"0"), copies)

    def work(self, function: Callable[[Callable[[Any], None]], None]) -> process.Child:
        """Runs `function(tell)` in a child of our own; what it tells is what `messages` of the child reads."""
        read, write = os.pipe()

        def start() -> None:
            code = 70
            try:
                function(lambda message: _write_all(write, marshal.dumps(message)))
                code = 0
            except BaseException:  # noqa: BLE001 - a child must end here, whatever happens
                _tell_traceback()
            os._exit(code)

        pid = self._fork(start)
        self._group, self._forward = pid, False
        os.close(write)
        return process.Child(pid, 0, {read: copying.Buffer()})

    def aside(self, function: Callable[[], None]) -> int:
        """Runs `function` in a child of our own beside the one that is waited for; its pid."""

        def start() -> None:
            code = 70
            try:
                function()
                code = 0
            except BaseException:  # noqa: BLE001 - as above
                _tell_traceback()
            os._exit(code)

        return self._fork(start)

    def wait(
        self,
        child: process.Child,
        timeout: float | None = None,
        grace: float | None = None,
        beside: Beside | None = None,
    ) -> process.Ended:
        """Waits for `child`, copying its output. `timeout`: seconds until SIGTERM. `grace`: from a stopping signal
        (an earlier one too) or the timeout until SIGKILL; without it nothing is ever killed.
        """
        pipes = copying.Pipes(self._wake, child.pipes)
        deadline = None if timeout is None else child.started + timeout
        timed_out, killed, kill_at, ended = False, False, None, None
        while ended is None or pipes.busy:
            ended = ended or self._reap(child, beside)
            now = time.monotonic()
            due = None
            if ended is not None:
                kill_at, deadline = None, child.started + ended.seconds + _DRAIN_SECONDS
                if now >= deadline:
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
            if ended is None and beside is not None:
                due = beside.due()
                if due is not None and now >= due:
                    beside.begin(now)
                    due = beside.due()
            if ended is None or pipes.busy:
                pipes.turn(_milliseconds(now, deadline, kill_at, due), ended=ended is not None)
        if child.pipes:  # what the command left behind must not go on writing
            self._kill(signal.SIGKILL)
        self._group, self._forward = 0, False
        pipes.close()
        ended.stopped_by, ended.timed_out = self.stopped_by, timed_out
        return ended

    def pause(self, seconds: float, beside: Beside) -> None:
        """Waits, reaping, until the time has passed or a stopping signal came."""
        end = time.monotonic() + seconds
        pipes = copying.Pipes(self._wake, {})
        while (now := time.monotonic()) < end and not self.stopped_by:
            pipes.turn(_milliseconds(now, end), ended=False)
            self._reap(None, beside)

    def dismiss(self, pid: int) -> None:
        """Ends a child that `aside` started, if it is still there."""
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return

    def _reap(self, child: process.Child | None, beside: Beside | None) -> process.Ended | None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == 0:
                return None
            resources = (usage.ru_utime, usage.ru_stime, usage.ru_maxrss)
            if child is not None and pid == child.pid:
                whole, self._others = process.add(self._others, resources), (0.0, 0.0, 0)
                return process.Ended(status, whole, time.monotonic() - child.started)
            if beside is None or not beside.reaped(pid, time.monotonic()):
                self._others = process.add(self._others, resources)

    def _fork(self, start: Callable[[], None]) -> int:
        """A child in a process group of its own, with signals as they were given to us, that ends with `start`."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._caught)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            try:
                self._restore()
                start()
            finally:
                os._exit(126)
        try:
            os.setpgid(pid, pid)  # both sides do it: whoever comes first
        except OSError:
            pass  # it has already called exec, or is gone
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        return pid

    def _lead(self, pid: int) -> None:
        """Forwards signals to the group of `pid` from now on, and those that came before it was there."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._caught)
        self._group, self._forward = pid, True
        while self._early:
            self._kill(self._early.pop(0))
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _restore(self) -> None:
        """In a child: dispositions and mask as they were given to us; python itself ignores SIGPIPE and SIGXFSZ."""
        for number in (*self._caught, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGCHLD:
            return
        if number in _STOPPING and not self.stopped_by:
            self.stopped_by = number
        if self._forward:
            self._kill(number)
        else:
            self._early.append(number)

    def _kill(self, number: int) -> None:
        if self._group:
            try:
                os.killpg(self._group, number)
            except OSError:
                pass  # gone already


def messages(child: process.Child) -> Messages:
    """All that a child of `work` told, later words over earlier ones; one cut short by SIGKILL is left out."""
    (heard,) = child.pipes.values()
    assert isinstance(heard, copying.Buffer)  # noqa: S101 - for mypy
    found: Messages = {}
    import io

    stream = io.BytesIO(heard.data)
    while True:
        try:
            found |= marshal.load(stream)  # noqa: S302 - from our own fork
        except (EOFError, ValueError, TypeError):
            return found


def _milliseconds(now: float, *moments: float | None) -> int | None:
    coming = [moment for moment in moments if moment is not None]
    return None if not coming else max(0, int((min(coming) - now) * 1000) + 1)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _tell_traceback() -> None:
    import traceback

    from shim.init import events

    events.tell("bug", traceback=traceback.format_exc())
