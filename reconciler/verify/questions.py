"""What has to be read of AWS to judge a set of manifests.

Job: from the manifests, and then from the first answers, to Questions. Input: Ground, Answers. Output: Questions, each
once. Must not: ask them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from reconciler.errors import BunniesError
from reconciler.model import Manifest
from reconciler.permissions.ground import Ground, secrets_of
from reconciler.verify.finding import Answers, Question

_NAMES_AT_ONCE: Final = 10  # GetParameters takes no more


def first(ground: Ground) -> list[Question]:
    """What the manifests alone say."""
    return sorted(set(_first(ground)))


def second(answers: Answers) -> list[Question]:
    """What the first answers point to: VPCs, keys."""
    return sorted(set(_second(answers)))


def bucket_names(ground: Ground) -> list[str]:
    """Our bucket, then every other that is read or published to."""
    others = {*ground.sources(), *ground.targets()} - {ground.settings.bucket}
    return [ground.settings.bucket, *sorted(others)]


def secret_arns(ground: Ground) -> list[str]:
    """The secrets of Secrets Manager, without key, stage and version."""
    return [arn for arn in ground.secrets() if ":secretsmanager:" in arn]


def parameter_names(ground: Ground) -> list[str]:
    """The parameters of the Parameter Store, as written; those of this account and region by their names."""
    here = ground.arn("ssm", "parameter/")
    names = {one for one in _values(ground) if ":secretsmanager:" not in one}
    return sorted("/" + one.removeprefix(here) if one.startswith(here) else one for one in names)


def file_systems(ground: Ground) -> list[tuple[str, str, str]]:
    """(task definition's address, file system, access point or "") of every EFS volume."""
    found = []
    for manifest in ground.manifests.of("TaskDefinition"):
        for volume in manifest.body.get("volumes") or ():
            if efs := volume.get("efsVolumeConfiguration"):
                point = (efs.get("authorizationConfig") or {}).get("accessPointId", "")
                found.append((manifest.address, str(efs["fileSystemId"]), str(point)))
    return found


def platform_of(definition: Manifest) -> str:
    """The platform that a task definition's containers run on, as Docker names it."""
    runtime = definition.body.get("runtimePlatform") or {}
    system = (
        "windows" if str(runtime.get("operatingSystemFamily", "LINUX")).startswith("WINDOWS") else "linux"
    )
    return f"{system}/{'arm64' if runtime.get('cpuArchitecture') == 'ARM64' else 'amd64'}"


def uses_awsvpc(ground: Ground) -> bool:
    """Whether any task has a network interface of its own."""
    definitions = ground.manifests.of("TaskDefinition")
    return any(one.body.get("networkMode") == "awsvpc" for one in definitions)


def _values(ground: Ground) -> Iterator[str]:
    for _, container in ground.containers():
        yield from secrets_of(container)


def _first(ground: Ground) -> Iterator[Question]:
    yield Question("cluster", (ground.settings.cluster,))
    for name in bucket_names(ground):
        yield Question("bucket", (name,))
    yield Question("public access block", (ground.settings.bucket,))
    yield Question("encryption", (ground.settings.bucket,))
    for arn in ground.log_groups():
        if arn.split(":")[3] == ground.settings.region:
            yield Question("log group", (arn.partition(":log-group:")[2],))
    for arn in (*ground.passed_roles(), *ground.volume_roles()):
        yield Question("role", (arn.rpartition("/")[2],))
    for arn in secret_arns(ground):
        if arn.split(":")[3] == ground.settings.region:
            yield Question("secret", (arn,))
    names = parameter_names(ground)
    for start in range(0, len(names), _NAMES_AT_ONCE):
        yield Question("parameters", tuple(names[start : start + _NAMES_AT_ONCE]))
    for image in ground.manifests.of("Image"):
        yield Question("image", (image.address,))
    for definition, container in ground.containers():
        if isinstance(text := container.get("image"), str):
            yield Question("reference", (text, platform_of(definition)))
    for repository in ground.manifests.of("Repository"):
        if key := (repository.body.get("encryptionConfiguration") or {}).get("kmsKey"):
            yield Question("key", (str(key),))
    yield from _network(ground)


def _network(ground: Ground) -> Iterator[Question]:
    network = ground.settings.network
    if uses_awsvpc(ground):
        if subnets := network.get("subnets"):
            yield Question("subnets", tuple(sorted(set(subnets))))
        if groups := network.get("securityGroups"):
            yield Question("security groups", tuple(sorted(set(groups))))
    for _, system, point in file_systems(ground):
        yield Question("file system", (system,))
        yield Question("mount targets", (system,))
        if point:
            yield Question("access point", (point,))


def _second(answers: Answers) -> Iterator[Question]:
    for question, answer in answers.given.items():
        if isinstance(answer, BunniesError) or answer is None:
            continue
        match question.what:
            case "subnets":
                for vpc in sorted({subnet["VpcId"] for subnet in answer}):
                    yield Question("route tables", (vpc,))
                    yield Question("endpoints", (vpc,))
            case "secret":
                yield from _key(answer.get("KmsKeyId"))
            case "encryption":
                yield from _key(encryption_key(answer))


def encryption_key(answer: Any) -> str | None:
    """The key of KMS that a bucket encrypts with by default, None where it is Amazon's own."""
    for rule in answer["ServerSideEncryptionConfiguration"].get("Rules", ()):
        by_default = rule.get("ApplyServerSideEncryptionByDefault") or {}
        if by_default.get("SSEAlgorithm", "").startswith("aws:kms"):
            key: str | None = by_default.get("KMSMasterKeyID")
            return key
    return None


def _key(key: str | None) -> Iterable[Question]:
    return [Question("key", (key,))] if key and "alias/aws/" not in key else []
