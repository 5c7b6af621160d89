"""What Fargate asks of a task definition, and of the overrides that a run of it gives.

Job: the rules that hold whenever FARGATE is among requiresCompatibilities. Input: bodies as mistakes.py takes them.
Output: (path, what is wrong and what to write instead). Must not: touch the world, or change anything.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from reconciler.canonical import is_leaf, parts
from reconciler.canonical.parts import Problems
from reconciler.model import Ref

_GB: Final = 1024
SIZES: Final[dict[int, range | tuple[int, ...]]] = {
    256: (512, 1024, 2048),
    512: range(1 * _GB, 4 * _GB + 1, _GB),
    1024: range(2 * _GB, 8 * _GB + 1, _GB),
    2048: range(4 * _GB, 16 * _GB + 1, _GB),
    4096: range(8 * _GB, 30 * _GB + 1, _GB),
    8192: range(16 * _GB, 60 * _GB + 1, 4 * _GB),
    16384: range(32 * _GB, 120 * _GB + 1, 8 * _GB),
}
"""CPU units → MiB of memory that Fargate gives."""

_WINDOWS_CPU: Final = (1024, 2048, 4096)
_STORAGE: Final = (21, 200)  # GiB; 20 is what a task has without a word


def task(body: Mapping[str, Any]) -> Problems:
    """What is wrong with the task as a whole."""
    yield from _task(body)
    yield from _size(body)
    yield from _volumes(body)
    yield from _role(body)


def _task(body: Mapping[str, Any]) -> Problems:
    if body.get("networkMode") != "awsvpc" and not is_leaf(body.get("networkMode")):
        yield ("networkMode",), "Fargate knows only awsvpc. Write networkMode: awsvpc"
    if body.get("ipcMode"):
        yield ("ipcMode",), "Fargate has none. Leave it out"
    if body.get("pidMode") not in (None, "task"):
        yield ("pidMode",), "Fargate knows only task. Write pidMode: task, or leave it out"
    for field in ("placementConstraints", "inferenceAccelerators"):
        if body.get(field):
            yield (field,), "Fargate has none. Leave it out"
    yield from parts.within(body.get("ephemeralStorage") or {}, ("ephemeralStorage",), "sizeInGiB", *_STORAGE)


def _size(body: Mapping[str, Any]) -> Problems:
    for field, example in (("cpu", "1 vCPU"), ("memory", "2 GB")):
        if field not in body:
            yield (field,), f"Fargate needs it. Write {field}: {example}"
    cpu, memory = parts.units(body, "cpu"), parts.units(body, "memory")
    if cpu is None:
        return
    family = (body.get("runtimePlatform") or {}).get("operatingSystemFamily")
    windows = str(family).startswith("WINDOWS")
    allowed = _WINDOWS_CPU if windows else tuple(SIZES)
    if cpu not in allowed:
        yield (
            ("cpu",),
            f"{cpu} is not a size of Fargate{' on Windows' if windows else ''}. It has {_words(allowed)}",
        )
    elif memory is not None and memory not in SIZES[cpu]:
        yield ("memory",), f"{memory} MiB does not go with cpu {cpu}. Fargate has {_sizes(SIZES[cpu])}"


def _volumes(body: Mapping[str, Any]) -> Problems:
    for index, volume in parts.items(body, "volumes"):
        if (volume.get("host") or {}).get("sourcePath"):
            yield ("volumes", index, "host", "sourcePath"), "Fargate shows no host's path. Leave it out"
        for field in ("dockerVolumeConfiguration", "fsxWindowsFileServerVolumeConfiguration"):
            if volume.get(field):
                yield ("volumes", index, field), "Fargate has none. Use EFS, or a volume with a name alone"


def container(one: Mapping[str, Any], body: Mapping[str, Any]) -> Problems:
    """What is wrong with one container of the task."""
    for field in ("privileged", "dockerSecurityOptions", "disableNetworking"):
        if one.get(field):
            yield (field,), "Fargate does not allow it. Leave it out"
    for field in ("startTimeout", "stopTimeout"):
        yield from parts.within(one, (), field, 2, 120)
    linux = one.get("linuxParameters") or {}
    for field in ("devices", "tmpfs", "sharedMemorySize", "maxSwap", "swappiness"):
        if linux.get(field):
            yield ("linuxParameters", field), "Fargate does not allow it. Leave it out"
    if extra := sorted(set((linux.get("capabilities") or {}).get("add") or ()) - {"SYS_PTRACE"}):
        what = f"Fargate adds SYS_PTRACE only, not {', '.join(extra)}. Leave it out"
        yield ("linuxParameters", "capabilities", "add"), what
    for index, need in parts.items(one, "resourceRequirements"):
        yield ("resourceRequirements", index), f"Fargate has no {need.get('type')}. Leave it out"
    yield from _logs(one)


def _logs(one: Mapping[str, Any]) -> Problems:
    logs = one.get("logConfiguration") or {}
    driver, options = logs.get("logDriver"), logs.get("options") or {}
    if driver is not None and driver not in ("awslogs", "splunk", "awsfirelens"):
        what = f"Fargate has no {driver}. Write awslogs, splunk or awsfirelens"
        yield ("logConfiguration", "logDriver"), what
    if driver == "awslogs":
        for name in ("awslogs-group", "awslogs-region", "awslogs-stream-prefix"):
            if not options.get(name):
                yield ("logConfiguration", "options"), f"{name} is missing. Fargate needs it with awslogs"


def _role(body: Mapping[str, Any]) -> Problems:
    """Fargate pulls, logs and reads secrets as the execution role: RegisterTaskDefinition refuses to go without."""
    if body.get("executionRoleArn"):
        return
    for _, one in parts.items(body, "containerDefinitions"):
        logs = one.get("logConfiguration") or {}
        reasons = {
            "logDriver: awslogs": logs.get("logDriver") == "awslogs",
            "secrets": one.get("secrets") or logs.get("secretOptions"),
            "repositoryCredentials": one.get("repositoryCredentials"),
            "an image in ECR": _in_ecr(one.get("image")),
        }
        if why := next((reason for reason, needed in reasons.items() if needed), None):
            what = f"on Fargate {one.get('name')} needs it for {why}. Write executionRoleArn: here, or in Settings"
            yield ("executionRoleArn",), what
            return


def _in_ecr(image: Any) -> bool:
    if isinstance(image, Ref):
        return image.address.startswith(("image/", "repository/"))
    return isinstance(image, str) and re.match(r"\d{12}\.dkr\.ecr\.", image) is not None


def overrides(
    definition: Mapping[str, Any], given: Mapping[str, Any], platform_version: Any = None
) -> Problems:
    """What is wrong with the overrides of a run on Fargate, of a canonical task definition."""
    sized = {"cpu": definition.get("cpu"), "memory": definition.get("memory")} | {
        key: value for key, value in given.items() if key in ("cpu", "memory")
    }
    if given.keys() & {"cpu", "memory"}:
        body = {**sized, "runtimePlatform": definition.get("runtimePlatform")}
        yield from _size({key: value for key, value in body.items() if value is not None})
        for field in ("cpu", "memory"):
            parts_of_it = definition.get("containerDefinitions") or {}
            needed = sum(parts.reserved(one, field) for one in parts_of_it.values())
            whole = parts.units(body, field)
            if field in given and whole and needed > whole:
                yield (field,), f"the containers ask for {needed}, more than {whole}. Raise it"
    yield from parts.within(
        given.get("ephemeralStorage") or {}, ("ephemeralStorage",), "sizeInGiB", *_STORAGE
    )
    units = parts.units(sized, "cpu")
    old = re.fullmatch(r"1\.[0-3](\.\d+)?", str(platform_version or ""))
    if old and units is not None and units >= 8192:
        yield ("platformVersion",), f"cpu {units} needs platform version 1.4.0 or later. Write LATEST"


def _words(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _sizes(allowed: range | tuple[int, ...]) -> str:
    if isinstance(allowed, tuple):
        return _words(allowed)
    return f"{allowed[0]} to {allowed[-1]} in steps of {allowed.step}"
