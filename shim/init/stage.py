"""Before the command: takes the fence, makes the folders, fetches the inputs, fills in the command.

Job: all of it in a child process that ends before the command starts. Input: the address in JOBSPEC.
Output: messages to PID 1: `state` once the fence is ours, then `run` with what to execute, or `exit` with a code.
Must not: start the command, or write anything but started.json and, where it fails, result.json.
"""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections.abc import Callable, Mapping
from typing import Any

from shim.init import download, events, inputs, machine, outputs, placeholders, result, s3, spec
from shim.init.errors import ShimError

#: execve refuses a single variable of 128 KiB or more (MAX_ARG_STRLEN).
_LONGEST_VARIABLE = 120_000

Tell = Callable[[Any], None]


def prepare(url: str, entrypoint: list[str], environ: Mapping[str, str], tell: Tell) -> None:
    """Tells `{"exit": code}` where there is nothing to run."""
    task = machine.task(environ)
    try:
        store = s3.Store(environ, _region(environ, task))
        data = store.read(url)
        if data is None:
            raise ShimError("spec", f"{url} is not there.")
        attempt = spec.parse_attempt(data)
        nonce, at = os.urandom(16).hex(), result.now()
        fence = result.started(attempt, nonce, task, at)
        result.write_once(store, f"{attempt.url}started.json", fence)
    except ShimError as error:
        events.tell("failed", error_class=error.kind, message=str(error))
        tell({"exit": error.exit_code})
        return
    events.tell("started", address=attempt.address, job_id=attempt.job_id, attempt=attempt.attempt)
    image = machine.image(environ)
    tell({"state": {"data": data, "nonce": nonce, "started_at": at, "task": task, "image": image}})
    try:
        tell({"run": _ready(data, entrypoint, environ, store)})
    except (ShimError, OSError) as error:
        problem = error if isinstance(error, ShimError) else _system(error)
        tell({"error": [problem.kind, str(problem)]})


def _system(error: OSError) -> ShimError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return ShimError("disk" if full else "infrastructure", f"preparing failed: {error}.")


def _region(environ: Mapping[str, str], task: Mapping[str, str]) -> str:
    given = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    parts = task.get("arn", "").split(":")  # arn:aws:ecs:REGION:ACCOUNT:task/…
    return given or (parts[3] if len(parts) > 3 and parts[3] else "us-east-1")


def _ready(data: bytes, entrypoint: list[str], environ: Mapping[str, str], store: s3.Store) -> dict[str, Any]:
    job = spec.parse(data)
    root = {name: os.path.join(job.work_root, name) for name in ("input", "output", "scratch")}
    for folder in root.values():
        _make(folder)
    targets = inputs.targets(job, root["input"])
    values = placeholders.values(job)
    argv = _words(job, entrypoint, values)  # before the download: a wrong placeholder fails in a second
    begun = time.monotonic()
    inputs.check_space(targets, root["input"])
    digests = download.download(store, targets)
    outputs.make_folders(job.outputs, root["output"])
    seconds = time.monotonic() - begun
    events.tell(
        "downloaded", files=len(targets), bytes=sum(t.item.size for t in targets), seconds=round(seconds, 3)
    )
    return {
        "argv": argv,
        "environ": _environment(job, environ, values),
        "logs": os.path.join(root["scratch"], ".bunnies"),
        "timeout": job.timeout,
        # ECS kills stop_timeout seconds after its SIGTERM: a third of it, at most 10 s, is for the result and the logs.
        "grace": job.stop_timeout - min(10.0, job.stop_timeout / 3),
        "restart": None if job.restart is None else job.restart._asdict(),
        "url": job.attempt.url,
        "region": job.region,
        "download": seconds,
        "digests": digests,
    }


def _make(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise ShimError(
            "infrastructure",
            f"{folder} cannot be written as user {os.getuid()}: {error.strerror}. With readonlyRootFilesystem mount a"
            " volume there; with a workRoot of your own make the folder in the image.",
        ) from error


def _words(job: spec.JobSpec, entrypoint: list[str], values: placeholders.Values) -> list[str]:
    own = os.path.join(values.scratch, ".bunnies")
    os.makedirs(own, exist_ok=True)
    if job.script is None:
        filled = placeholders.fill_command(job.command or (), values)
        words = [*(entrypoint if job.entrypoint is None else job.entrypoint), *filled.words]
    else:
        filled = placeholders.fill_script(job.script, values)
        path = os.path.join(own, "script")
        words = [*_interpreter(filled.words[0]), path]
        _write(path, filled.words[0])
    for path, content in filled.files.items():
        _write(path, content)
    if not words:
        raise ShimError("spec", "there is no command to run: neither the job nor the image names one.")
    return words


def _interpreter(script: str) -> list[str]:
    """The words before the script's path. Not left to the kernel: scratch may be mounted noexec."""
    first = script.split("\n", 1)[0]
    if not first.startswith("#!"):
        return ["/bin/sh"]
    words = first[2:].strip().split(None, 1)
    if not words:
        raise ShimError("spec", "the script's #! line names no interpreter.")
    if words[0].endswith("/env") and len(words) == 2 and words[1].startswith("-S"):
        return [words[0], *shlex.split(words[1][2:])]
    return words


def _write(path: str, content: str) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(content)
    os.chmod(path, 0o700 if path.endswith("/script") else 0o600)


def _environment(
    job: spec.JobSpec, environ: Mapping[str, str], values: placeholders.Values
) -> dict[str, str]:
    """The container's, the job's, and the paths: a list's paths one a line, left out where the kernel would refuse it."""
    paths = {}
    for key, value in values.values.items():
        kind, _, name = key.partition(".")
        text = value if isinstance(value, str) else "\n".join(value)
        if name and kind != "task" and len(text.encode()) < _LONGEST_VARIABLE:
            paths[f"BUNNIES_{kind.upper()}_{name}"] = text
    return {**environ, **job.environment, **paths}
