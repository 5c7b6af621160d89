"""The bytes that a child writes: kept, and passed on without ever waiting for whoever reads ours.

Job: take what a pipe holds. Input: pipes. Output: bytes in a file and on our stdout, or in memory.
Must not: block. A log driver that is stuck holds the command up, as it would without us, but no signal and no deadline.
"""

from __future__ import annotations

import os
import select

#: A pipe that poll calls writable takes this many bytes at once (PIPE_BUF, pipe(7)); a terminal may take fewer.
_AT_ONCE = 4096
_TERMINAL_AT_ONCE = 256
_READ = 65536
#: What may wait for a stuck stdout: one read while the command runs; afterwards more, since nobody can be held up.
_WAITING = 65536
_WAITING_AFTERWARDS = 1 << 20


class Buffer:
    """Keeps all in memory: what our own children tell us."""

    __slots__ = ("data", "waiting")

    def __init__(self) -> None:
        self.data = bytearray()
        self.waiting = b""  # nothing ever waits

    def take(self, data: bytes) -> None:
        """Adds `data`."""
        self.data += data


class Copy:
    """Writes to the descriptor `file`, and to `target` as fast as that takes it; each is dropped on its first error."""

    __slots__ = ("_at_once", "_file", "_poller", "target", "waiting")

    def __init__(self, file: int, target: int) -> None:
        self._file = file
        self._poller = select.poll()
        self._poller.register(target, select.POLLOUT)
        self._at_once = _TERMINAL_AT_ONCE if os.isatty(target) else _AT_ONCE
        self.target = target
        self.waiting = bytearray()

    def take(self, data: bytes) -> None:
        """Keeps `data`, whole, and passes on what can be passed on now."""
        rest = memoryview(data)
        try:
            while rest and self._file >= 0:
                rest = rest[os.write(self._file, rest) :]
        except OSError:  # the disk is full: the command must not suffer from it
            self._file = -1
        if self.target >= 0 and len(self.waiting) < _WAITING_AFTERWARDS:
            self.waiting += data
            self.pass_on()

    def pass_on(self) -> None:
        """Writes what waits for the target until it would block."""
        passed = 0
        try:
            while passed < len(self.waiting) and self._poller.poll(0):
                passed += os.write(self.target, self.waiting[passed : passed + self._at_once])
        except OSError:  # nobody reads it any more
            self.target = -1
            passed = len(self.waiting)
        del self.waiting[:passed]


class Pipes:
    """The pipes of one child, by the descriptor that we read, waited for together with one that wakes us."""

    __slots__ = ("_copies", "_open", "_wake")

    def __init__(self, wake: int, copies: dict[int, Buffer | Copy]) -> None:
        self._wake = wake
        self._copies = copies
        self._open = set(copies)

    @property
    def busy(self) -> bool:
        """Whether there may be more to read, or something still waits to be passed on."""
        return bool(self._open) or any(copy.waiting for copy in self._copies.values())

    def turn(self, milliseconds: int | None, *, ended: bool) -> None:
        """Waits until something happens or the time has passed, and does it; `ended`: the child itself is gone."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        targets: dict[int, Copy] = {}
        for fd, copy in self._copies.items():
            if isinstance(copy, Copy) and copy.waiting:
                poller.register(copy.target, select.POLLOUT)
                targets[copy.target] = copy
            # Not read further while our stdout is stuck: the command then waits, as it would without us.
            if fd in self._open and (ended or len(copy.waiting) < _WAITING):
                poller.register(fd, select.POLLIN)
        for fd, _ in poller.poll(milliseconds):
            if fd in targets:
                targets[fd].pass_on()
            elif fd in self._open:
                self._read(fd)
            else:
                _drain(fd)

    def close(self) -> None:
        """Closes what we read from."""
        for fd in self._copies:
            os.close(fd)

    def _read(self, fd: int) -> None:
        if data := os.read(fd, _READ):
            self._copies[fd].take(data)
        else:
            self._open.remove(fd)


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return
