"""The cgroup's memory: how much, and whether the kernel took a process for want of memory.

Job: read /sys/fs/cgroup, version 2 or 1. Input: none. Output: numbers. Must not: fail, or import anything (PID 1 uses it).
"""

from __future__ import annotations

_ROOT = "/sys/fs/cgroup"
_OWN = "/proc/self/cgroup"
#: cgroup v1 says "no limit" with a number near 2^63.
_NO_LIMIT = 1 << 60


def usage(root: str = _ROOT, own: str = _OWN) -> dict[str, int]:
    """The cgroup's memory_peak_bytes and memory_limit_bytes, of version 2 or 1; what is unknown is left out."""
    new, old = _folders(root, own)
    peak = _number(new + "memory.peak") or _number(old + "memory.max_usage_in_bytes")
    limit = _number(new + "memory.max") or _number(old + "memory.limit_in_bytes")
    found = {"memory_peak_bytes": peak, "memory_limit_bytes": limit if limit and limit < _NO_LIMIT else None}
    return {name: value for name, value in found.items() if value is not None}


def kills(root: str = _ROOT, own: str = _OWN) -> int:
    """How many processes of the cgroup the kernel has killed for want of memory so far."""
    new, old = _folders(root, own)
    for path in (new + "memory.events", old + "memory.oom_control"):
        for line in _text(path).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0


def _folders(root: str, own: str) -> tuple[str, str]:
    """Where this cgroup's files of version 2 and of version 1 are.

    With a cgroup namespace, as containers have, they are at the root. Without one (`--cgroupns=host`) version 2 shows
    the whole tree, and the line `0::/PATH` says where we are; of version 1 the engine mounts our own part.
    """
    for line in _text(own).splitlines():
        if line.startswith("0::/") and _text(f"{root}{line[3:]}/memory.events"):
            return f"{root}{line[3:]}/", f"{root}/memory/"
    return f"{root}/", f"{root}/memory/"


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
