"""bunny-init under this machine's python: a subprocess, since it owns the signals of its process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
START = "import sys; from shim.init import main; sys.exit(main.main(sys.argv[1:]))"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", START, *arguments]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, cwd=PROJECT, env=given
    )


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 9"], 9),
        (["sh", "-c", "kill -USR1 $$"], 128 + signal.SIGUSR1),
        (["/nope"], 127),
        (["/"], 126),
    ],
)
def test_the_code_is_the_command_s(argv: list[str], code: int) -> None:
    assert run("--entrypoint-args=0", "--", *argv).returncode == code


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--"],
        ["--entrypoint-args=1", "x"],
        ["--entrypoint-args=x", "--", "a"],
        ["--entrypoint-args=2", "--", "a"],
    ],
)
def test_wrong_arguments_end_with_the_usage(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 64
    assert "usage: bunny-init --entrypoint-args=N" in done.stderr


def test_nothing_to_run_is_an_error() -> None:
    assert run("--entrypoint-args=0", "--").returncode == 64


def test_without_a_job_nothing_heavy_is_imported() -> None:
    code = "from shim.init import main; import sys; print(sorted(set(sys.modules) & set(sys.argv[1:])))"
    heavy = [
        "json",
        "dataclasses",
        "typing",
        "re",
        "ssl",
        "socket",
        "obstore",
        "pathlib",
        "contextlib",
        "subprocess",
    ]
    done = subprocess.run(
        [sys.executable, "-IS", "-c", f"import sys; sys.path.insert(0, {str(PROJECT)!r}); {code}", *heavy],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_a_stop_reaches_the_command_and_waits_for_it() -> None:
    process = subprocess.Popen(
        command(
            "--entrypoint-args=0",
            "--",
            "sh",
            "-c",
            "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done",
        ),
        stdout=subprocess.PIPE,
        cwd=PROJECT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.terminate()
    assert process.wait(timeout=10) == 5
    process.stdout.close()


def test_waiting_costs_no_processor_time() -> None:
    process = subprocess.Popen(command("--entrypoint-args=0", "--", "sleep", "30"), cwd=PROJECT)
    time.sleep(0.7)
    stat = Path(f"/proc/{process.pid}/stat")
    before = stat.read_text().rpartition(")")[2].split()[11:13]
    time.sleep(0.5)
    after = stat.read_text().rpartition(")")[2].split()[11:13]
    process.terminate()
    assert process.wait(timeout=10) == 128 + signal.SIGTERM
    assert after == before


def test_standard_input_reaches_the_command() -> None:
    done = subprocess.run(
        command("--entrypoint-args=0", "--", "cat"),
        input=b"through",
        capture_output=True,
        check=True,
        cwd=PROJECT,
    )
    assert done.stdout == b"through"
