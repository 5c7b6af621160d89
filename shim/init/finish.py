"""After the command, or instead of it: outputs, logs and result.json, in the order that a stop or a success needs.

Job: close the attempt. Input: the state of stage, how the command ended. Output: `{"exit": code}` to PID 1.
Must not: write result.json before the outputs that it names are there, or name outputs of a failed command.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from shim.init import errors, events, memory, outputs, result, s3, spec
from shim.init.errors import ShimError

_LOGS = ("stdout.log", "stderr.log")


def close(
    state: Mapping[str, Any],
    ended: Mapping[str, Any],
    environ: Mapping[str, str],
    tell: Callable[[Any], None],
) -> None:
    """`ended`: code, signal, exit_code, seconds, usage, oom_killed, stopped_by, timed_out, failure, program, error.

    Success: outputs, logs, result. A stop: result, logs. Anything else: logs, result.
    """
    attempt = spec.parse_attempt(state["data"])
    job = _job(state["data"])
    begun = time.monotonic()
    try:
        store = s3.Store(environ, job.region if job else environ.get("AWS_REGION", "us-east-1"))
        verdict, entries = _outputs(store, job, verdict_of(ended))
        stopped = verdict[0] == "interrupted"
        if not stopped:
            _upload_logs(store, ended.get("logs"), attempt.url)
        body = document(state, {**ended, "upload": time.monotonic() - begun}, verdict, entries)
        result.write_once(store, f"{attempt.url}result.json", body)
        events.tell("finished", status=body["status"], exit_code=body["exit_code"], error=body["error"])
        if stopped:
            _upload_logs(store, ended.get("logs"), attempt.url)
    except ShimError as problem:
        events.tell("failed", error_class=problem.kind, message=str(problem))
        tell({"exit": problem.exit_code})
        return
    tell({"exit": _leave_with(ended, verdict[1])})


def document(
    state: Mapping[str, Any],
    ended: Mapping[str, Any],
    verdict: result.Verdict,
    entries: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """result.json: schemas/result.schema.json."""
    attempt, job = spec.parse_attempt(state["data"]), _job(state["data"])
    body = result.closed(attempt, state["nonce"], verdict, _exit_code(ended))
    phases = {"download": ended.get("download"), "run": ended.get("seconds"), "upload": ended.get("upload")}
    body["phases"] = {name: round(seconds, 3) for name, seconds in phases.items() if seconds is not None}
    body |= {
        "started_at": state["started_at"],
        "task": state["task"],
        "cgroup": memory.usage(),
        "oom_killed": bool(ended.get("oom_killed")),
        "signal": ended.get("signal") or None,
    }
    if usage := ended.get("usage"):
        body["rusage"] = {"user": usage[0], "system": usage[1], "max_rss_kib": usage[2]}
    if job is not None:
        body |= {"image": dict(job.image), "inputs": result.inputs(job)}
    return body if entries is None else {**body, "outputs": entries}


def _job(data: bytes) -> spec.JobSpec | None:
    """None where the spec is wrong: that is what the result will say."""
    try:
        return spec.parse(data)
    except ShimError:
        return None


def _outputs(
    store: s3.Store, job: spec.JobSpec | None, verdict: result.Verdict
) -> tuple[result.Verdict, Mapping[str, Any] | None]:
    if verdict[0] != "succeeded" or job is None:
        return verdict, None
    try:
        found = outputs.collect(job.outputs, os.path.join(job.work_root, "output"))
        return verdict, outputs.upload(store, found, job.outputs_url)
    except ShimError as problem:
        return ("failed", problem), None


def verdict_of(ended: Mapping[str, Any]) -> result.Verdict:  # noqa: PLR0911 - one line for each way to end
    """The status, and why where it is not success."""
    if ended.get("error"):
        return "failed", ShimError(*ended["error"])
    if number := ended.get("stopped_by"):
        name = signal.Signals(number).name
        return "interrupted", ShimError("infrastructure", f"the container was stopped by {name}.")
    if failure := ended.get("failure"):
        return "failed", ShimError("user", f"cannot run {ended.get('program')}: {os.strerror(failure)}.")
    if ended.get("timed_out"):
        return "failed", ShimError(
            "user", f"the command was stopped after its timeout of {ended.get('timeout')} s."
        )
    if ended["exit_code"] == 0:
        return "succeeded", None
    if ended.get("oom_killed"):
        return "failed", ShimError(
            "memory", "the kernel stopped the command for want of memory: give the task more."
        )
    what = f"signal {ended['signal']}" if ended["signal"] else f"exit code {ended['exit_code']}"
    return "failed", ShimError("user", f"the command ended with {what}.")


def _exit_code(ended: Mapping[str, Any]) -> int | None:
    return None if ended.get("failure") or ended.get("never_ran") else ended["exit_code"]


def _leave_with(ended: Mapping[str, Any], error: ShimError | None) -> int:
    if error is not None and error.kind in errors.EXIT_CODES and not ended.get("stopped_by"):
        return error.exit_code
    if ended.get("stopped_by"):
        return 128 + int(ended["stopped_by"])
    return int(ended["exit_code"])


def _upload_logs(store: s3.Store, folder: str | None, url: str) -> None:
    """Logs that cannot be written are told on stderr: they must not cost the result."""
    for name in _LOGS if folder else ():
        path = os.path.join(str(folder), name)
        try:
            store.upload(path, os.path.getsize(path), url + name)
        except (ShimError, OSError) as error:
            events.tell("log lost", name=name, message=str(error))
