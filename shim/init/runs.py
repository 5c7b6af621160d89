"""The user's command in its task, once or, with `restart`, more often.

Job: run it, keep its output and its logs, decide whether it runs again. Input: the order that stage told. Output: how
it ended. Must not: import anything heavy: PID 1 is here while the command runs.
"""

from __future__ import annotations

import os
import time

from shim.init import logs, memory, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shim.init import supervise
    from shim.init.supervise import Messages

#: Raised for the user's command only, so that the kernel takes it before PID 1.
_OOM_SCORE = 500
_LONGEST_BACKOFF = 3600.0


def command(supervisor: supervise.Supervisor, order: Messages, environ: dict[str, str]) -> Messages:
    """How the last run ended, as finish.close reads it, and under `runs` each of them.

    `order`: argv, environ, logs (a folder), url (of the attempt), region, timeout (seconds for all runs together, or
    None), grace (seconds), restart ({exit_codes, attempts, backoff} or None), download (seconds), digests.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    files = [os.open(f"{order['logs']}/{name}", flags, 0o600) for name in logs.NAMES]
    keeper = logs.Keeper(
        supervisor, files, lambda: logs.flush(environ, order["region"], order["logs"], order["url"])
    )
    began, staged = time.monotonic(), memory.usage()
    done: list[Messages] = []
    while not done or _another(supervisor, order, keeper, began, done):
        left = None if order["timeout"] is None else began + order["timeout"] - time.monotonic()
        done.append(_once(supervisor, order, files, keeper, left))
    keeper.stop()
    for file in files:
        os.close(file)
    usage = done[0]["usage"]
    for run in done[1:]:
        usage = process.add(usage, run["usage"])
    return done[-1] | {
        "runs": done,
        "usage": usage,
        "seconds": time.monotonic() - began,
        "stopped_by": supervisor.stopped_by,
        "timeout": order["timeout"],
        "program": order["argv"][0],
        "logs": order["logs"],
        "download": order["download"],
        "digests": order["digests"],
        "staged_peak": staged.get("memory_peak_bytes"),
    }


def _another(
    supervisor: supervise.Supervisor,
    order: Messages,
    keeper: logs.Keeper,
    began: float,
    done: list[Messages],
) -> bool:
    """Waits for the time of the next run; False where there is none."""
    delay = again(order["restart"], done)
    if delay is None or supervisor.stopped_by:
        return False
    if order["timeout"] is not None and time.monotonic() + delay >= began + order["timeout"]:
        return False
    supervisor.pause(delay, keeper)
    return not supervisor.stopped_by


def again(restart: Messages | None, done: list[Messages]) -> float | None:
    """Seconds to wait before the command runs again, doubled each time; None where it does not."""
    last = done[-1]
    if restart is None or len(done) >= restart["attempts"] or last["timed_out"] or last["failure"]:
        return None
    if last["exit_code"] not in restart["exit_codes"]:
        return None
    return min(float(restart["backoff"] * 2 ** (len(done) - 1)), _LONGEST_BACKOFF)


def _once(
    supervisor: supervise.Supervisor,
    order: Messages,
    files: list[int],
    keeper: logs.Keeper,
    left: float | None,
) -> Messages:
    kills, at = memory.kills(), time.time()
    child = supervisor.spawn(order["argv"], order["environ"], *files, oom_score=_OOM_SCORE)
    ended: process.Ended = supervisor.wait(child, left, order["grace"], keeper)
    return {
        "at": at,
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "seconds": ended.seconds,
        "usage": ended.usage,
        "timed_out": ended.timed_out,
        "failure": child.failure,
        "oom_killed": memory.kills() > kills,
    }
