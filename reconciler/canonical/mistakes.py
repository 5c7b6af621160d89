"""What ECS would refuse of a task definition, found without asking it.

Job: check one TaskDefinition's body as it is written, so that a mistake can be pointed at. Input: the body, camelCase,
of the schema's shape, Refs in it. Output: (path in the body, what is wrong and what to write instead). Must not: touch
the world, or change anything. What holds on Fargate alone is in fargate.py.

Limits: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.canonical import fargate, is_leaf, parts
from reconciler.canonical.parts import Path, Problems
from reconciler.model import Ref

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_HEALTH: Final = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}
_NOT_AWSVPC: Final = ("links", "hostname", "dnsServers", "dnsSearchDomains", "extraHosts")
"""Fields of a container that a network interface of the task's own does not go with."""


def problems(family: str, body: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Every mistake in a task definition, in the order of its parts; none where the list is empty."""
    on_fargate = "FARGATE" in (body.get("requiresCompatibilities") or ())
    found = [*_task(family, body), *_volumes(body), *_order(body), *_routers(body)]
    for index, container in parts.items(body, "containerDefinitions"):
        checks: list[Callable[..., Problems]] = [
            _environment,
            _health,
            _places,
            _ports,
            _limits,
            _entry_point,
            _network,
        ]
        checks += [fargate.container] if on_fargate else []
        for check in checks:
            found += [(("containerDefinitions", index, *path), what) for path, what in check(container, body)]
    if on_fargate:
        found += fargate.task(body)
    return found


def _task(family: str, body: Mapping[str, Any]) -> Problems:
    if not _NAME.fullmatch(family):
        yield ("name",), "a family's name has 1 to 255 of A-Z a-z 0-9 _ and -"
    containers = list(parts.items(body, "containerDefinitions"))
    if not 1 <= len(containers) <= 10:
        yield (
            ("containerDefinitions",),
            f"there are {len(containers)} containers. A task definition has 1 to 10",
        )
    for index, one in containers:
        name = one.get("name")
        if isinstance(name, str) and not _NAME.fullmatch(name):
            yield ("containerDefinitions", index, "name"), "a name has 1 to 255 of A-Z a-z 0-9 _ and -"
    yield from parts.twice(body, "containerDefinitions", "name", "container")
    if containers and all(one.get("essential") is False for _, one in containers):
        yield (
            ("containerDefinitions",),
            "no container is essential. Leave out essential: false of one at least",
        )
    for field, kind in (("cpu", "vcpu"), ("memory", "gb")):
        if field in body and not is_leaf(body[field]) and parts.units(body, field) is None:
            words = {"cpu": '"1024" or "1 vCPU"', "memory": '"2048" or "2 GB"'}
            yield (field,), f"{body[field]!r} is not an amount of {kind}. Write {words[field]}"
    for field in ("cpu", "memory"):
        whole, shares = parts.units(body, field), [parts.reserved(one, field) for _, one in containers]
        if whole and sum(shares) > whole:
            yield (field,), f"the containers ask for {sum(shares)}, more than the task's {whole}. Raise it"


def _order(body: Mapping[str, Any]) -> Problems:
    """dependsOn and volumesFrom name other containers, and nobody waits for itself."""
    containers = {one.get("name"): one for _, one in parts.items(body, "containerDefinitions")}
    graph: dict[str, set[str]] = {str(name): set() for name in containers}
    for index, container in parts.items(body, "containerDefinitions"):
        at = ("containerDefinitions", index)
        for place, waits in parts.items(container, "dependsOn"):
            other = waits.get("containerName")
            if other not in containers:
                yield (
                    (*at, "dependsOn", place, "containerName"),
                    parts.unknown("container", other, containers),
                )
                continue
            graph[str(container.get("name"))].add(str(other))
            if waits.get("condition") == "HEALTHY" and not containers[other].get("healthCheck"):
                what = f"{other} has no healthCheck, so it is never HEALTHY. Give it one, or wait for START"
                yield (*at, "dependsOn", place, "condition"), what
            if waits.get("condition") in ("COMPLETE", "SUCCESS") and containers[other].get("essential", True):
                what = f"{other} is essential, so the task ends with it. Write essential: false there"
                yield (*at, "dependsOn", place, "condition"), what
        for place, source in parts.items(container, "volumesFrom"):
            if source.get("sourceContainer") not in containers:
                what = parts.unknown("container", source.get("sourceContainer"), containers)
                yield (*at, "volumesFrom", place, "sourceContainer"), what
        for place, link in enumerate(container.get("links") or ()):
            if isinstance(link, str) and link.partition(":")[0] not in containers:
                yield (*at, "links", place), parts.unknown("container", link.partition(":")[0], containers)
    proxy = (body.get("proxyConfiguration") or {}).get("containerName")
    if proxy is not None and proxy not in containers:
        yield ("proxyConfiguration", "containerName"), parts.unknown("container", proxy, containers)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield ("containerDefinitions",), f"these wait for each other in a circle: {' → '.join(error.args[1])}"


def _volumes(body: Mapping[str, Any]) -> Problems:
    yield from parts.twice(body, "volumes", "name", "volume")
    for index, volume in parts.items(body, "volumes"):
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
    yield from parts.twice(container, "environment", "name", "variable")
    yield from parts.twice(container, "secrets", "name", "secret")
    plain = {entry.get("name") for _, entry in parts.items(container, "environment")}
    for index, entry in parts.items(container, "environment"):
        if isinstance(entry.get("value"), bool | float):
            what = f"{entry['value']!r} is not text: a variable's value is. Write it in quotes"
            yield ("environment", index, "value"), what
    for index, entry in parts.items(container, "secrets"):
        if entry.get("name") in plain:
            yield ("secrets", index, "name"), f"{entry.get('name')} is in environment too. Keep one of them"
    files = container.get("environmentFiles") or ()
    if len(files) > 10:
        yield ("environmentFiles",), f"there are {len(files)} files. ECS reads at most 10"
    for index, entry in parts.items(container, "environmentFiles"):
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
        yield from parts.within(check, ("healthCheck",), field, least, most)


def _places(container: Mapping[str, Any], body: Mapping[str, Any]) -> Problems:
    volumes = {volume.get("name") for _, volume in parts.items(body, "volumes")}
    for index, mount in parts.items(container, "mountPoints"):
        if mount.get("sourceVolume") is not None and mount["sourceVolume"] not in volumes:
            what = parts.unknown("volume", mount["sourceVolume"], volumes)
            yield ("mountPoints", index, "sourceVolume"), what
    yield from parts.twice(container, "mountPoints", "containerPath", "path")


def _ports(container: Mapping[str, Any], body: Mapping[str, Any]) -> Problems:
    seen = set()
    for index, port in parts.items(container, "portMappings"):
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
    yield from parts.within(policy, ("restartPolicy",), "restartAttemptPeriod", 60, 1800)
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


def _network(container: Mapping[str, Any], body: Mapping[str, Any]) -> Problems:
    mode = body.get("networkMode")
    for field in _NOT_AWSVPC:
        if container.get(field) and mode == "awsvpc":
            yield (field,), "it does not go with networkMode: awsvpc. Leave it out"
    if container.get("links") and mode in ("host", "none"):
        yield ("links",), f"links need networkMode: bridge, not {mode}. Leave them out"
    if container.get("portMappings") and mode == "none":
        yield ("portMappings",), "with networkMode: none there are no ports. Leave it out"


def _routers(body: Mapping[str, Any]) -> Problems:
    """FireLens: a container that sends there, and one that routes."""
    containers = list(parts.items(body, "containerDefinitions"))
    routers = [index for index, one in containers if one.get("firelensConfiguration")]
    senders = [
        index
        for index, one in containers
        if (one.get("logConfiguration") or {}).get("logDriver") == "awsfirelens"
    ]
    if senders and not routers:
        yield (
            ("containerDefinitions", senders[0], "logConfiguration", "logDriver"),
            "awsfirelens needs a container with firelensConfiguration. Add one",
        )
    if routers and not senders:
        yield (
            ("containerDefinitions", routers[0], "firelensConfiguration"),
            "no container logs to it. Write logDriver: awsfirelens in one, or leave it out",
        )
