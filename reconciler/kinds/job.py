"""Jobs: what a Job manifest wants to run, as a Job with its identity and all that a launch needs.

Job: join each Job manifest with its task definition, its image, the objects of its inputs and the jobs that it
reads from. Input: manifests, Settings, desired Resources, `facts`. Output: Jobs, upstream first.
Must not: ask the ledger or ECS (ledger and launch do); after `facts`, touch the world.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from reconciler.canonical import ecs
from reconciler.canonical import job as canonical
from reconciler.errors import BunniesError, ManifestError, Problem
from reconciler.kinds import inputs, layout
from reconciler.model import NOTHING, Job, Manifest, Ref, Resource, S3Object, Settings

facts = inputs.facts
complete_inputs = layout.complete_inputs

# Parameters of RunTask that a manifest may give and that are passed on as they are.
_PASSED_ON: Final = (
    "platformVersion",
    "enableExecuteCommand",
    "enableECSManagedTags",
    "propagateTags",
    "group",
    "placementConstraints",
    "placementStrategy",
    "volumeConfigurations",
)
# ECS's cpuArchitecture → the architecture in a platform's name.
_MACHINES: Final = {"X86_64": "amd64", "ARM64": "arm64"}
_UNSHIMMED: Final = "a job's container must run a shimmed image: write image: ${image.NAME}"


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every job stands on; `made` fills up as jobs are made, upstream first."""

    settings: Settings
    resources: Mapping[str, Resource]
    facts: Mapping[str, tuple[S3Object, ...]]
    manifests: Mapping[str, Manifest]
    definitions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    made: dict[str, Job] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Base:
    """The container that a job runs in: canonical task definition and container, and its image's digests."""

    definition: Mapping[str, Any]
    container: Mapping[str, Any]
    architecture: str
    base_digest: str
    layer_digest: str


def desired(
    manifests: Iterable[Manifest],
    settings: Settings,
    resources: Mapping[str, Resource],
    facts: Mapping[str, tuple[S3Object, ...]],
) -> tuple[Job, ...]:
    """The jobs that the Job manifests want, in an order in which they can run, else that of the manifests.

    `resources` are the desired ones by address; `facts` as above. Two jobs that would do the same work have one
    job_id: they are one run. Raises ManifestError with every mistake found.
    """
    wanted = {manifest.address: manifest for manifest in manifests if manifest.kind == "Job"}
    ground = _Ground(settings, resources, facts, wanted)
    problems: dict[str, Problem] = {}
    broken: set[str] = set()
    for manifest in _in_order(wanted):
        if broken.intersection(_upstream(manifest, wanted)):
            broken.add(manifest.address)  # what is wrong upstream is said there
            continue
        try:
            ground.made[manifest.address] = _job(ground, manifest)
        except ManifestError as error:
            broken.add(manifest.address)
            problems |= {str(problem): problem for problem in error.problems}
    if problems:
        raise ManifestError(problems.values())
    return tuple(ground.made.values())


def _in_order(wanted: Mapping[str, Manifest]) -> list[Manifest]:
    """Upstream first; among those that are free, the order of the manifests."""
    place = {address: index for index, address in enumerate(wanted)}
    waiting = {address: set(_upstream(manifest, wanted)) for address, manifest in wanted.items()}
    followers: dict[str, list[str]] = {address: [] for address in wanted}
    for address, needs in waiting.items():
        for need in needs:
            followers[need].append(address)
    free = [place[address] for address, needs in waiting.items() if not needs]
    addresses = list(wanted)
    ordered = []
    while free:
        address = addresses[heapq.heappop(free)]
        ordered.append(wanted[address])
        for follower in followers[address]:
            waiting[follower].discard(address)
            if not waiting[follower]:
                heapq.heappush(free, place[follower])
    if len(ordered) < len(wanted):
        stuck = [address for address, needs in waiting.items() if needs]
        problem = "needs itself, by way of " + ", ".join(stuck[:5]) + ". Take one of these references out."
        raise ManifestError([Problem(wanted[stuck[0]].source, stuck[0], problem)])
    return ordered


def _upstream(manifest: Manifest, wanted: Mapping[str, Manifest]) -> list[str]:
    """Addresses of the jobs whose success this one needs, in order, each once."""
    found: dict[str, None] = {}
    for wish in inputs.wishes(manifest.body):
        found |= dict.fromkeys(source.address for source in wish.sources if isinstance(source, Ref))
    found |= dict.fromkeys(manifest.body.get("after") or ())
    for address in found:
        if address not in wanted:
            _fail(manifest, f"{address} is not a job of these manifests. Name one that is.", "after")
    return list(found)


def _fail(manifest: Manifest, what: str, *path: str | int) -> NoReturn:
    raise ManifestError([Problem(manifest.at(*path), manifest.address, what)])


def _job(ground: _Ground, manifest: Manifest) -> Job:
    body = manifest.body
    for name, value in (body.get("environment") or {}).items():
        if not isinstance(value, str):
            _fail(manifest, f"{name} is {value}, not text. Write the text itself.", "environment", name)
    base = _base(ground, manifest)
    given = _inputs(ground, manifest)
    identity = canonical.identity(base.base_digest, base.architecture, base.container, body, given.identity)
    job_id = canonical.job_id(identity)
    definition = f"taskdefinition/{body['taskDefinition']}"
    overrides = _overrides(ground.settings, manifest, base.definition)
    spec = {
        "taskDefinition": Ref(definition, "arn"),
        "container": body["container"],
        **_where(body, base.definition),
        "overrides": overrides,
        "awsvpc": base.definition["networkMode"] == "awsvpc",
        **{name: body[name] for name in _PASSED_ON if name in body},
        "tags": dict(body.get("tags") or {}),
        "retry": dict(body.get("retry") or {}),
        **{name: body.get(name) for name in ("timeout", "queueTimeout", "deadline", "maxParallel")},
        "publish": {
            name: output["publish"] for name, output in _outputs(body).items() if output.get("publish")
        },
        "temp": [name for name, output in _outputs(body).items() if output.get("temp")],
        "size": _size(base, overrides),
        "missing": given.missing,
        "jobspec": _jobspec(ground.settings, manifest, job_id, base, overrides) | {"inputs": given.known},
        "upstream": given.upstream,
    }
    needs = (definition, *_upstream(manifest, ground.manifests))
    return Job(manifest.address, job_id, identity, spec, needs, manifest.source)


def _outputs(body: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    return body.get("outputs") or NOTHING


# The container and its image


def _base(ground: _Ground, manifest: Manifest) -> _Base:
    family, name = manifest.body["taskDefinition"], manifest.body["container"]
    resource = ground.resources.get(f"taskdefinition/{family}")
    if resource is None:
        _fail(manifest, f"taskdefinition/{family} is not in these manifests. Add it.", "taskDefinition")
    if family not in ground.definitions:
        ground.definitions[family] = ecs.canonical(resource.spec)
    definition = ground.definitions[family]
    container = definition.get("containerDefinitions", {}).get(name)
    if container is None:
        _fail(manifest, f"{resource.address} has no container {name}. Name one that it has.", "container")
    if wrong := _unfit(container):
        raise ManifestError(
            [Problem(resource.source, f"{resource.address}: container {name}", what) for what in wrong]
        )
    image = ground.resources.get(container["image"].address)
    if image is None:
        _fail(manifest, f"{container['image'].address} is not in these manifests. Add it.", "taskDefinition")
    architecture = str(definition.get("runtimePlatform", {}).get("cpuArchitecture", "X86_64"))
    platform = f"linux/{_MACHINES.get(architecture, architecture.lower())}"
    if platform not in image.spec.get("platforms", [platform]):
        what = f"runs on {platform}, which {image.address} is not made for. Add it to the image's platforms."
        raise ManifestError([Problem(resource.source, resource.address, what)])
    return _Base(definition, container, architecture, *_digests(image.spec, platform))


def _digests(image: Mapping[str, Any], platform: str) -> tuple[str, str]:
    """The digests of the user's image and of the layer for the platform that runs, never of an index."""
    base, layers = image["base"], image.get("layers", NOTHING)
    digest = base.get("platforms", NOTHING).get(platform, base["digest"])
    return str(digest), str(layers.get(platform, image["layer"]))


def _unfit(container: Mapping[str, Any]) -> list[str]:
    """What keeps this container from running jobs."""
    wrong = []
    image = container.get("image")
    if not (isinstance(image, Ref) and image.address.startswith("image/")):
        wrong.append(f"{_UNSHIMMED}.")
    if container.get("essential") is False:
        wrong.append("a job's container must be essential. Leave out essential: false.")
    if container.get("entryPoint"):
        wrong.append("entryPoint would run instead of bunny-init. Write entrypoint: in the Job.")
    if container.get("restartPolicy", {}).get("enabled", "restartPolicy" in container):
        wrong.append("restartPolicy would restart a job inside its own attempt. Write retry: in the Job.")
    return wrong


# How it runs


def _where(body: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    """launchType or capacityProviderStrategy; FARGATE where neither is given and the definition requires it.

    Without either RunTask takes the cluster's default strategy, else EC2, where such a task cannot be placed.
    """
    for name in ("capacityProviderStrategy", "launchType"):
        if body.get(name):
            return {name: body[name]}
    return {"launchType": "FARGATE"} if "FARGATE" in definition.get("requiresCompatibilities", ()) else {}


def _overrides(settings: Settings, manifest: Manifest, definition: Mapping[str, Any]) -> dict[str, Any]:
    """RunTask's task-level overrides, by its own names; the roles of Settings where the definition has none."""
    body = manifest.body
    roles = {
        "taskRoleArn": body.get("taskRoleArn")
        or (None if "taskRoleArn" in definition else settings.task_role_arn),
        "executionRoleArn": body.get("executionRoleArn")
        or (None if "executionRoleArn" in definition else settings.execution_role_arn),
    }
    if not (roles["taskRoleArn"] or definition.get("taskRoleArn")):
        _fail(
            manifest,
            "has no task role, and the shim reads and writes S3 with it. Write taskRoleArn: in Settings, in the task "
            "definition or here.",
        )
    storage = body.get("ephemeralStorage")
    overrides = {
        "cpu": ecs.size(body["cpu"], "vcpu") if body.get("cpu") else None,
        "memory": ecs.size(body["memory"], "gb") if body.get("memory") else None,
        "ephemeralStorage": dict(storage) if storage else None,
        **roles,
    }
    return {name: value for name, value in overrides.items() if value is not None}


def _jobspec(
    settings: Settings, manifest: Manifest, job_id: str, base: _Base, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """What schemas/jobspec.schema.json wants and is known before a launch, but the inputs."""
    body = manifest.body
    spec = {
        "version": canonical.SHIM_CONTRACT,
        "job_id": job_id,
        "address": manifest.address,
        "owner": settings.name,
        "region": settings.region,
        "work_root": body.get("workRoot") or "/",
        **{name: body[name] for name in ("command", "script", "entrypoint") if body.get(name) is not None},
        "environment": dict(body.get("environment") or {}),
        "stop_timeout": base.container["stopTimeout"],
        "task": _task(base, overrides),
        "image": {"base_digest": base.base_digest, "layer_digest": base.layer_digest},
        "outputs": {
            name: {
                "kind": _output_kind(output["path"]),
                "path": output["path"].rstrip("/"),
                "optional": bool(output.get("optional", False)),
            }
            for name, output in _outputs(body).items()
        },
    }
    if again := body.get("restart"):
        spec["restart"] = {
            "exit_codes": again["exitCodes"],
            "attempts": again["attempts"],
            "backoff": again["backoff"],
        }
    return spec | ({"timeout": body["timeout"]} if body.get("timeout") else {})


def _output_kind(path: str) -> str:
    """folder, glob or file, as an output's path is written."""
    if path.endswith("/"):
        return "folder"
    return "glob" if any(mark in path for mark in "*?[") else "file"


def _size(base: _Base, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The task's cpu units and MiB, the container's own limit in MiB, and whether Fargate's sizes hold."""
    definition = base.definition
    sizes = {name: overrides.get(name) or definition.get(name) for name in ("cpu", "memory")}
    size: dict[str, Any] = {name: int(value) for name, value in sizes.items() if value}
    if limit := base.container.get("memory"):
        size["limit"] = int(limit)
    return size | {"fargate": "FARGATE" in definition.get("requiresCompatibilities", ())}


def _task(base: _Base, overrides: Mapping[str, Any]) -> dict[str, int]:
    """What {task.threads} and {task.memory_mb} say: the task's size; the container's hard limit where it has one."""
    cpu = overrides.get("cpu") or base.definition.get("cpu") or base.container.get("cpu")
    whole = overrides.get("memory") or base.definition.get("memory")
    limits = [int(size) for size in (whole, base.container.get("memory")) if size]
    task = {"threads": max(1, int(cpu) // 1024)} if cpu else {}
    return task | ({"memory_mb": min(limits)} if limits else {})


# Inputs


def _inputs(ground: _Ground, manifest: Manifest) -> layout.Gathered:
    given = layout.Gathered()
    root = str(manifest.body.get("workRoot") or "/").rstrip("/") + "/input/"
    known = layout.Known(ground.facts, ground.made, root)
    paths: dict[str, list[str]] = {}
    for wish in inputs.wishes(manifest.body):
        try:
            paths[wish.name] = layout.gather(wish, known, given)
        except BunniesError as error:
            _fail(manifest, f"input {wish.name}: {error}", "inputs", wish.name)
    if wrong := layout.clashes(paths):
        raise ManifestError([Problem(manifest.at("inputs"), manifest.address, what) for what in wrong])
    return given
