"""After the command, or instead of it: outputs, logs and result.json, in the order that a stop or a success needs.

Job: close the attempt. Input: the state of stage, how the command ended. Output: `{"exit": code}` to PID 1.
Must not: write result.json before the outputs that it names are there, or name outputs of a failed command as such.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from shim.init import errors, events, logs, memory, outputs, result, s3, spec
from shim.init.errors import ShimError

Files = Mapping[str, Any]


def close(
    state: Mapping[str, Any],
    ended: Mapping[str, Any],
    environ: Mapping[str, str],
    tell: Callable[[Any], None],
) -> None:
    """`ended`: what runs.command returns, or exit_code, never_ran, stopped_by and perhaps error where nothing ran;
    `hurry` where a stop came while this was tried before.

    Success: outputs, logs, result. A stop: result, logs, partial outputs. Anything else: logs, partial outputs, result.
    """
    attempt, job = spec.parse_attempt(state["data"]), _job(state["data"])
    ended = hurried(ended)
    begun = time.monotonic()
    try:
        store = s3.Store(environ, job.region if job else environ.get("AWS_REGION", "us-east-1"))
        closing = _Closing(store, attempt, job, ended)
        verdict, entries = closing.outputs(verdict_of(ended))
        late = verdict[0] == "interrupted" or "hurry" in ended
        partial = None if late else closing.leave(verdict)
        body = document(state, {**ended, "upload": time.monotonic() - begun}, verdict, entries)
        if partial:
            body["partial_outputs"] = partial
        result.write_once(store, f"{attempt.url}result.json", body)
        events.tell("finished", status=body["status"], exit_code=body["exit_code"], error=body["error"])
        if late:
            closing.leave(verdict)
    except ShimError as problem:
        events.tell("failed", error_class=problem.kind, message=str(problem))
        tell({"exit": problem.exit_code})
        return
    tell({"exit": _leave_with(ended, verdict[1])})


def hurried(ended: Mapping[str, Any]) -> Mapping[str, Any]:
    """A stop during the upload of a success interrupts it; a command that had failed by then has failed."""
    if "hurry" in ended and verdict_of(ended)[0] == "succeeded":
        return {**ended, "stopped_by": ended["hurry"]}
    return ended


class _Closing:
    """The uploads of one attempt."""

    def __init__(
        self, store: s3.Store, attempt: spec.Attempt, job: spec.JobSpec | None, ended: Mapping[str, Any]
    ) -> None:
        self._store = store
        self._attempt = attempt
        self._job = job
        self._ended = ended

    def outputs(self, verdict: result.Verdict) -> tuple[result.Verdict, Files | None]:
        """The outputs of a success, uploaded; a failure where one is missing or cannot be."""
        if verdict[0] != "succeeded" or self._job is None:
            return verdict, None
        try:
            found = outputs.collect(self._job.outputs, self._folder(self._job))
            return verdict, outputs.upload(self._store, found, self._job.outputs_url, self._attempt.job_id)
        except ShimError as problem:
            return ("failed", problem), None

    def leave(self, verdict: result.Verdict) -> Files:
        """Logs and, of a command that did not succeed, what is there of its outputs. Never costs the result."""
        if folder := self._ended.get("logs"):
            logs.upload(self._store, folder, self._attempt.url)
        if verdict[0] == "succeeded" or self._job is None or {"runs", "hurry"} & set(self._ended) != {"runs"}:
            return {}  # nothing ran, or there is no time
        try:
            found = outputs.rescue(self._job.outputs, self._folder(self._job))
            return outputs.upload(self._store, found, f"{self._attempt.url}partial/", self._attempt.job_id)
        except ShimError as problem:
            events.tell("partial outputs lost", message=str(problem))
            return {}

    def _folder(self, job: spec.JobSpec) -> str:
        return os.path.join(job.work_root, "output")


def document(
    state: Mapping[str, Any],
    ended: Mapping[str, Any],
    verdict: result.Verdict,
    entries: Files | None,
) -> dict[str, Any]:
    """result.json: schemas/result.schema.json."""
    attempt, job = spec.parse_attempt(state["data"]), _job(state["data"])
    body = result.closed(attempt, state["nonce"], verdict, _exit_code(ended))
    phases = {"download": ended.get("download"), "run": ended.get("seconds"), "upload": ended.get("upload")}
    body["phases"] = {name: round(seconds, 3) for name, seconds in phases.items() if seconds is not None}
    body |= {
        "started_at": state["started_at"],
        "task": state["task"],
        "cgroup": _cgroup(ended),
        "oom_killed": bool(ended.get("oom_killed")),
        "signal": ended.get("signal") or None,
        "runs": result.runs(ended.get("runs", ())),
        "image": dict(state["image"]),
    }
    if usage := ended.get("usage"):
        body["rusage"] = {"user": usage[0], "system": usage[1], "max_rss_kib": usage[2]}
    if job is not None:
        body["image"] |= job.image
        body["inputs"] = result.inputs(job, ended.get("digests", b""))
    return body if entries is None else {**body, "outputs": entries}


def _cgroup(ended: Mapping[str, Any]) -> dict[str, int]:
    before = ended.get("staged_peak")
    return memory.usage() | ({} if before is None else {"memory_peak_before_bytes": before})


def _job(data: bytes) -> spec.JobSpec | None:
    """None where the spec is wrong: that is what the result will say."""
    try:
        return spec.parse(data)
    except ShimError:
        return None


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
