"""A command in its task: when it runs again, and what a stuck reader of our stdout cannot hold up."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from shim.init import copying, memory, runs

ROOT = Path(__file__).parents[3]
ENDED = {"exit_code": 75, "timed_out": False, "failure": 0}
RESTART = {"exit_codes": (75, 137), "attempts": 4, "backoff": 10}


@pytest.mark.parametrize(
    ("restart", "done", "delay"),
    [
        (None, [ENDED], None),
        (RESTART, [ENDED], 10),
        (RESTART, [ENDED] * 2, 20),
        (RESTART, [ENDED] * 3, 40),
        (RESTART, [ENDED] * 4, None),
        (RESTART, [{**ENDED, "exit_code": 0}], None),
        (RESTART, [{**ENDED, "exit_code": 1}], None),
        (RESTART, [{**ENDED, "exit_code": 137}], 10),
        (RESTART, [{**ENDED, "timed_out": True}], None),
        (RESTART, [{**ENDED, "failure": 2}], None),
        ({**RESTART, "attempts": 99}, [ENDED] * 50, 3600),
    ],
)
def test_a_command_runs_again_only_after_its_exit_codes(
    restart: Any, done: list[dict[str, Any]], delay: float | None
) -> None:
    assert runs.again(restart, done) == delay


def test_a_copy_never_waits_for_its_reader_and_loses_nothing_of_the_file(tmp_path: Path) -> None:
    read, write = os.pipe()
    with (tmp_path / "log").open("wb") as log:
        copy = copying.Copy(log.fileno(), write)
        begun = time.monotonic()
        for _ in range(10):
            copy.take(b"x" * 65536)
        assert time.monotonic() - begun < 5
        assert copy.waiting
    assert (tmp_path / "log").stat().st_size == 655360
    passed = b""
    while copy.waiting:
        passed += os.read(read, 65536)
        copy.pass_on()
    os.close(write)
    while data := os.read(read, 65536):
        passed += data
    os.close(read)
    assert passed == b"x" * 655360


def test_a_copy_whose_reader_left_goes_on_with_the_file(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with (tmp_path / "log").open("wb") as log:
        copy = copying.Copy(log.fileno(), write)
        copy.take(b"one")
        copy.take(b"two")
    os.close(write)
    assert (tmp_path / "log").read_bytes() == b"onetwo"
    assert not copy.waiting


PROGRAM = """
import os, sys
from shim.init import runs, supervise
order = {"argv": ["/bin/sh", "-c", sys.argv[2]], "environ": dict(os.environ), "logs": sys.argv[1], "url": "", "region": "",
         "timeout": 0.5, "grace": 0.5, "restart": None, "download": 0.0, "digests": b""}
told = runs.command(supervise.Supervisor(), order, {})
os.write(2, repr((told["exit_code"], told["timed_out"])).encode())
"""


def test_a_stuck_stdout_holds_up_neither_the_timeout_nor_the_kill(tmp_path: Path) -> None:
    script = "trap '' TERM; while :; do echo a line; done"
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), script]
    read, write = os.pipe()
    begun = time.monotonic()
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, cwd=ROOT, check=True, timeout=20)
    for end in (read, write):
        os.close(end)
    assert time.monotonic() - begun < 10
    assert done.stderr.endswith(b"(137, True)")
    assert (tmp_path / "stdout.log").stat().st_size > 65536


def test_memory_is_read_of_version_2_with_and_without_a_namespace_and_of_version_1(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for folder, line in ((tmp_path / "a", "0::/\n"), (tmp_path / "b/kube/x", "0::/kube/x\n")):
        folder.mkdir(parents=True)
        (folder / "memory.peak").write_text("4096\n")
        (folder / "memory.max").write_text("8192\n")
        (folder / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
        own.write_text(line)
        root = str(tmp_path / folder.relative_to(tmp_path).parts[0])
        assert memory.usage(root, str(own)) == {"memory_peak_bytes": 4096, "memory_limit_bytes": 8192}
        assert memory.kills(root, str(own)) == 2
    old = tmp_path / "c/memory"
    old.mkdir(parents=True)
    (old / "memory.max_usage_in_bytes").write_text("4096\n")
    (old / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (old / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert memory.usage(str(tmp_path / "c"), "/nope") == {"memory_peak_bytes": 4096}
    assert memory.kills(str(tmp_path / "c"), "/nope") == 1
