"""What a task may do, and what ECS may do to launch it.

Job: the policies of taskRoleArn (the shim's calls to S3, and what the task definition mounts) and of
executionRoleArn (images, logs, secrets). Input: Ground. Output: Grants. Must not: know the commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconciler.errors import BunniesError
from reconciler.model import Manifest, Ref
from reconciler.permissions import scopes
from reconciler.permissions.ground import (
    Ground,
    awslogs,
    places,
    repository_of,
    secret_arn,
    secrets_of,
)
from reconciler.permissions.statements import Grant, Scope, Where

_PULL: Final = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
SHIM: Final = {
    "get": ("s3:GetObject",),
    "put": ("s3:AbortMultipartUpload", "s3:PutObject"),  # large files in parts, given up where one fails
}
"""What the shim calls of its S3 library, and what it takes; tests/contract/test_permissions.py holds the two together."""

_EXEC: Final = tuple(
    f"ssmmessages:{verb}{what}Channel" for verb in ("Create", "Open") for what in ("Control", "Data")
)


def arns(name: str, ground: Ground) -> tuple[str, ...]:
    """The roles that the manifests name as `task` or `execution`, sorted."""
    if name == "task":
        found = {ground.task_role(job) for job in ground.manifests.of("Job")}
    else:
        found = {ground.execution_role(one) for one in ground.manifests.of("TaskDefinition")}
    return tuple(sorted(arn for arn in found if arn))


def grants(name: str, ground: Ground, role: str | None) -> Iterator[Grant]:
    """The grants of `task` or `execution`, of one role where `role` is given. Raises BunniesError for a stranger."""
    known = arns(name, ground)
    if role is not None and role not in known:
        named = ", ".join(known) or "none"
        raise BunniesError(f"the manifests name no {name} role {role}. They name: {named}.")
    if name == "task":
        jobs = [job for job in ground.manifests.of("Job") if role in (None, ground.task_role(job))]
        return _task(ground, jobs)
    definitions = [
        one for one in ground.manifests.of("TaskDefinition") if role in (None, ground.execution_role(one))
    ]
    return _execution(ground, definitions)


def _task(ground: Ground, jobs: list[Manifest]) -> Iterator[Grant]:
    """shim/init/s3.py: read JOBSPEC and inputs, create the fence and the result, upload outputs and logs."""
    if not jobs:
        return
    bucket, prefix = ground.settings.bucket, ground.settings.prefix
    attempts, outputs = f"{prefix}/jobs/*/attempts/*/", f"{prefix}/outputs/*"
    written = ("started.json", "result.json")
    logs = ("stdout.log", "stderr.log")
    sources = ground.sources(jobs)

    def attempt_documents(ground: Ground) -> Iterator[Where]:
        yield Where(ground.s3({bucket: tuple(attempts + name for name in ("jobspec.json", *written))}))

    def attempt_results(ground: Ground) -> Iterator[Where]:
        names = (*(attempts + name for name in (*written, *logs)), outputs)
        yield Where(ground.s3({bucket: names}))

    def outputs_of_jobs(ground: Ground) -> Iterator[Where]:
        yield Where(ground.s3({bucket: (outputs,)}))

    def inputs_of_jobs(ground: Ground) -> Iterator[Where]:
        yield Where(ground.s3(sources))

    def absent_documents(ground: Ground) -> Iterator[Where]:
        # So that "not there" is 404: after a conflict (409) the shim asks who won, and 403 would be an error.
        yield from scopes.listed(ground, {bucket: (f"{prefix}/jobs/*",)})

    yield Grant(SHIM["get"], attempt_documents)
    yield Grant(SHIM["put"], attempt_results)
    if any(_reads_jobs(job) for job in jobs):
        yield Grant(SHIM["get"], outputs_of_jobs)
    yield Grant(SHIM["get"], inputs_of_jobs)
    yield Grant(("s3:ListBucket",), absent_documents)
    if any(job.body.get("enableExecuteCommand") for job in jobs):
        yield Grant(_EXEC, scopes.everything)
    names = {job.body["taskDefinition"] for job in jobs}
    for definition in ground.manifests.of("TaskDefinition"):
        if definition.name in names:
            yield from _file_systems(definition)


def _reads_jobs(job: Manifest) -> bool:
    wishes = (job.body.get("inputs") or {}).values()
    sources = [wish["from"] if isinstance(wish, Mapping) else wish for wish in wishes]
    flat = [one for source in sources for one in (source if isinstance(source, (list, tuple)) else [source])]
    return any(isinstance(one, Ref) for one in flat)


def _file_systems(definition: Manifest) -> Iterator[Grant]:
    """EFS with IAM; what is mounted read-only everywhere is not written."""
    for volume in definition.body.get("volumes") or ():
        efs = volume.get("efsVolumeConfiguration") or {}
        access = efs.get("authorizationConfig") or {}
        if access.get("iam") != "ENABLED":
            continue
        mounts = [
            mount
            for container in definition.body.get("containerDefinitions") or ()
            for mount in container.get("mountPoints") or ()
            if mount.get("sourceVolume") == volume.get("name")
        ]
        reads = bool(mounts) and all(mount.get("readOnly") for mount in mounts)
        actions = ("elasticfilesystem:ClientMount", *(() if reads else ("elasticfilesystem:ClientWrite",)))
        yield Grant(actions, _file_system(str(efs["fileSystemId"]), access.get("accessPointId")))


def _file_system(name: str, access_point: Any) -> Scope:
    def file_systems(ground: Ground) -> Iterator[Where]:
        point = ground.arn("elasticfilesystem", f"access-point/{access_point}")
        condition = {"StringEquals": {"elasticfilesystem:AccessPointArn": point}} if access_point else {}
        yield Where((ground.arn("elasticfilesystem", f"file-system/{name}"),), condition)

    return file_systems


def _execution(ground: Ground, definitions: list[Manifest]) -> Iterator[Grant]:
    containers = [one for each in definitions for one in each.body.get("containerDefinitions") or ()]
    repositories = tuple(sorted({arn for one in containers if (arn := _image(ground, one.get("image")))}))
    secrets = sorted({secret_arn(ground, one) for container in containers for one in secrets_of(container)})
    files = places(
        f"s3://{one['value'].partition(':::')[2]}"
        for container in containers
        for one in container.get("environmentFiles") or ()
        if isinstance(one.get("value"), str)
    )
    logs = [options for container in containers if (options := awslogs(container))]

    def images_of_tasks(ground: Ground) -> Iterator[Where]:
        yield Where(repositories)

    def secrets_of_tasks(ground: Ground) -> Iterator[Where]:
        yield Where(tuple(arn for arn in secrets if ":secretsmanager:" in arn))

    def parameters_of_tasks(ground: Ground) -> Iterator[Where]:
        yield Where(tuple(arn for arn in secrets if ":ssm:" in arn))

    def environment_files(ground: Ground) -> Iterator[Where]:
        yield Where(ground.s3(files))

    def buckets_of_environment_files(ground: Ground) -> Iterator[Where]:
        yield Where(tuple(ground.bucket(bucket) for bucket in sorted(files)))

    if repositories:
        yield Grant(("ecr:GetAuthorizationToken",), scopes.everything)
    yield Grant(_PULL, images_of_tasks)
    if logs:
        yield Grant(("logs:CreateLogStream", "logs:PutLogEvents"), scopes.log_groups)
    if any(options.get("awslogs-create-group") == "true" for options in logs):
        yield Grant(("logs:CreateLogGroup",), scopes.new_log_groups)
    yield Grant(("secretsmanager:GetSecretValue",), secrets_of_tasks)
    yield Grant(("ssm:GetParameters",), parameters_of_tasks)
    yield Grant(("s3:GetObject",), environment_files)
    yield Grant(("s3:GetBucketLocation",), buckets_of_environment_files)


def _image(ground: Ground, image: Any) -> str | None:
    """The ARN of the repository that a container's image is in, None outside of ECR."""
    if isinstance(image, str):
        return ground.ecr(image)
    if isinstance(image, Ref):
        for one in ground.manifests.of("Image"):
            if one.address == image.address:
                return ground.arn("ecr", f"repository/{repository_of(one)}")
        return ground.arn("ecr", f"repository/{image.address.partition('/')[2]}")
    return None
