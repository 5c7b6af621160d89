"""Processes and ports, seen on this machine."""

from __future__ import annotations

import os
import subprocess
import sys

from reconciler import processes


def test_a_command_line_is_that_of_the_process_and_empty_without_one() -> None:
    assert "python" in processes.command(os.getpid())
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert processes.command(ended.pid) == ""


def test_a_process_that_does_not_heed_is_forced() -> None:
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        processes.stop(deaf.pid, 0.1)
        assert deaf.wait() == -9
    processes.stop(deaf.pid, 0.1)  # there is none any more: no error
