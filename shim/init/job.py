"""A job, as PID 1 sees it: stage, run, finish, each in a process of its own.

Job: hold the three together, and stay small. Input: JOBSPEC. Output: the container's exit code.
Must not: import json, obstore or anything of the children's.
"""

from __future__ import annotations

import os

from shim.init import errors, runs, supervise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from shim.init import process
    from shim.init.supervise import Messages


def run(url: str, entrypoint: list[str]) -> int:
    """The user's exit code, or one of errors.EXIT_CODES."""
    supervisor = supervise.Supervisor()
    environ = dict(os.environ)
    # For our own children: the image's openssl.cnf may name providers that the layer's libcrypto does not have.
    os.environ["OPENSSL_CONF"] = "/dev/null"

    def prepare(tell: Callable[[Any], None]) -> None:
        from shim.init import stage

        stage.prepare(url, entrypoint, environ, tell)

    messages, ended = _work(supervisor, prepare, grace=0.0)
    if "exit" in messages:
        return int(messages["exit"])
    if "state" not in messages:  # stopped, or killed, before the fence was ours: there is nothing to close
        return 128 + supervisor.stopped_by if supervisor.stopped_by else errors.EXIT_CODES["infrastructure"]
    state = messages["state"]
    told = {"exit_code": ended.exit_code, "signal": 0, "never_ran": True, "stopped_by": supervisor.stopped_by}
    if supervisor.stopped_by:
        return _close(supervisor, state, told, environ)
    if "run" not in messages:
        crashed = ["infrastructure", f"preparing ended with {ended.exit_code}."]
        return _close(supervisor, state, told | {"error": messages.get("error", crashed)}, environ)
    order = messages["run"]
    return _close(supervisor, state, runs.command(supervisor, order, environ), environ, order["grace"])


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

    hurried = bool(told["stopped_by"]) or "hurry" in told
    messages, ended = _work(supervisor, finish, None if hurried else grace)
    if "exit" in messages:
        return int(messages["exit"])
    if hurried:
        return errors.EXIT_CODES["infrastructure"]
    if ended.stopped_by:  # stopped while uploading, and it did not end in time
        return _close(supervisor, state, told | {"hurry": ended.stopped_by}, environ)
    if "error" not in told:  # it crashed, or the kernel took it: a result without outputs is still due
        crashed = ["infrastructure", f"uploading ended with {ended.exit_code}."]
        return _close(supervisor, state, told | {"error": crashed}, environ)
    return errors.EXIT_CODES["infrastructure"]


def _work(
    supervisor: supervise.Supervisor,
    function: Callable[[Callable[[Any], None]], None],
    grace: float | None,
) -> tuple[Messages, process.Ended]:
    child = supervisor.work(function)
    ended = supervisor.wait(child, None, grace)
    return supervise.messages(child), ended
