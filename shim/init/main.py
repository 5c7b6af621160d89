"""The command line of bunny-init.

Job: read `--entrypoint-args=N -- ENTRYPOINT… COMMAND…` and decide: supervise alone, or run a job.
Input: arguments, environment. Output: an exit code. Must not: import what only a job needs.
"""

from __future__ import annotations

import os

from shim.init import errors, supervise

_USAGE = "usage: bunny-init --entrypoint-args=N -- <N words of the image's entrypoint> <command…>"


def main(arguments: list[str]) -> int:
    """The exit code for the container: the user's, 128+n after a signal, or one of errors.EXIT_CODES."""
    try:
        words, rest = _parse(arguments)
    except ValueError as error:
        os.write(2, f"bunny-init: {error}\n{_USAGE}\n".encode())
        return errors.USAGE
    _forget_coercion()
    jobspec = os.environ.pop("JOBSPEC", "")
    if jobspec:
        from shim.init import job

        return job.run(jobspec, rest[:words])
    if not rest:
        os.write(2, f"bunny-init: there is no command to run\n{_USAGE}\n".encode())
        return errors.USAGE
    return _only_supervise(rest)


def _parse(arguments: list[str]) -> tuple[int, list[str]]:
    if len(arguments) < 2 or not arguments[0].startswith("--entrypoint-args=") or arguments[1] != "--":
        raise ValueError("the first arguments must be --entrypoint-args=N and --")
    number = arguments[0].partition("=")[2]
    rest = arguments[2:]
    if not (number.isascii() and number.isdigit()) or int(number) > len(rest):
        raise ValueError(f"--entrypoint-args={number} does not fit the {len(rest)} words after --")
    return int(number), rest


def _only_supervise(argv: list[str]) -> int:
    supervisor = supervise.Supervisor()
    child = supervisor.spawn(argv, dict(os.environ))
    if child.failure:
        os.write(2, f"bunny-init: cannot run {argv[0]}: {os.strerror(child.failure)}\n".encode())
    return supervisor.wait(child).exit_code


def _forget_coercion() -> None:
    """Takes LC_CTYPE out of the environment where python itself put it there (PEP 538) and the image did not."""
    if os.environ.get("LC_CTYPE") != "C.UTF-8":
        return
    try:
        with open("/proc/self/environ", "rb") as file:
            given = file.read().split(b"\0")
    except OSError:
        given = []
    if b"LC_CTYPE=C.UTF-8" not in given:
        del os.environ["LC_CTYPE"]
