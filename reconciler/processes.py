"""What the operating system knows of processes and ports, on Linux and macOS.

Job: find who holds a port, what a process runs, and stop it. Input: numbers, addresses. Output: text, bool.
Must not: know what the processes are for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path


def command(pid: int) -> str:
    """The command line of a process, "" where there is none."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            return ""
    done = subprocess.run(
        ["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def holder(port: int) -> str:
    """The process that listens on `port`, as Linux's /proc shows it."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for row in Path(table).read_text("ascii").splitlines()[1:]:
                columns = row.split()
                if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{columns[9]}]")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(link.readlink()) in sockets:
                pid = int(link.parts[2])
                return f"{command(pid).split(' ')[0] or 'a process'} (process {pid})"
    return "another program"


def has_address(address: str) -> bool:
    """Whether this machine has the address: not where the engine runs in a virtual machine or elsewhere."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def stop(pid: int, patience: float) -> None:
    """Ask a process to stop, and force it after `patience` seconds; no error where there is none."""
    end = time.monotonic() + patience
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < end:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # where this very process started it
            if not command(pid):
                return
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
