"""What the network's answers mean: whether a task can reach its image, its log group, S3 and its volumes.

Job: one pure function for each kind of thing. Input: Ground, Answers. Output: Findings. Must not: ask anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from reconciler.errors import BunniesError
from reconciler.permissions.ground import Ground, awslogs, secrets_of
from reconciler.verify import questions
from reconciler.verify.finding import Answers, Finding, Level, unread

Findings = Iterator[Finding]

_HTTPS: Final = 443
_ANYWHERE: Final = ("0.0.0.0/0", "::/0")


def subnets(ground: Ground, answers: Answers) -> Findings:
    """There, of one VPC, each with a way to the registry."""
    if not questions.uses_awsvpc(ground):
        return
    wanted = tuple(sorted(set(ground.settings.network.get("subnets") or ())))
    if not wanted:
        what = "names no subnet, and tasks with networkMode awsvpc need one"
        yield Finding(Level.FAIL, "Settings.network", what, "Write network: {subnets: [subnet-…]}.")
        return
    found = answers.get("subnets", *wanted)
    if isinstance(found, BunniesError):
        yield unread("subnets " + ", ".join(wanted), found, (), "")
        return
    by_id = {one["SubnetId"]: one for one in found}
    for name in wanted:
        if name not in by_id:
            do = f"Name one of {ground.settings.region} that is."
            yield Finding(Level.FAIL, f"subnet {name}", "is not there", do)
        else:
            yield _way(ground, answers, by_id[name])
    if len({one["VpcId"] for one in found}) > 1:
        what = "names subnets of several VPCs"
        yield Finding(Level.FAIL, "Settings.network", what, "Name subnets of one VPC.")


def _way(ground: Ground, answers: Answers, subnet: Mapping[str, Any]) -> Finding:
    """How a task in the subnet reaches the registry: by the internet, by NAT, or by endpoints of the VPC."""
    about, vpc = f"subnet {subnet['SubnetId']}", subnet["VpcId"]
    tables = answers.get("route tables", vpc)
    if isinstance(tables, BunniesError):
        return unread(f"{about}: its routes", tables, (), "")
    route = _default_route(tables, subnet["SubnetId"])
    public = ground.settings.network.get("assignPublicIp", "DISABLED") == "ENABLED"
    if route is not None and route.get("State") != "blackhole":
        gateway = str(route.get("GatewayId", ""))
        if not gateway.startswith("igw-"):
            via = next((str(route[key]) for key in _THROUGH if route.get(key)), gateway)
            return Finding(Level.OK, about, f"reaches the registry through {via}")
        if public:
            return Finding(Level.OK, about, f"reaches the registry through {gateway} with a public address")
    missing = _without_endpoint(ground, answers, subnet, tables)
    if isinstance(missing, BunniesError):
        return unread(f"{about}: the endpoints of {vpc}", missing, (), "")
    if not missing:
        return Finding(Level.OK, about, f"reaches the registry through endpoints of {vpc}")
    return _no_way(about, route, missing)


_THROUGH: Final = (
    "NatGatewayId",
    "TransitGatewayId",
    "NetworkInterfaceId",
    "InstanceId",
    "VpcPeeringConnectionId",
)


def _no_way(about: str, route: Mapping[str, Any] | None, missing: list[str]) -> Finding:
    endpoints = ", ".join(missing)
    if route is None:
        what = f"has no default route, and its VPC no endpoint for {endpoints}: no image could be pulled"
        return Finding(Level.FAIL, about, what, "Add a NAT gateway, or these endpoints.")
    if route.get("State") == "blackhole":
        what = "has a default route to a gateway that is gone: no image could be pulled"
        return Finding(Level.FAIL, about, what, "Repair the route 0.0.0.0/0.")
    what = (
        f"is public, and tasks get no public address: no image could be pulled (no endpoint for {endpoints})"
    )
    do = "Write assignPublicIp: ENABLED in Settings.network, or name a subnet with a NAT gateway."
    return Finding(Level.FAIL, about, what, do)


def _default_route(tables: Iterable[Mapping[str, Any]], subnet: str) -> Mapping[str, Any] | None:
    """The route to everywhere of the table that the subnet names, else of the VPC's main table."""
    named = _table(tables, lambda one: one.get("SubnetId") == subnet) or _table(
        tables, lambda one: bool(one.get("Main"))
    )
    for route in (named or {}).get("Routes", ()):
        if route.get("DestinationCidrBlock") in _ANYWHERE:
            found: Mapping[str, Any] = route
            return found
    return None


def _table(tables: Iterable[Mapping[str, Any]], wanted: Any) -> Mapping[str, Any] | None:
    return next((table for table in tables if any(map(wanted, table.get("Associations", ())))), None)


def _without_endpoint(
    ground: Ground, answers: Answers, subnet: Mapping[str, Any], tables: Iterable[Mapping[str, Any]]
) -> list[str] | BunniesError:
    """The services that a task needs and the VPC has no endpoint for. S3 may be a gateway, in the subnet's routes."""
    found = answers.get("endpoints", subnet["VpcId"])
    if isinstance(found, BunniesError):
        return found
    there = {
        one["ServiceName"].partition(f".{ground.settings.region}.")[2]
        for one in found
        if str(one.get("State", "available")).lower() == "available"
    }
    return [service for service in _needed(ground) if service not in there]


def _needed(ground: Ground) -> list[str]:
    """https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html"""
    containers = [container for _, container in ground.containers()]
    values = [value for container in containers for value in secrets_of(container)]
    needed = ["ecr.api", "ecr.dkr", "s3"]
    needed += ["logs"] * any(awslogs(container) for container in containers)
    needed += ["secretsmanager"] * any(":secretsmanager:" in value for value in values)
    needed += ["ssm"] * any(":secretsmanager:" not in value for value in values)
    return needed


def security_groups(ground: Ground, answers: Answers) -> Findings:
    """There, in the subnets' VPC, with HTTPS allowed out."""
    network = ground.settings.network
    wanted = tuple(sorted(set(network.get("securityGroups") or ())))
    if not questions.uses_awsvpc(ground) or not wanted:
        return  # none named: the VPC's default group, which lets everything out unless it was changed
    found = answers.get("security groups", *wanted)
    if isinstance(found, BunniesError):
        yield unread("security groups " + ", ".join(wanted), found, (), "")
        return
    by_id = {one["GroupId"]: one for one in found}
    subnets_ = answers.get("subnets", *sorted(set(network.get("subnets") or ())))
    vpcs = set() if isinstance(subnets_, BunniesError) else {one["VpcId"] for one in subnets_ or ()}
    for name in wanted:
        about, group = f"security group {name}", by_id.get(name)
        if group is None:
            yield Finding(Level.FAIL, about, "is not there", f"Name one of {ground.settings.region} that is.")
        elif vpcs and group.get("VpcId") not in vpcs:
            what = f"is of {group.get('VpcId')}, the subnets of {', '.join(sorted(vpcs))}"
            yield Finding(Level.FAIL, about, what, "Name a group of the same VPC.")
        else:
            yield Finding(Level.OK, about, "is there")
    if by_id and not any(_lets_out(group) for group in by_id.values()):
        what = "let no HTTPS out: no image could be pulled, nothing read from S3"
        yield Finding(Level.FAIL, "security groups " + ", ".join(wanted), what, "Allow port 443 outbound.")


def _lets_out(group: Mapping[str, Any]) -> bool:
    for rule in group.get("IpPermissionsEgress", ()):
        protocol = rule.get("IpProtocol")
        ports = range(rule.get("FromPort", _HTTPS), rule.get("ToPort", _HTTPS) + 1)
        if protocol == "-1" or (protocol == "tcp" and _HTTPS in ports):
            return True
    return False


def file_systems(ground: Ground, answers: Answers) -> Findings:
    """There, with a mount target in every zone of the subnets, and the access point that is named."""
    for address, name, point in questions.file_systems(ground):
        about, answer = f"{address}: file system {name}", answers.get("file system", name)
        if isinstance(answer, BunniesError):
            yield unread(about, answer, ("FileSystemNotFound",), "Correct fileSystemId in the manifest.")
            continue
        states = [one.get("LifeCycleState") for one in answer]
        if states != ["available"]:
            yield Finding(
                Level.FAIL,
                about,
                f"is {', '.join(map(str, states)) or 'not there'}",
                "Wait, or name another.",
            )
            continue
        yield _mounted(ground, answers, about, name)
        if point:
            yield _access_point(answers, f"{address}: access point {point}", name, point)


def _mounted(ground: Ground, answers: Answers, about: str, name: str) -> Finding:
    targets = answers.get("mount targets", name)
    if isinstance(targets, BunniesError):
        return unread(f"{about}: its mount targets", targets, (), "")
    wanted = answers.get("subnets", *sorted(set(ground.settings.network.get("subnets") or ())))
    there = {one.get("AvailabilityZoneName") for one in targets}
    zones = set() if isinstance(wanted, BunniesError) else {one["AvailabilityZone"] for one in wanted or ()}
    if not targets or zones - there:
        where = ", ".join(sorted(zones - there)) or "any zone"
        what = f"has no mount target in {where}: a task there would not start"
        return Finding(
            Level.FAIL, about, what, "Create one in a subnet of that zone, with NFS (2049) let in."
        )
    return Finding(Level.OK, about, f"has mount targets in {', '.join(sorted(map(str, there)))}")


def _access_point(answers: Answers, about: str, system: str, point: str) -> Finding:
    answer = answers.get("access point", point)
    if isinstance(answer, BunniesError):
        return unread(about, answer, ("AccessPointNotFound",), "Correct accessPointId in the manifest.")
    systems = {one.get("FileSystemId") for one in answer}
    if systems != {system}:
        what = f"is of {', '.join(sorted(map(str, systems))) or 'no file system'}"
        return Finding(Level.FAIL, about, what, f"Name an access point of {system}.")
    return Finding(Level.OK, about, "is there")
