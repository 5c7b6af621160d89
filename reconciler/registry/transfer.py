"""Many blobs into one repository.

Job: push blobs a few at a time, so that one slow one does not hold up the rest; tell how far it is. Input: a
Repository, Blobs. Output: how many bytes took which way. Must not: write a manifest: that is for whoever knows that
all of its blobs are there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Final

from reconciler.errors import RegistryError
from reconciler.registry.repository import Blob, Repository

AT_ONCE: Final = 4  # blobs; each has one buffer, so memory does not grow with sizes
STEP: Final = 64 * 1024 * 1024  # bytes between two lines of progress


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes by the way they took: sent, mounted from another repository, there before."""

    pushed: int = 0
    mounted: int = 0
    there: int = 0


def push(target: Repository, blobs: Sequence[Blob], tell: Callable[[str], None]) -> Moved:
    """Make `target` hold every blob. Raises the RegistryError of the first that fails; the others stop."""
    unique = {blob.digest: blob for blob in blobs}
    progress = _Progress(target.name, tell)

    def one(blob: Blob) -> str:
        try:
            return target.push(progress.counted(blob))
        except BaseException:
            progress.stopped = True
            raise

    with ThreadPoolExecutor(max_workers=min(AT_ONCE, max(1, len(unique)))) as pool:
        waiting = [pool.submit(one, blob) for blob in unique.values()]
        try:
            wait(waiting, return_when=FIRST_EXCEPTION)
        finally:  # an interrupt too: what has begun ends at its next chunk, what has not does not begin
            progress.stopped = True
            pool.shutdown(cancel_futures=True)
    failed = [future for future in waiting if not future.cancelled() and future.exception()]
    for future in sorted(failed, key=lambda future: isinstance(future.exception(), _StoppedError)):
        future.result()
    ways = [future.result() for future in waiting]
    total = {"pushed": 0, "mounted": 0, "there": 0}
    for blob, way in zip(unique.values(), ways, strict=True):
        total[way] += blob.size
    return Moved(**total)


def size(count: int) -> str:
    """Bytes for people: 14.9 MB."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


class _StoppedError(RegistryError):
    """Not a failure of its own."""


class _Progress:
    def __init__(self, name: str, tell: Callable[[str], None]) -> None:
        self._name = name
        self._tell = tell
        self._lock = threading.Lock()
        self._sent = 0
        self.stopped = False

    def counted(self, blob: Blob) -> Blob:
        def chunks() -> Iterator[memoryview | bytes]:
            for chunk in blob.chunks():
                if self.stopped:
                    raise _StoppedError(f"{self._name}: stopped, for another blob failed")
                self._add(len(chunk))
                yield chunk

        return replace(blob, chunks=chunks)

    def _add(self, count: int) -> None:
        with self._lock:
            before, self._sent = self._sent, self._sent + count
            if before // STEP != self._sent // STEP:
                self._tell(f"pushing to {self._name}: {size(self._sent)}")
