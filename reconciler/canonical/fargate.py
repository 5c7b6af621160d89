"""What ECS would refuse of a task definition, found without asking it.

Job: check one TaskDefinition's body as it is written, so that a mistake can be pointed at. Input: the body, camelCase,
of the schema's shape, Refs in it. Output: (path in the body, what is wrong and what to write instead). Must not: touch
the world, or change anything.

Limits: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html and
fargate-tasks-services.html. The rules of Fargate hold whenever FARGATE is among requiresCompatibilities.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from reconciler.canonical import ecs, is_leaf
from reconciler.model import Ref

Path = tuple[str | int, ...]
Problems = Iterator[tuple[Path, str]]

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
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_HEALTH: Final = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}


def problems(family: str, body: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Every mistake in a task definition, in the order of its parts; none where the list is empty."""
    on_fargate = "FARGATE" in (body.get("requiresCompatibilities") or ())
    found = [*_task(family, body), *_volumes(body), *_order(body)]
    for index, container in _items(body, "containerDefinitions"):
        checks: list[Callable[..., Problems]] = [
            _environment,
            _health,
            _places,
            _ports,
            _limits,
            _entry_point,
        ]
        checks += [_fargate_container] if on_fargate else []
        for check in checks:
            found += [(("containerDefinitions", index, *path), what) for path, what in check(container, body)]
    if on_fargate:
        found += [*_fargate_task(body), *_fargate_size(body), *_fargate_volumes(body)]
    return found


def _task(family: str, body: Mapping[str, Any]) -> Problems:
    if not _NAME.fullmatch(family):
        yield ("name",), "a family's name has 1 to 255 of A-Z a-z 0-9 _ and -"
    containers = list(_items(body, "containerDefinitions"))
    if not 1 <= len(containers) <= 10:
        yield (
            ("containerDefinitions",),
            f"there are {len(containers)} containers. A task definition has 1 to 10",
        )
    for index, one in containers:
        name = one.get("name")
        if isinstance(name, str) and not _NAME.fullmatch(name):
            yield ("containerDefinitions", index, "name"), "a name has 1 to 255 of A-Z a-z 0-9 _ and -"
    yield from _twice(body, "containerDefinitions", "name", "container")
    if containers and all(one.get("essential") is False for _, one in containers):
        yield (
            ("containerDefinitions",),
            "no container is essential. Leave out essential: false of one at least",
        )
    for field, kind in (("cpu", "vcpu"), ("memory", "gb")):
        if field in body and not is_leaf(body[field]) and _units(body, field) is None:
            words = {"cpu": '"1024" or "1 vCPU"', "memory": '"2048" or "2 GB"'}
            yield (field,), f"{body[field]!r} is not an amount of {kind}. Write {words[field]}"
    for field in ("cpu", "memory"):
        whole, parts = _units(body, field), [_reserved(one, field) for _, one in containers]
        if whole and sum(parts) > whole:
            yield (field,), f"the containers ask for {sum(parts)}, more than the task's {whole}. Raise it"


def _order(body: Mapping[str, Any]) -> Problems:
    """dependsOn and volumesFrom name other containers, and nobody waits for itself."""
    containers = {one.get("name"): one for _, one in _items(body, "containerDefinitions")}
    graph: dict[str, set[str]] = {str(name): set() for name in containers}
    for index, container in _items(body, "containerDefinitions"):
        at = ("containerDefinitions", index)
        for place, waits in _items(container, "dependsOn"):
            other = waits.get("containerName")
            if other not in containers:
                yield (*at, "dependsOn", place, "containerName"), _unknown("container", other, containers)
                continue
            graph[str(container.get("name"))].add(str(other))
            if waits.get("condition") == "HEALTHY" and not containers[other].get("healthCheck"):
                what = f"{other} has no healthCheck, so it is never HEALTHY. Give it one, or wait for START"
                yield (*at, "dependsOn", place, "condition"), what
            if waits.get("condition") in ("COMPLETE", "SUCCESS") and containers[other].get("essential", True):
                what = f"{other} is essential, so the task ends with it. Write essential: false there"
                yield (*at, "dependsOn", place, "condition"), what
        for place, source in _items(container, "volumesFrom"):
            if source.get("sourceContainer") not in containers:
                what = _unknown("container", source.get("sourceContainer"), containers)
                yield (*at, "volumesFrom", place, "sourceContainer"), what
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield ("containerDefinitions",), f"these wait for each other in a circle: {' → '.join(error.args[1])}"


def _volumes(body: Mapping[str, Any]) -> Problems:
    yield from _twice(body, "volumes", "name", "volume")
    for index, volume in _items(body, "volumes"):
        kinds = [key for key in volume if key.endswith("Configuration") and volume[key]]
        kinds += ["host"] if volume.get("host") else []
        if len(kinds) > 1:
            yield ("volumes", index), f"a volume is of one sort, not {' and '.join(sorted(kinds))}. Keep one"
        efs = volume.get("efsVolumeConfiguration") or {}
        allowed = efs.get("authorizationConfig") or {}
        at = ("volumes", index, "efsVolumeConfiguration")
        guarded = allowed.get("accessPointId") or allowed.get("iam") == "ENABLED"
        if guarded and efs.get("transitEncryption") != "ENABLED":
            yield at, "an access point or IAM needs transitEncryption: ENABLED"
        if allowed.get("accessPointId") and efs.get("rootDirectory") not in (None, "", "/"):
            yield (*at, "rootDirectory"), "with an access point it is left out, or /"


def _environment(container: Mapping[str, Any], body: Mapping[str, Any]) -> Problems:
    yield from _twice(container, "environment", "name", "variable")
    yield from _twice(container, "secrets", "name", "secret")
    plain = {entry.get("name") for _, entry in _items(container, "environment")}
    for index, entry in _items(container, "environment"):
        if isinstance(entry.get("value"), bool | float):
            what = f"{entry['value']!r} is not text: a variable's value is. Write it in quotes"
            yield ("environment", index, "value"), what
    for index, entry in _items(container, "secrets"):
        if entry.get("name") in plain:
            yield ("secrets", index, "name"), f"{entry.get('name')} is in environment too. Keep one of them"
    files = container.get("environmentFiles") or ()
    if len(files) > 10:
        yield ("environmentFiles",), f"there are {len(files)} files. ECS reads at most 10"
    for index, entry in _items(container, "environmentFiles"):
        value = entry.get("value")
        if isinstance(value, str) and not re.fullmatch(r"arn:aws[a-z-]*:s3:::.+\.env", value):
            what = f"{value} is not an object in S3 named *.env. Write arn:aws:s3:::BUCKET/PATH.env"
            yield ("environmentFiles", index, "value"), what


def _health(container: Mapping[str, Any], body: Mapping[str, Any]) -> Problems:
    check = container.get("healthCheck") or {}
    command = check.get("command") or []
    if check and (not command or command[0] not in ("CMD", "CMD-SHELL")):
        yield ("healthCheck", "command"), 'it begins with CMD or CMD-SHELL. Write ["CMD-SHELL", "…"]'
    for field, (least, most) in _HEALTH.items():
        yield from _within(check, ("healthCheck",), field, least, most)


def _places(container: Mapping[str, Any], body: Mapping[str, Any]) -> Problems:
    volumes = {volume.get("name") for _, volume in _items(body, "volumes")}
    for index, mount in _items(container, "mountPoints"):
        if mount.get("sourceVolume") is not None and mount["sourceVolume"] not in volumes:
            what = _unknown("volume", mount["sourceVolume"], volumes)
            yield ("mountPoints", index, "sourceVolume"), what
    yield from _twice(container, "mountPoints", "containerPath", "path")


def _ports(container: Mapping[str, Any], body: Mapping[str, Any]) -> Problems:
    seen = set()
    for index, port in _items(container, "portMappings"):
        key = (port.get("containerPort", port.get("containerPortRange")), port.get("protocol", "tcp"))
        if key in seen:
            yield ("portMappings", index), f"port {key[0]}/{key[1]} is mapped twice. Keep one"
        seen.add(key)
        host = port.get("hostPort")
        if body.get("networkMode") in ("awsvpc", "host") and host not in (None, 0, port.get("containerPort")):
            what = f"with networkMode {body['networkMode']} it is the containerPort. Leave it out"
            yield ("portMappings", index, "hostPort"), what


def _limits(container: Mapping[str, Any], body: Mapping[str, Any]) -> Problems:
    hard, soft = container.get("memory"), container.get("memoryReservation")
    if isinstance(hard, int) and isinstance(soft, int) and soft > hard:
        yield ("memoryReservation",), f"{soft} is more than memory, {hard}. Lower it"
    if hard is None and soft is None and "memory" not in body:
        yield (), "nothing says how much memory it gets. Write memory here, or for the task"
    policy = container.get("restartPolicy") or {}
    yield from _within(policy, ("restartPolicy",), "restartAttemptPeriod", 60, 1800)
    if len(policy.get("ignoredExitCodes") or ()) > 50:
        yield ("restartPolicy", "ignoredExitCodes"), "at most 50 exit codes"


def _entry_point(container: Mapping[str, Any], body: Mapping[str, Any]) -> Problems:
    image = container.get("image")
    if container.get("entryPoint") and isinstance(image, Ref) and image.address.startswith("image/"):
        what = (
            f"it would replace bunny-init, which {image.address} begins with. Leave it out: the image's own "
            "entrypoint is kept; to run another one write entrypoint in the Job"
        )
        yield ("entryPoint",), what


def _fargate_task(body: Mapping[str, Any]) -> Problems:
    if body.get("networkMode") != "awsvpc" and not is_leaf(body.get("networkMode")):
        yield ("networkMode",), "Fargate knows only awsvpc. Write networkMode: awsvpc"
    if body.get("ipcMode"):
        yield ("ipcMode",), "Fargate has none. Leave it out"
    if body.get("pidMode") not in (None, "task"):
        yield ("pidMode",), "Fargate knows only task. Write pidMode: task, or leave it out"
    for field in ("placementConstraints", "inferenceAccelerators"):
        if body.get(field):
            yield (field,), "Fargate has none. Leave it out"
    yield from _within(body.get("ephemeralStorage") or {}, ("ephemeralStorage",), "sizeInGiB", 21, 200)


def _fargate_size(body: Mapping[str, Any]) -> Problems:
    for field, example in (("cpu", "1 vCPU"), ("memory", "2 GB")):
        if field not in body:
            yield (field,), f"Fargate needs it. Write {field}: {example}"
    cpu, memory = _units(body, "cpu"), _units(body, "memory")
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


def _fargate_volumes(body: Mapping[str, Any]) -> Problems:
    for index, volume in _items(body, "volumes"):
        if (volume.get("host") or {}).get("sourcePath"):
            yield ("volumes", index, "host", "sourcePath"), "Fargate shows no host's path. Leave it out"
        for field in ("dockerVolumeConfiguration", "fsxWindowsFileServerVolumeConfiguration"):
            if volume.get(field):
                yield ("volumes", index, field), "Fargate has none. Use EFS, or a volume with a name alone"


def _fargate_container(container: Mapping[str, Any], body: Mapping[str, Any]) -> Problems:
    for field in ("privileged", "links", "dockerSecurityOptions", "extraHosts", "disableNetworking"):
        if container.get(field):
            yield (field,), "Fargate does not allow it. Leave it out"
    for field in ("startTimeout", "stopTimeout"):
        yield from _within(container, (), field, 2, 120)
    linux = container.get("linuxParameters") or {}
    for field in ("devices", "sharedMemorySize", "maxSwap", "swappiness"):
        if linux.get(field):
            yield ("linuxParameters", field), "Fargate does not allow it. Leave it out"
    if extra := sorted(set((linux.get("capabilities") or {}).get("add") or ()) - {"SYS_PTRACE"}):
        what = f"Fargate adds SYS_PTRACE only, not {', '.join(extra)}. Leave it out"
        yield ("linuxParameters", "capabilities", "add"), what
    logs = container.get("logConfiguration") or {}
    driver, options = logs.get("logDriver"), logs.get("options") or {}
    if driver is not None and driver not in ("awslogs", "splunk", "awsfirelens"):
        what = f"Fargate has no {driver}. Write awslogs, splunk or awsfirelens"
        yield ("logConfiguration", "logDriver"), what
    if driver == "awslogs":
        for name in ("awslogs-group", "awslogs-region", "awslogs-stream-prefix"):
            if not options.get(name):
                yield ("logConfiguration", "options"), f"{name} is missing. Fargate needs it with awslogs"


def _items(holder: Mapping[str, Any], field: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The structures in a list, with their places; whatever else is there is the schema's business."""
    for index, item in enumerate(holder.get(field) or ()):
        if isinstance(item, Mapping):
            yield index, item


def _twice(holder: Mapping[str, Any], field: str, key: str, what: str) -> Problems:
    seen = set()
    for index, item in _items(holder, field):
        name = item.get(key)
        if name is not None and name in seen:
            yield (field, index, key), f"there is another {what} {name}. Give it another {key}"
        seen.add(name)


def _within(holder: Mapping[str, Any], at: Path, field: str, least: int, most: int) -> Problems:
    value = holder.get(field)
    if isinstance(value, int) and not least <= value <= most:
        yield (*at, field), f"{value} is out of range. Write {least} to {most}"


def _units(body: Mapping[str, Any], field: str) -> int | None:
    amount = ecs.size(body.get(field), "vcpu" if field == "cpu" else "gb")
    return int(amount) if isinstance(amount, str) and amount.isdecimal() else None


def _reserved(container: Mapping[str, Any], field: str) -> int:
    """What a container takes of the task's: its reservation, else its limit."""
    amount = container.get("memoryReservation") if field == "memory" else None
    amount = amount or container.get(field) or 0
    return amount if isinstance(amount, int) else 0


def _unknown(what: str, name: Any, known: Any) -> str:
    names = ", ".join(sorted(map(str, known))) or "none"
    return f"there is no {what} {name} in this task definition. It has {names}"


def _words(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _sizes(allowed: range | tuple[int, ...]) -> str:
    if isinstance(allowed, tuple):
        return _words(allowed)
    return f"{allowed[0]} to {allowed[-1]} in steps of {allowed.step}"
