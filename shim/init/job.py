"""A job, as PID 1 sees it: stage, run, finish, each in a process of its own.

Job: hold the three together, and stay small. Input: JOBSPEC. Output: the container's exit code.
Must not: import json, obstore or anything of the children's.
"""

from __future__ import annotations

import io
import marshal
import os

from shim.init import errors, memory, supervise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Messages = dict[str, Any]

#: Raised for the user's command only, so that the kernel takes it before PID 1.
_OOM_SCORE = 500


def run(url: str, entrypoint: list[str]) -> int:
    """The user's exit code, or one of errors.EXIT_CODES."""
    supervisor = supervise.Supervisor()
    environ = dict(os.environ)

    def prepare(tell: Callable[[Any], None]) -> None:
        from shim.init import stage

        stage.prepare(url, entrypoint, environ, tell)

    messages, ended = _work(supervisor, prepare, grace=0.0)
    if "exit" in messages:
        return int(messages["exit"])
    if "state" not in messages:  # stopped, or killed, before the fence was ours: there is nothing to close
        return 128 + supervisor.stopped_by if supervisor.stopped_by else errors.EXIT_CODES["infrastructure"]
    told = {"exit_code": ended.exit_code, "signal": 0, "never_ran": True, "stopped_by": supervisor.stopped_by}
    if supervisor.stopped_by:
        return _close(supervisor, messages["state"], told, environ)
    if "run" not in messages:
        crashed = ["infrastructure", f"preparing ended with {ended.exit_code}."]
        return _close(
            supervisor, messages["state"], told | {"error": messages.get("error", crashed)}, environ
        )
    return _close(
        supervisor,
        messages["state"],
        _command(supervisor, messages["run"]),
        environ,
        messages["run"]["grace"],
    )


def _command(supervisor: supervise.Supervisor, order: Messages) -> Messages:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    logs = [os.open(f"{order['logs']}/{name}.log", flags, 0o600) for name in ("stdout", "stderr")]
    kills = memory.kills()
    child = supervisor.spawn(order["argv"], order["environ"], *logs, oom_score=_OOM_SCORE)
    ended = supervisor.wait(child, order["timeout"], order["grace"])
    for fd in logs:
        os.close(fd)
    return {
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "seconds": ended.seconds,
        "usage": ended.usage,
        "stopped_by": ended.stopped_by,
        "timed_out": ended.timed_out,
        "timeout": order["timeout"],
        "failure": child.failure,
        "program": order["argv"][0],
        "oom_killed": memory.kills() > kills,
        "logs": order["logs"],
        "download": order["download"],
    }


def _close(
    supervisor: supervise.Supervisor,
    state: Messages,
    told: Messages,
    environ: dict[str, str],
    grace: float | None = None,
) -> int:
    def finish(tell: Callable[[Any], None]) -> None:
        from shim.init import finish

        finish.close(state, told, environ, tell)

    stopped = bool(told["stopped_by"])
    messages, ended = _work(supervisor, finish, None if stopped else grace)
    if "exit" in messages:
        return int(messages["exit"])
    if ended.stopped_by and not stopped:  # stopped while uploading, and it did not end in time
        return _close(supervisor, state, told | {"stopped_by": ended.stopped_by}, environ)
    if (
        "error" not in told and not stopped
    ):  # it crashed, or the kernel took it: a result without outputs is still due
        crashed = ["infrastructure", f"uploading ended with {ended.exit_code}."]
        return _close(supervisor, state, told | {"error": crashed}, environ)
    return errors.EXIT_CODES["infrastructure"]


def _own_openssl() -> None:
    """In a child of ours: the image's openssl.cnf may name providers that the layer's libcrypto does not have."""
    os.environ["OPENSSL_CONF"] = "/dev/null"


def _work(
    supervisor: supervise.Supervisor,
    function: Callable[[Callable[[Any], None]], None],
    grace: float | None,
) -> tuple[Messages, supervise.Ended]:
    child = supervisor.work(function)
    ended = supervisor.wait(child, None, grace)
    (output,) = child.outputs.values()
    messages: Messages = {}
    stream = io.BytesIO(output.buffer)
    while True:
        try:
            messages |= marshal.load(stream)  # noqa: S302 - from our own fork
        except (EOFError, ValueError, TypeError):  # the end, or a message cut short by SIGKILL
            return messages, ended
