"""What the manifests name, as ARNs.

Job: from ManifestSet to the names of repositories, families, log groups, roles and S3 places that policies speak of.
Input: ManifestSet. Output: Ground and patterns of S3 keys. Must not: know an action of IAM, or ask AWS.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler import registry
from reconciler.canonical.ecr import partition_in
from reconciler.errors import BunniesError
from reconciler.kinds import inputs
from reconciler.model import Manifest, ManifestSet, Ref, Settings

_ECR: Final = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_SECRET_PARTS: Final = 7  # arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, then :KEY:STAGE:VERSION
_FEW: Final = 3  # keys of one folder that are named one by one
_MOST: Final = 40  # patterns for one bucket: a managed policy has at most 6,144 characters

Keys = Mapping[str, tuple[str, ...]]
"""Bucket → patterns of keys in it."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The manifests, and the account that they are for."""

    manifests: ManifestSet
    account: str

    @property
    def settings(self) -> Settings:
        """The Settings."""
        return self.manifests.settings

    @property
    def partition(self) -> str:
        """aws, aws-cn or aws-us-gov."""
        return partition_in(self.settings.region)

    def arn(self, service: str, name: str, region: str | None = None, account: str | None = None) -> str:
        """The ARN of something in the Settings' region and account, unless others are given."""
        region = self.settings.region if region is None else region
        return f"arn:{self.partition}:{service}:{region}:{account or self.account}:{name}"

    def s3(self, places: Keys) -> tuple[str, ...]:
        """ARNs of objects."""
        return tuple(
            f"arn:{self.partition}:s3:::{bucket}/{key}"
            for bucket, keys in sorted(places.items())
            for key in keys
        )

    def bucket(self, name: str) -> str:
        """ARN of a bucket."""
        return f"arn:{self.partition}:s3:::{name}"

    def repositories(self, *, managed: bool) -> tuple[str, ...]:
        """ARNs of the Repository manifests; `managed` leaves out those that are external."""
        found = [
            self.arn("ecr", f"repository/{one.name}")
            for one in self.manifests.of("Repository")
            if not (managed and one.body.get("external"))
        ]
        return tuple(sorted(found))

    def image_repositories(self) -> tuple[str, ...]:
        """ARNs of the repositories that shimmed images are pushed to."""
        names = {repository_of(image) for image in self.manifests.of("Image")}
        return tuple(self.arn("ecr", f"repository/{name}") for name in sorted(names))

    def bases(self) -> tuple[str, ...]:
        """ARNs of the repositories in ECR that images are made from."""
        found = {self.ecr(str(one.body["from"])) for one in self.manifests.of("Image") if "from" in one.body}
        return tuple(sorted(arn for arn in found if arn))

    def ecr(self, reference: str) -> str | None:
        """The ARN of the repository that a reference names, None where that is no ECR."""
        try:
            parsed = registry.parse(reference)
        except ValueError:
            return None
        found = _ECR.fullmatch(parsed.host)
        return self.arn("ecr", f"repository/{parsed.path}", found[2], found[1]) if found else None

    def containers(self) -> Iterator[tuple[Manifest, Mapping[str, Any]]]:
        """Every container definition, with the TaskDefinition that it is in."""
        for manifest in self.manifests.of("TaskDefinition"):
            for container in manifest.body.get("containerDefinitions") or ():
                yield manifest, container

    def log_groups(self) -> tuple[str, ...]:
        """ARNs of the log groups that the awslogs driver is given, without a closing `:*`."""
        found = set()
        for _, container in self.containers():
            options = awslogs(container)
            if isinstance(group := options.get("awslogs-group"), str):
                region = options.get("awslogs-region", self.settings.region)
                found.add(self.arn("logs", f"log-group:{group}", str(region)))
        return tuple(sorted(found))

    def secrets(self) -> tuple[str, ...]:
        """ARNs of the secrets and parameters that containers are given."""
        found = {secret_arn(self, one) for _, container in self.containers() for one in secrets_of(container)}
        return tuple(sorted(found))

    def file_systems(self) -> tuple[tuple[str, str], ...]:
        """(file system, access point or "") of every EFS volume."""
        volumes = [
            volume["efsVolumeConfiguration"]
            for manifest in self.manifests.of("TaskDefinition")
            for volume in manifest.body.get("volumes") or ()
            if volume.get("efsVolumeConfiguration")
        ]
        found = {
            (
                str(efs["fileSystemId"]),
                str((efs.get("authorizationConfig") or {}).get("accessPointId", "")),
            )
            for efs in volumes
        }
        return tuple(sorted(found))

    def task_role(self, job: Manifest) -> str | None:
        """The role that a job's task runs with."""
        return self._role(job, "taskRoleArn", self.settings.task_role_arn)

    def execution_role(self, definition: Manifest) -> str | None:
        """The role that ECS launches a task definition with."""
        return definition.body.get("executionRoleArn") or self.settings.execution_role_arn

    def _role(self, job: Manifest, field: str, default: str | None) -> str | None:
        if given := job.body.get(field):
            return str(given)
        for one in self.manifests.of("TaskDefinition"):
            if one.name == job.body.get("taskDefinition") and (given := one.body.get(field)):
                return str(given)
        return default

    def passed_roles(self) -> tuple[str, ...]:
        """ARNs of every role that a task definition or a run hands to ECS's tasks."""
        bodies = [m.body for kind in ("TaskDefinition", "Job") for m in self.manifests.of(kind)]
        found = {body.get(field) for body in bodies for field in ("taskRoleArn", "executionRoleArn")}
        if self.manifests.of("TaskDefinition"):
            found |= {self.settings.task_role_arn, self.settings.execution_role_arn}
        return tuple(sorted(str(arn) for arn in found if arn))

    def volume_roles(self) -> tuple[str, ...]:
        """ARNs of the roles that ECS makes EBS volumes with."""
        found = {
            volume["managedEBSVolume"]["roleArn"]
            for job in self.manifests.of("Job")
            for volume in job.body.get("volumeConfigurations") or ()
            if (volume.get("managedEBSVolume") or {}).get("roleArn")
        }
        return tuple(sorted(found))

    def sources(self, jobs: Iterable[Manifest] | None = None) -> Keys:
        """The S3 objects that jobs (all of them, unless given) take as inputs, but for those of other jobs."""
        wanted = self.manifests.of("Job") if jobs is None else jobs
        urls = {
            source
            for job in wanted
            for wish in inputs.wishes(job.body)
            for source in wish.sources
            if isinstance(source, str)
        }
        return places(urls)

    def targets(self) -> Keys:
        """The S3 places that outputs are published to."""
        urls = set()
        for job in self.manifests.of("Job"):
            for output in (job.body.get("outputs") or {}).values():
                if not isinstance(output, Mapping) or not (target := output.get("publish")):
                    continue
                many = output["path"].endswith("/") or any(mark in output["path"] for mark in "*?[")
                urls.add(f"{target.rstrip('/')}/" if many else target)
        return places(urls)


def ground(manifests: ManifestSet) -> Ground:
    """The ground of these manifests; the account is that of Settings, else of a role that they name."""
    settings = manifests.settings
    if settings.account:
        return Ground(manifests, settings.account)
    for arn in Ground(manifests, "").passed_roles():
        if re.fullmatch(r"\d{12}", account := f"{arn}:::::".split(":")[4]):
            return Ground(manifests, account)
    raise BunniesError("the manifests do not say which account they are for. Write `account:` in Settings.")


def repository_of(image: Manifest) -> str:
    """The name of the repository that an Image manifest is pushed to."""
    name = image.body["repository"]
    return name.address.partition("/")[2] if isinstance(name, Ref) else str(name)


def awslogs(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a container's awslogs driver; none where it has another."""
    log = container.get("logConfiguration") or {}
    return (log.get("options") or {}) if log.get("logDriver") == "awslogs" else {}


def secrets_of(container: Mapping[str, Any]) -> Iterator[str]:
    """What a container definition names of Secrets Manager and the Parameter Store: `valueFrom`, as written."""
    log = container.get("logConfiguration") or {}
    for one in (*(container.get("secrets") or ()), *(log.get("secretOptions") or ())):
        if isinstance(one.get("valueFrom"), str):
            yield one["valueFrom"]
    credentials = (container.get("repositoryCredentials") or {}).get("credentialsParameter")
    if isinstance(credentials, str):
        yield credentials


def secret_arn(ground: Ground, value_from: str) -> str:
    """The ARN behind a `valueFrom`: a secret without its key, stage and version; a parameter by its name."""
    if ":secretsmanager:" in value_from:
        return ":".join(value_from.split(":")[:_SECRET_PARTS])
    if value_from.startswith("arn:"):
        return value_from
    return ground.arn("ssm", f"parameter/{value_from.lstrip('/')}")


def places(urls: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The urls as patterns of keys by bucket; what would be many is named by its folder."""
    keys: dict[str, set[str]] = defaultdict(set)
    for url in urls:
        if found := inputs.split(url):
            keys[found[0]].add(found[1])
    return {bucket: _patterns(names) for bucket, names in sorted(keys.items())}


def folders(keys: Iterable[str]) -> tuple[str, ...]:
    """The folders that patterns of keys are in, as values for s3:prefix."""
    return tuple(sorted({_below(posixpath.dirname(key)) for key in keys}))


def _patterns(keys: Iterable[str]) -> tuple[str, ...]:
    found: set[str] = set()
    together: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        if not key or key.endswith("/"):
            found.add(_plain(key) + "*")
        else:
            together[posixpath.dirname(key)].append(key)
    for folder, names in together.items():
        found |= {_plain(name) for name in names} if len(names) <= _FEW else {_below(_plain(folder))}
    while len(found) > _MOST:
        deepest = max(pattern.count("/") for pattern in found)
        found = {
            _below(posixpath.dirname(posixpath.dirname(pattern) if pattern.endswith("/*") else pattern))
            if pattern.count("/") == deepest
            else pattern
            for pattern in found
        }
    return tuple(sorted(one for one in found if not _covered(one, found)))


def _covered(pattern: str, others: Iterable[str]) -> bool:
    return any(
        other != pattern and other.endswith("*") and pattern.startswith(other[:-1]) for other in others
    )


def _below(folder: str) -> str:
    return f"{folder}/*" if folder else "*"


def _plain(key: str) -> str:
    """A key as IAM reads it literally. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html"""
    return re.sub(r"[$*?]", lambda sign: f"${{{sign[0]}}}", key)
