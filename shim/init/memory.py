"""The cgroup's memory: how much, and whether the kernel took a process for want of it.

Job: read /sys/fs/cgroup, version 2 or 1. Input: none. Output: numbers. Must not: fail, or import anything (PID 1 uses it).
"""

from __future__ import annotations

_V1 = "/sys/fs/cgroup/memory/"
_V2 = "/sys/fs/cgroup/"
#: cgroup v1 says "no limit" with a number near 2^63.
_NO_LIMIT = 1 << 60


def usage() -> dict[str, int]:
    """The cgroup's memory_peak_bytes and memory_limit_bytes, of version 2 or 1; what is unknown is left out."""
    peak = _number(_V2 + "memory.peak") or _number(_V1 + "memory.max_usage_in_bytes")
    limit = _number(_V2 + "memory.max") or _number(_V1 + "memory.limit_in_bytes")
    found = {"memory_peak_bytes": peak, "memory_limit_bytes": limit if limit and limit < _NO_LIMIT else None}
    return {name: value for name, value in found.items() if value is not None}


def kills() -> int:
    """How many processes of the cgroup the kernel has killed for want of memory so far."""
    for path in (_V2 + "memory.events", _V1 + "memory.oom_control"):
        for line in _text(path).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
