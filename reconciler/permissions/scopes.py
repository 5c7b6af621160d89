"""The resources that grants are about; each function's name is a Sid.

Job: from Ground to ARNs and conditions. Input: Ground. Output: Wheres. Must not: name an action.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from reconciler.kinds import ownership
from reconciler.permissions.ground import Ground, Keys, folders
from reconciler.permissions.statements import Where

# Amazon ECR


def everything(ground: Ground) -> Iterator[Where]:
    """`*`, for actions that know no resource."""
    yield Where(("*",))


def every_repository(ground: Ground) -> Iterator[Where]:
    """All repositories of the account: DescribeRepositories without names lists them."""
    yield Where((ground.arn("ecr", "repository/*"),))


def wanted_repositories(ground: Ground) -> Iterator[Where]:
    """Those of the manifests, the external ones too."""
    yield Where(ground.repositories(managed=False))


def managed_repositories(ground: Ground) -> Iterator[Where]:
    """Those of the manifests that are ours to change."""
    yield Where(ground.repositories(managed=True))


def our_repositories(ground: Ground) -> Iterator[Where]:
    """Those that carry our owner tag, in the manifests or not."""
    yield Where((ground.arn("ecr", "repository/*"),), _tagged(ground, "ResourceTag"))


def image_repositories(ground: Ground) -> Iterator[Where]:
    """Those that shimmed images are pushed to."""
    yield Where(ground.image_repositories())


def base_repositories(ground: Ground) -> Iterator[Where]:
    """Those in ECR that images are made from."""
    yield Where(ground.bases())


# Amazon ECS


def new_task_definitions(ground: Ground) -> Iterator[Where]:
    """What is registered with our owner tag; registering knows no resource."""
    if ground.manifests.of("TaskDefinition"):
        yield Where(("*",), _tagged(ground, "RequestTag"))


def families(ground: Ground) -> Iterator[Where]:
    """Every revision of the families of the manifests."""
    yield Where(_families(ground))


def our_families(ground: Ground) -> Iterator[Where]:
    """Revisions that carry our owner tag, in the manifests or not: what --prune deregisters."""
    yield Where((ground.arn("ecs", "task-definition/*:*"),), _tagged(ground, "ResourceTag"))


def families_in_our_cluster(ground: Ground) -> Iterator[Where]:
    """The same, run in our cluster alone."""
    yield Where(_families(ground) if ground.manifests.of("Job") else (), _in_cluster(ground))


def our_cluster(ground: Ground) -> Iterator[Where]:
    """The cluster."""
    yield Where((ground.arn("ecs", f"cluster/{_cluster(ground)}"),))


def tasks_of_our_cluster(ground: Ground) -> Iterator[Where]:
    """Its tasks."""
    yield Where((ground.arn("ecs", f"task/{_cluster(ground)}/*"),))


def listing_of_our_cluster(ground: Ground) -> Iterator[Where]:
    """Listing its tasks."""
    yield Where(("*",), _in_cluster(ground))


def looking_for_users_of_revisions(ground: Ground) -> Iterator[Where]:
    """Every cluster, where keepRevisions asks whether an older revision is still used."""
    if any("keepRevisions" in one.body for one in ground.manifests.of("TaskDefinition")):
        yield Where(("*",))


def passed_roles(ground: Ground) -> Iterator[Where]:
    """The roles that are handed to tasks, and to nothing else."""
    yield Where(ground.passed_roles(), {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}})


def volume_roles(ground: Ground) -> Iterator[Where]:
    """The roles that ECS makes EBS volumes with."""
    yield Where(ground.volume_roles(), {"StringEquals": {"iam:PassedToService": "ecs.amazonaws.com"}})


def every_role(ground: Ground) -> Iterator[Where]:
    """All roles that the manifests name."""
    yield Where((*ground.passed_roles(), *ground.volume_roles()))


def role_of_ecs(ground: Ground) -> Iterator[Where]:
    """The service-linked role that an account's first cluster brings about."""
    yield Where(
        (ground.arn("iam", "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS*", ""),),
        {"StringEquals": {"iam:AWSServiceName": "ecs.amazonaws.com"}},
    )


# What task definitions name of other services


def secrets(ground: Ground) -> Iterator[Where]:
    """Secrets of Secrets Manager."""
    yield Where(tuple(arn for arn in ground.secrets() if ":secretsmanager:" in arn))


def parameters(ground: Ground) -> Iterator[Where]:
    """Parameters of the Parameter Store."""
    yield Where(tuple(arn for arn in ground.secrets() if ":ssm:" in arn))


def every_key(ground: Ground) -> Iterator[Where]:
    """All keys: which one a bucket or a secret has is not in the manifests."""
    yield Where((ground.arn("kms", "key/*"),))


def file_systems(ground: Ground) -> Iterator[Where]:
    """File systems of EFS."""
    names = sorted({name for name, _ in ground.file_systems()})
    yield Where(tuple(ground.arn("elasticfilesystem", f"file-system/{name}") for name in names))


def access_points(ground: Ground) -> Iterator[Where]:
    """Access points of EFS."""
    names = sorted({point for _, point in ground.file_systems() if point})
    yield Where(tuple(ground.arn("elasticfilesystem", f"access-point/{name}") for name in names))


# CloudWatch Logs


def every_log_group(ground: Ground) -> Iterator[Where]:
    """DescribeLogGroups takes a prefix, which no ARN can say."""
    regions = {arn.split(":")[3] for arn in ground.log_groups()}
    yield Where(tuple(ground.arn("logs", "log-group:*", region) for region in sorted(regions)))


def log_groups(ground: Ground) -> Iterator[Where]:
    """Those that the manifests name."""
    yield Where(tuple(f"{arn}:*" for arn in ground.log_groups()))


def new_log_groups(ground: Ground) -> Iterator[Where]:
    """The same as CreateLogGroup names them, with and without what is in them."""
    yield Where(tuple(form for arn in ground.log_groups() for form in (arn, f"{arn}:*")))


# Amazon S3


def our_bucket(ground: Ground) -> Iterator[Where]:
    """The bucket itself."""
    yield Where((ground.bucket(ground.settings.bucket),))


def other_buckets(ground: Ground) -> Iterator[Where]:
    """The buckets that jobs read from and publish to."""
    yield Where(tuple(ground.bucket(name) for name in sorted({*ground.sources(), *ground.targets()})))


def our_prefix(ground: Ground) -> Iterator[Where]:
    """Ledger, logs, outputs and plans."""
    yield Where(ground.s3(_ours(ground)))


def our_outputs(ground: Ground) -> Iterator[Where]:
    """What jobs made, not what the ledger says of it."""
    yield Where(ground.s3({ground.settings.bucket: (f"{ground.settings.prefix}/outputs/*",)}))


def inputs_of_jobs(ground: Ground) -> Iterator[Where]:
    """What jobs read besides each other's outputs."""
    yield Where(ground.s3(ground.sources()))


def published_outputs(ground: Ground) -> Iterator[Where]:
    """Where outputs are published to."""
    yield Where(ground.s3(ground.targets()))


def listings(ground: Ground) -> Iterator[Where]:
    """Every bucket that is read, its folders that matter."""
    yield from listed(ground, _ours(ground), ground.sources(), ground.targets())


def listed(ground: Ground, *places: Keys) -> Iterator[Where]:
    """Listing buckets, held to the folders of these keys.

    Without s3:ListBucket S3 answers 403 for an object that is not there. That question carries no s3:prefix, hence
    IfExists. https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    """
    together: dict[str, set[str]] = defaultdict(set)
    for place in places:
        for bucket, keys in place.items():
            together[bucket].update(folders(keys))
    for bucket, prefixes in sorted(together.items()):
        condition: Mapping[str, Mapping[str, list[str]]] = {
            "StringLikeIfExists": {"s3:prefix": sorted(prefixes)}
        }
        yield Where((ground.bucket(bucket),), {} if "*" in prefixes else condition)


def _ours(ground: Ground) -> Keys:
    return {ground.settings.bucket: (f"{ground.settings.prefix}/*",)}


def _families(ground: Ground) -> tuple[str, ...]:
    names = sorted(manifest.name for manifest in ground.manifests.of("TaskDefinition"))
    return tuple(ground.arn("ecs", f"task-definition/{name}:*") for name in names)


def _cluster(ground: Ground) -> str:
    return ground.settings.cluster.rpartition("/")[2]  # a name, or an ARN


def _in_cluster(ground: Ground) -> dict[str, dict[str, str]]:
    return {"ArnEquals": {"ecs:cluster": ground.arn("ecs", f"cluster/{_cluster(ground)}")}}


def _tagged(ground: Ground, key: str) -> dict[str, dict[str, str]]:
    return {"StringEquals": {f"aws:{key}/{ownership.OWNER}": ground.settings.name}}
