"""The canonical form of a task definition.

Job: everything that ECS defaults, reorders or drops, settled once for both sides. Input: a TaskDefinition's body,
RegisterTaskDefinition's parameters, DescribeTaskDefinition's answer, or CloudFormation's spelling of them.
Output: sets as Keyed, defaults filled, empties gone. Must not: refuse anything, or touch the world.

Defaults are those of https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html;
tests/cases/ecs/same.yaml has a case for each rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

from reconciler.canonical import Keyed, is_leaf, keyed, string, tags, text

DESCRIBED: Final = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
        "deleteRequestedAt",
    }
)
"""What DescribeTaskDefinition adds to what was registered."""

_WORDS: Final = """
    accessPointArn accessPointId add appProtocol authorizationConfig autoprovision capabilities command
    condition configuredAtLaunch containerDefinitions containerName containerPath containerPort
    containerPortRange cpu cpuArchitecture credentialSpecs credentialsParameter dependsOn deviceName
    deviceType devices disableNetworking dnsSearchDomains dnsServers dockerLabels dockerSecurityOptions
    dockerVolumeConfiguration domain driver driverOpts drop efsVolumeConfiguration enableFaultInjection
    enabled entryPoint environment environmentFiles ephemeralStorage essential executionRoleArn
    expression extraHosts family fileSystemArn fileSystemId firelensConfiguration
    fsxWindowsFileServerVolumeConfiguration hardLimit healthCheck host hostPath hostPort hostname iam
    ignoredExitCodes image inferenceAccelerators initProcessEnabled interactive interval ipAddress
    ipcMode labels links linuxParameters logConfiguration logDriver maxSwap memory memoryReservation
    mountOptions mountPoints name namespace networkMode operatingSystemFamily options permissions
    pidMode placementConstraints portMappings privileged properties protocol proxyConfiguration
    pseudoTerminal readOnly readonlyRootFilesystem repositoryCredentials requiresCompatibilities
    resourceRequirements restartAttemptPeriod restartPolicy retries rootDirectory runtimePlatform
    s3filesVolumeConfiguration scope secretOptions secrets sharedMemorySize size sizeInGiB softLimit
    sourceContainer sourcePath sourceVolume startPeriod startTimeout stopTimeout swappiness
    systemControls tags taskRoleArn timeout tmpfs transitEncryption transitEncryptionPort type ulimits
    user value valueFrom versionConsistency volumes volumesFrom workingDirectory
"""
KNOWN: Final = frozenset(_WORDS.split())
"""The fields that we know; others are compared only where a manifest gives them. A test holds it to botocore's."""

PAIRS: Final = {
    "environment": ("name", "value"),
    "secrets": ("name", "valueFrom"),
    "secretOptions": ("name", "valueFrom"),
    "systemControls": ("namespace", "value"),
    "extraHosts": ("hostname", "ipAddress"),
    "inferenceAccelerators": ("deviceName", "deviceType"),
    "properties": ("name", "value"),
}
"""Sets whose items are no more than a name and a value: shown as `environment[THREADS]`."""


def _port(item: Mapping[str, Any]) -> str:
    return f"{item.get('containerPort', item.get('containerPortRange'))}/{item.get('protocol', 'tcp')}"


SETS: Final[dict[str, Callable[[Mapping[str, Any]], Any]]] = {
    "containerDefinitions": lambda item: item.get("name"),
    "volumes": lambda item: item.get("name"),
    "mountPoints": lambda item: item.get("containerPath"),
    "portMappings": _port,
    "volumesFrom": lambda item: item.get("sourceContainer"),
    "ulimits": lambda item: item.get("name"),
    "resourceRequirements": lambda item: item.get("type"),
    "dependsOn": lambda item: item.get("containerName"),
    "placementConstraints": lambda item: item.get("expression", item.get("type")),
    "devices": lambda item: item.get("containerPath", item.get("hostPath")),
    "tmpfs": lambda item: item.get("containerPath"),
}
"""Sets of structures, and their natural key."""

PLAIN_SETS: Final = frozenset({"requiresCompatibilities", "add", "drop", "permissions", "ignoredExitCodes"})
MAPS: Final = frozenset(
    {"options", "dockerLabels", "driverOpts", "labels"}
)  # theirs are values, never fields
_SPELLINGS: Final = {  # CloudFormation's names that are more than the API's with a capital
    "EFSVolumeConfiguration": "efsVolumeConfiguration",
    "FSxWindowsFileServerVolumeConfiguration": "fsxWindowsFileServerVolumeConfiguration",
    "S3FilesVolumeConfiguration": "s3filesVolumeConfiguration",
    "FilesystemId": "fileSystemId",
    "IAM": "iam",
}
_FALSE: Final = frozenset(  # absent and false are the same, and Describe answers either
    {
        "autoprovision",
        "configuredAtLaunch",
        "disableNetworking",
        "enableFaultInjection",
        "initProcessEnabled",
        "interactive",
        "privileged",
        "pseudoTerminal",
        "readOnly",
        "readonlyRootFilesystem",
    }
)

_UNSAID: Final = {"stopTimeout": 30, "versionConsistency": "enabled"}
"""Defaults of a container that Describe may answer, or leave out, where they were not given."""


def canonical(body: Mapping[str, Any], ignored_tags: Iterable[str] = ()) -> dict[str, Any]:
    """The canonical spec of a task definition; of a canonical spec, itself.

    `{"taskDefinition": …, "tags": …}`, as the API answers, is taken too. `ignored_tags` are tag keys that are
    not ours to manage.
    """
    body = _fields(body)
    if isinstance(body.get("taskDefinition"), Mapping):
        body = {**_fields(body["taskDefinition"]), "tags": body.get("tags")}
    wanted = tags(body.pop("tags", None), ignored_tags)
    # A stand-in echoes "" for pidMode, ipcMode and roles that nobody gave; no field of this level can be empty.
    given = {key: value for key, value in body.items() if key not in DESCRIBED and value != ""}
    spec: dict[str, Any] = _tidy(given) or {}
    spec.setdefault("networkMode", "bridge")
    for field, unit in (("cpu", "vcpu"), ("memory", "gb")):
        if field in spec:
            spec[field] = size(spec[field], unit)
    if "FARGATE" in _list(spec.get("requiresCompatibilities")):
        platform = {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}
        _merge(spec, "runtimePlatform", platform)
    if "proxyConfiguration" in spec:
        _merge(spec, "proxyConfiguration", {"type": "APPMESH"})
    _each(spec, "containerDefinitions", lambda one: _container(one, spec["networkMode"]))
    _each(spec, "volumes", _volume)
    if wanted:
        spec["tags"] = wanted
    return spec


def to_api(spec: Mapping[str, Any]) -> dict[str, Any]:
    """RegisterTaskDefinition's parameters for a canonical spec: `canonical(to_api(spec)) == spec`."""
    api: dict[str, Any] = _untidy("", spec)
    for container in _list(api.get("containerDefinitions")):
        for (
            field,
            default,
        ) in _UNSAID.items():  # said aloud they would overrule what an EC2 agent is configured to
            if _structure(container).get(field) == default:
                del container[field]
    if "tags" in spec:
        api["tags"] = [{"key": key, "value": value} for key, value in spec["tags"].items()]
    return api


def size(value: Any, unit: str) -> Any:
    """`1 vCPU`, `.25 vcpu`, `2GB` as a string of CPU units or MiB; what it cannot read stays as it is.

    `unit` is vcpu or gb, worth 1024 each.
    """
    if is_leaf(value) or isinstance(value, bool):
        return value
    found = re.fullmatch(rf"\s*(\d+(?:\.\d*)?|\.\d+)\s*({unit})?\s*", str(value), re.IGNORECASE)
    if not found:
        return str(value)
    units = Fraction(found[1]) * (1024 if found[2] else 1)
    return str(units) if units.denominator == 1 else str(value)


def _container(one: dict[str, Any], network: Any) -> dict[str, Any]:
    if one.get("cpu") in (0, "0"):
        del one["cpu"]  # Describe answers 0 where none was given
    for field in ("cpu", "memory", "memoryReservation"):
        if isinstance(one.get(field), str) and one[field].isdecimal():
            one[field] = int(one[field])
    filled = {"essential": True, **_UNSAID} | one
    if _structure(filled.get("healthCheck")).get("command"):
        _merge(filled, "healthCheck", {"interval": 30, "timeout": 5, "retries": 3})
    if "restartPolicy" in filled:
        _merge(filled, "restartPolicy", {"restartAttemptPeriod": 300})
    _each(filled, "portMappings", lambda port: _mapping(port, network))
    return filled


def _mapping(port: dict[str, Any], network: Any) -> dict[str, Any]:
    filled = {"protocol": "tcp"} | port
    if filled.get("hostPort") == 0:
        del filled["hostPort"]
    if network in ("awsvpc", "host") and "containerPort" in filled:
        filled.setdefault("hostPort", filled["containerPort"])
    return filled


def _volume(one: dict[str, Any]) -> dict[str, Any]:
    if _structure(one.get("host")).get("sourcePath") == "":
        del one["host"]  # the engine chooses the place, as without a host
    if isinstance(efs := one.get("efsVolumeConfiguration"), Mapping):
        efs = {"transitEncryption": "DISABLED", **efs}
        _merge(efs, "authorizationConfig", {"iam": "DISABLED"})
        if not _structure(efs["authorizationConfig"]).get("accessPointId"):
            efs.setdefault("rootDirectory", "/")
        elif efs.get("rootDirectory") == "/":
            del efs["rootDirectory"]
        one["efsVolumeConfiguration"] = efs
    return one


def _tidy(value: Any) -> Any:
    """Fields renamed, nulls and empties dropped, sets keyed; None where nothing is left."""
    if isinstance(value, Mapping):
        return {key: item for key, item in map(_field, _fields(value).items()) if item is not None} or None
    if isinstance(value, list | tuple):
        return [item for item in map(_tidy, value) if item is not None] or None
    return value


def _field(field: tuple[str, Any]) -> tuple[str, Any]:
    key, value = field
    if is_leaf(value):
        return key, value
    if key in MAPS and isinstance(value, Mapping):
        return key, Keyed((name, string(item)) for name, item in value.items()) or None
    if key in PAIRS and isinstance(value, Mapping | list | tuple):
        return key, _pairs(*PAIRS[key], value)
    if key in SETS and isinstance(value, Mapping | list | tuple):
        items = _tidy(list(value.values()) if isinstance(value, Mapping) else value) or ()
        return key, keyed((str(SETS[key](_structure(item))), item) for item in items) or None
    value = _tidy(value)
    if key in PLAIN_SETS and isinstance(value, list):
        value = sorted(set(value), key=str) if not any(map(is_leaf, value)) else value
    return key, None if key in _FALSE and value is False else value


def _pairs(name: str, value: str, given: Any) -> Keyed | None:
    """NAME → VALUE; an item with further fields, or a namesake, stays whole; one without a value is dropped, as ECS does."""
    if isinstance(given, Mapping):
        items = [
            item if isinstance(item, Mapping) else {name: key, value: item} for key, item in given.items()
        ]
    else:
        items = [_fields(item) for item in given if isinstance(item, Mapping)]
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        bare = {key: content for key, content in item.items() if content is not None}
        if name in bare and value in bare:
            whole = {**bare, value: string(bare[value])}
            found[text(whole)] = whole
    names = [str(item[name]) for item in found.values()]
    return (
        keyed(
            (key, item[value] if len(item) == 2 and names.count(key) == 1 else item)
            for key, item in zip(names, found.values(), strict=True)
        )
        or None
    )


def _untidy(field: str, value: Any) -> Any:
    if field in PAIRS and isinstance(value, Keyed):
        name, content = PAIRS[field]
        return [item if isinstance(item, dict) else {name: key, content: item} for key, item in value.items()]
    if field in SETS and isinstance(value, Keyed):
        return [_untidy("", item) for item in value.values()]
    if isinstance(value, Mapping):
        return {key: _untidy(key, item) for key, item in value.items() if key != "tags"}
    return list(value) if isinstance(value, list | tuple) else value


def _fields(value: Mapping[str, Any]) -> dict[str, Any]:
    """The API's spelling of fields: `ContainerDefinitions`, as CloudFormation has it, is `containerDefinitions`."""
    return {camel(str(key)): item for key, item in value.items()}


def camel(field: str) -> str:
    """A field's name as the API writes it, given CloudFormation's or its own."""
    return _SPELLINGS.get(field, field[:1].lower() + field[1:])


def _each(holder: dict[str, Any], field: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    if isinstance(items := holder.get(field), Keyed):
        changed = [change(dict(item)) if isinstance(item, Mapping) else item for item in items.values()]
        holder[field] = keyed((str(SETS[field](_structure(item))), item) for item in changed)


def _merge(holder: dict[str, Any], field: str, defaults: Mapping[str, Any]) -> None:
    if isinstance(given := holder.get(field, {}), Mapping):
        holder[field] = {**defaults, **given}


def _structure(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
