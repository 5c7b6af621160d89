"""What RunTask and RegisterTaskDefinition refuse, and moto takes.

Job: read the parameters of a call with the rules of aws-facts ("Validation", "Limits"). Input: parameters, the task
definition as registered. Output: nothing, or Refusal. Must not: import the product: its rules are what is checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.aws.strict.answers import client, invalid

MIB: Final = 1024
SIZES: Final[dict[int, Sequence[int]]] = {  # CPU units → MiB; aws-facts, Validation
    256: (512, 1024, 2048),
    512: range(1 * MIB, 4 * MIB + 1, MIB),
    1024: range(2 * MIB, 8 * MIB + 1, MIB),
    2048: range(4 * MIB, 16 * MIB + 1, MIB),
    4096: range(8 * MIB, 30 * MIB + 1, MIB),
    8192: range(16 * MIB, 60 * MIB + 1, 4 * MIB),
    16384: range(32 * MIB, 120 * MIB + 1, 8 * MIB),
}
OVERRIDES: Final = 8192
_STARTED_BY: Final = re.compile(r"[A-Za-z0-9\-/_]{0,128}")
_TOKEN: Final = re.compile(r"[!-~]{1,64}")  # ASCII 33 to 126
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TAG: Final = re.compile(r"[\w\s+=.:/@-]*")  # the shape of Tag in the API reference
_DRIVERS: Final = ("awslogs", "splunk", "awsfirelens")


def run_task(params: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    """Raises Refusal for parameters that RunTask does not take with this task definition."""
    _request(params)
    tags(params.get("tags"))
    network = definition.get("networkMode", "bridge")
    if network == "awsvpc" and "networkConfiguration" not in params:
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    if network != "awsvpc" and "networkConfiguration" in params:
        raise invalid("Network Configuration is not valid for the given networkMode of this task definition.")
    strategy = params.get("capacityProviderStrategy")
    if params.get("launchType") and strategy:
        raise invalid("Specifying both a launch type and capacity provider strategy is not supported.")
    fargate = params.get("launchType") == "FARGATE" or any(
        str(item["capacityProvider"]).startswith("FARGATE") for item in strategy or ()
    )
    if fargate and "FARGATE" not in (definition.get("requiresCompatibilities") or ()):
        raise invalid("Task definition does not support launch_type FARGATE.")
    _overrides(params.get("overrides") or {}, definition, fargate)


def register(params: Mapping[str, Any]) -> None:
    """Raises Refusal for a task definition that ECS does not register."""
    if params.get("tags") == []:
        raise invalid("Tags can not be empty.")  # aws-facts 16
    tags(params.get("tags"))
    if not _NAME.fullmatch(str(params["family"])):
        raise client("Family contains invalid characters.")
    containers = params.get("containerDefinitions") or ()
    names = [one.get("name", "") for one in containers]
    if not 1 <= len(containers) <= 10:
        raise client("Task definition must have between 1 and 10 container definitions.")
    if len(set(names)) != len(names) or not all(_NAME.fullmatch(name) for name in names):
        raise client("Container.name contains invalid characters, or is not unique.")
    if not any(one.get("essential", True) for one in containers):
        raise client("Task definition must have at least one essential container.")
    for one in containers:
        _container(one, names, params)
    if "FARGATE" in (params.get("requiresCompatibilities") or ()):
        _fargate(params)


def tags(given: Sequence[Mapping[str, str]] | None) -> None:
    """Raises Refusal for tags beyond AWS's: 50, keys of 128 and values of 256 characters, no `aws:`, no key twice."""
    keys = [tag.get("key", tag.get("Key", "")) for tag in given or ()]
    if len(keys) > 50 or len(set(keys)) != len(keys):
        raise invalid("Too many tags, or duplicate keys.")
    for tag in given or ():
        key, value = (tag.get(part, tag.get(part.title(), "")) for part in ("key", "value"))
        if not 1 <= len(key) <= 128 or len(value) > 256 or not _TAG.fullmatch(key + value):
            raise invalid(f"Tag {key} has characters or a length that tags do not have.")
        if key.lower().startswith("aws:"):
            raise invalid("Tag keys that begin with aws: are reserved.")


def fargate_size(cpu: Any, memory: Any) -> None:
    """Raises Refusal for a size that Fargate does not have."""
    sizes = SIZES.get(int(units(cpu, 1024)), ()) if cpu else ()
    if not memory or int(units(memory, 1024)) not in sizes:
        raise client("No Fargate configuration exists for given values.")


def units(value: Any, factor: int) -> str:
    """`1 vCPU`, `2GB` as ECS turns them into units (aws-facts 11)."""
    found = re.fullmatch(r"\s*(\d*\.?\d+)\s*(vcpu|gb)?\s*", str(value), re.IGNORECASE)
    if not found:
        raise client(f"Invalid setting for container. {value} is not a size.")
    return str(int(float(found[1]) * (factor if found[2] else 1)))


def _request(params: Mapping[str, Any]) -> None:
    if not 1 <= params.get("count", 1) <= 10:
        raise invalid("Count must be between 1 and 10.")
    if not _STARTED_BY.fullmatch(params.get("startedBy", "")):
        raise invalid("startedBy has invalid characters, or more than 128.")
    if "clientToken" in params and not _TOKEN.fullmatch(params["clientToken"]):
        raise invalid("clientToken must be up to 64 characters of ASCII 33 to 126.")
    if len(json.dumps(params.get("overrides") or {})) > OVERRIDES:
        raise invalid("The length of the overrides must not exceed 8192 characters.")


def _overrides(overrides: Mapping[str, Any], definition: Mapping[str, Any], fargate: bool) -> None:
    known = {one["name"] for one in definition["containerDefinitions"]}
    for one in overrides.get("containerOverrides", ()):
        if one.get("name") not in known:
            raise invalid(
                f"Override for container named {one.get('name')} is not a container in the TaskDefinition."
            )
    if fargate and overrides.keys() & {"cpu", "memory"}:
        fargate_size(
            overrides.get("cpu", definition.get("cpu")), overrides.get("memory", definition.get("memory"))
        )
    if (disk := overrides.get("ephemeralStorage")) and not 21 <= disk["sizeInGiB"] <= 200:
        raise invalid("ephemeralStorage must be between 21 and 200 GiB.")


def _container(one: Mapping[str, Any], names: Sequence[str], params: Mapping[str, Any]) -> None:
    if not one.get("image"):
        raise client("Container.image should not be null or empty.")
    if not any(one.get(field) or params.get("memory") for field in ("memory", "memoryReservation")):
        raise client(
            "Invalid setting for container. At least one of 'memory' or 'memoryReservation' must be specified."
        )
    volumes = {volume.get("name") for volume in params.get("volumes") or ()}
    for mount in one.get("mountPoints") or ():
        if mount.get("sourceVolume") not in volumes:
            raise client(f"Unknown volume '{mount.get('sourceVolume')}'.")
    for other in one.get("dependsOn") or ():
        if other.get("containerName") not in names:
            raise client(f"Container {one['name']} depends on a container that is not there.")


def _fargate(params: Mapping[str, Any]) -> None:
    if params.get("networkMode") != "awsvpc":
        raise client("Fargate only supports network mode ‘awsvpc’.")
    fargate_size(params.get("cpu"), params.get("memory"))
    if params.get("ipcMode") or params.get("pidMode") not in (None, "task"):
        raise client("Fargate takes no ipcMode, and no pidMode but task.")
    for one in params["containerDefinitions"]:
        log = one.get("logConfiguration") or {}
        if log and log.get("logDriver") not in _DRIVERS:
            raise client("Log driver is not supported by Fargate.")
        if log.get("logDriver") == "awslogs":
            if "awslogs-stream-prefix" not in (log.get("options") or {}):
                raise client("Log driver awslogs requires options: awslogs-stream-prefix.")
            # AmazonECS/latest/developerguide/task_execution_IAM_role.html
            if not params.get("executionRoleArn"):
                raise client(
                    "Fargate requires task definition to have execution role ARN to support log driver awslogs."
                )
        if one.get("privileged") or one.get("links"):
            raise client("Fargate takes no privileged containers and no links.")
        for port in one.get("portMappings") or ():
            if port.get("hostPort") not in (None, 0, port.get("containerPort")):
                raise client("When networkMode=awsvpc, the host ports and container ports must match.")
