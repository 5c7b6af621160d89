"""Task definitions as ECS gives them back.

Job: the defaults and normalisations that moto leaves out: aws-facts 1 to 18. Input: moto's answer. Output: the same,
as Describe echoes it. Must not: import the product.
"""

from __future__ import annotations

from typing import Any

from tests.aws.strict import limits

_LISTS = ("environment", "mountPoints", "volumesFrom", "portMappings", "systemControls")
_MAPS_OF_VALUES = ("options", "dockerLabels", "labels", "driverOpts")


def echo(definition: dict[str, Any]) -> dict[str, Any]:
    """What Describe says of a registered definition; applied twice, the same."""
    whole: dict[str, Any] = _bare(definition) or {}
    network = whole.setdefault("networkMode", "bridge")  # 12
    for field in ("cpu", "memory"):
        if field in whole:
            whole[field] = limits.units(whole[field], 1024)  # 11
    whole.setdefault("volumes", [])
    whole.setdefault("placementConstraints", [])
    whole.setdefault("requiresAttributes", [{"name": "com.amazonaws.ecs.capability.task-eni"}])  # 15
    whole.setdefault("compatibilities", ["EC2", *whole.get("requiresCompatibilities", ())])
    whole["containerDefinitions"] = [_container(one, network) for one in whole["containerDefinitions"]]
    whole["volumes"] = [_volume(one) for one in whole["volumes"]]
    if "proxyConfiguration" in whole:
        whole["proxyConfiguration"].setdefault("type", "APPMESH")  # 14
    return whole


def _container(one: dict[str, Any], network: str) -> dict[str, Any]:
    for field in _LISTS:
        one.setdefault(field, [])  # 5
    one.setdefault("cpu", 0)  # 2
    one.setdefault("essential", True)  # 2
    # 1: a set comes back in an order of its own; 7: an entry without a value is dropped
    one["environment"] = sorted(
        (item for item in one["environment"] if "value" in item), key=lambda item: item["name"], reverse=True
    )
    for port in one["portMappings"]:
        port.setdefault("protocol", "tcp")  # 4
        port.setdefault("hostPort", port.get("containerPort", 0) if network in ("awsvpc", "host") else 0)
    if (one.get("healthCheck") or {}).get("command"):
        one["healthCheck"] = {"interval": 30, "timeout": 5, "retries": 3} | one["healthCheck"]  # 3
    if "restartPolicy" in one:
        one["restartPolicy"].setdefault("restartAttemptPeriod", 300)  # 8
    return one


def _volume(one: dict[str, Any]) -> dict[str, Any]:
    one.setdefault("host", {})  # 14: absent and {} are the same
    if "efsVolumeConfiguration" in one:
        efs = one["efsVolumeConfiguration"]
        del one["host"]
        efs.setdefault("transitEncryption", "DISABLED")
        if not (efs.get("authorizationConfig") or {}).get("accessPointId"):
            efs.setdefault("rootDirectory", "/")
    return one


def _bare(value: Any, field: str = "") -> Any:
    """5, 6: nulls and empties dropped at any depth, but for the entries of a map of values."""
    if isinstance(value, dict):
        if field in _MAPS_OF_VALUES:
            return value or None
        bare = {key: _bare(item, key) for key, item in value.items()}
        return {key: item for key, item in bare.items() if item is not None} or None
    if isinstance(value, list):
        return [item for item in map(_bare, value) if item is not None] or None
    return value
