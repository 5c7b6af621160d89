"""Every operation of AWS that the code calls, and the actions of IAM that it takes.

Job: hold the two together; tests/contract/test_permissions.py reads the calls out of the code. Input and output:
none, data. Must not: build an ARN. Actions, and which of them know resources:
https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from reconciler.permissions import scopes
from reconciler.permissions.statements import Grant, Scope


@dataclass(frozen=True, slots=True)
class Use:
    """Which commands make a call, and what it takes."""

    by: tuple[str, ...]
    grants: tuple[Grant, ...]


def _use(by: str, action: str, *where: Scope, also: Iterable[Grant] = ()) -> Use:
    return Use(tuple(by.split()), (*(Grant((action,), one) for one in where), *also))


_PULL: Final = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_PUSH: Final = (
    *_PULL,
    "ecr:CompleteLayerUpload",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)
_PASS: Final = (Grant(("iam:PassRole",), scopes.passed_roles), Grant(("iam:PassRole",), scopes.volume_roles))
_READ_REPOSITORY: Final = (scopes.wanted_repositories, scopes.our_repositories)

OPERATIONS: Final[dict[tuple[str, str], Use]] = {
    # Nobody can be denied this one.
    ("sts", "GetCallerIdentity"): Use(("plan", "verify", "bootstrap"), ()),
    ("resourcegroupstaggingapi", "GetResources"): _use("plan", "tag:GetResources", scopes.everything),
    # What the token is for: the registry's own protocol, spoken by us and by the Docker engine.
    ("ecr", "GetAuthorizationToken"): _use(
        "plan verify",
        "ecr:GetAuthorizationToken",
        scopes.everything,
        also=(Grant(_PULL, scopes.base_repositories), Grant(_PULL, scopes.image_repositories)),
    ),
    ("ecr", "DescribeRepositories"): _use("plan verify", "ecr:DescribeRepositories", scopes.every_repository),
    ("ecr", "ListTagsForResource"): _use("plan", "ecr:ListTagsForResource", *_READ_REPOSITORY),
    ("ecr", "GetLifecyclePolicy"): _use("plan", "ecr:GetLifecyclePolicy", *_READ_REPOSITORY),
    ("ecr", "GetRepositoryPolicy"): _use("plan", "ecr:GetRepositoryPolicy", *_READ_REPOSITORY),
    ("ecr", "BatchGetImage"): _use("plan", "ecr:BatchGetImage", scopes.image_repositories),
    ("ecr", "DescribeImages"): _use("plan", "ecr:DescribeImages", scopes.image_repositories),
    ("ecr", "CreateRepository"): _use(
        "apply",
        "ecr:CreateRepository",
        scopes.managed_repositories,
        also=(Grant(_PUSH, scopes.image_repositories),),
    ),
    ("ecr", "PutImageTagMutability"): _use("apply", "ecr:PutImageTagMutability", scopes.managed_repositories),
    ("ecr", "PutImageScanningConfiguration"): _use(
        "apply", "ecr:PutImageScanningConfiguration", scopes.managed_repositories
    ),
    ("ecr", "PutLifecyclePolicy"): _use("apply", "ecr:PutLifecyclePolicy", scopes.managed_repositories),
    ("ecr", "DeleteLifecyclePolicy"): _use("apply", "ecr:DeleteLifecyclePolicy", scopes.managed_repositories),
    ("ecr", "SetRepositoryPolicy"): _use("apply", "ecr:SetRepositoryPolicy", scopes.managed_repositories),
    ("ecr", "DeleteRepositoryPolicy"): _use(
        "apply", "ecr:DeleteRepositoryPolicy", scopes.managed_repositories
    ),
    ("ecr", "TagResource"): _use("apply", "ecr:TagResource", scopes.managed_repositories),
    ("ecr", "UntagResource"): _use("apply", "ecr:UntagResource", scopes.managed_repositories),
    # Only --prune deletes, and only what carries our tag.
    ("ecr", "DeleteRepository"): _use("apply", "ecr:DeleteRepository", scopes.our_repositories),
    ("ecs", "ListTaskDefinitions"): _use("plan", "ecs:ListTaskDefinitions", scopes.everything),
    ("ecs", "DescribeTaskDefinition"): _use("plan", "ecs:DescribeTaskDefinition", scopes.everything),
    ("ecs", "RegisterTaskDefinition"): _use(
        "apply",
        "ecs:RegisterTaskDefinition",
        scopes.new_task_definitions,
        also=(Grant(("ecs:TagResource",), scopes.families), *_PASS),
    ),
    ("ecs", "DeregisterTaskDefinition"): _use("apply", "ecs:DeregisterTaskDefinition", scopes.everything),
    ("ecs", "TagResource"): _use("apply", "ecs:TagResource", scopes.families),
    ("ecs", "UntagResource"): _use("apply", "ecs:UntagResource", scopes.families, scopes.our_families),
    ("ecs", "RunTask"): _use(
        "apply",
        "ecs:RunTask",
        scopes.families_in_our_cluster,
        also=(Grant(("ecs:TagResource",), scopes.tasks_of_our_cluster), *_PASS),
    ),
    ("ecs", "ListTasks"): _use(
        "plan", "ecs:ListTasks", scopes.listing_of_our_cluster, scopes.looking_for_users_of_revisions
    ),
    ("ecs", "DescribeTasks"): _use(
        "plan", "ecs:DescribeTasks", scopes.tasks_of_our_cluster, scopes.looking_for_users_of_revisions
    ),
    ("ecs", "ListClusters"): _use("plan", "ecs:ListClusters", scopes.looking_for_users_of_revisions),
    ("ecs", "ListServices"): _use("plan", "ecs:ListServices", scopes.looking_for_users_of_revisions),
    ("ecs", "DescribeServices"): _use("plan", "ecs:DescribeServices", scopes.looking_for_users_of_revisions),
    ("ecs", "ListTagsForResource"): _use(
        "plan", "ecs:ListTagsForResource", scopes.families, scopes.our_families
    ),
    ("ecs", "StopTask"): _use("apply", "ecs:StopTask", scopes.tasks_of_our_cluster),
    ("ecs", "DescribeClusters"): _use("bootstrap verify", "ecs:DescribeClusters", scopes.our_cluster),
    ("ecs", "CreateCluster"): _use(
        "bootstrap",
        "ecs:CreateCluster",
        scopes.everything,
        also=(Grant(("iam:CreateServiceLinkedRole",), scopes.role_of_ecs),),
    ),
    ("logs", "GetLogEvents"): _use("plan", "logs:GetLogEvents", scopes.log_groups),
    ("logs", "DescribeLogGroups"): _use("bootstrap verify", "logs:DescribeLogGroups", scopes.every_log_group),
    ("logs", "CreateLogGroup"): _use("bootstrap", "logs:CreateLogGroup", scopes.new_log_groups),
    ("s3", "GetObject"): _use("plan", "s3:GetObject", scopes.our_prefix),
    ("s3", "HeadObject"): _use(
        "plan",
        "s3:GetObject",
        scopes.inputs_of_jobs,
        scopes.published_outputs,
        also=(Grant(("s3:ListBucket",), scopes.listings),),
    ),
    ("s3", "ListObjectsV2"): _use("plan", "s3:ListBucket", scopes.listings),
    ("s3", "PutObject"): _use("apply", "s3:PutObject", scopes.our_prefix),
    # Only `bunnies clean` deletes, and only outputs.
    ("s3", "DeleteObjects"): _use("apply", "s3:DeleteObject", scopes.our_outputs),
    ("s3", "CopyObject"): _use("apply", "s3:PutObject", scopes.published_outputs),
    ("s3", "CreateMultipartUpload"): _use("apply", "s3:PutObject", scopes.published_outputs),
    ("s3", "UploadPartCopy"): _use("apply", "s3:PutObject", scopes.published_outputs),
    ("s3", "CompleteMultipartUpload"): _use("apply", "s3:PutObject", scopes.published_outputs),
    ("s3", "AbortMultipartUpload"): _use("apply", "s3:AbortMultipartUpload", scopes.published_outputs),
    ("s3", "HeadBucket"): _use("bootstrap verify", "s3:ListBucket", scopes.our_bucket, scopes.other_buckets),
    ("s3", "GetPublicAccessBlock"): _use(
        "bootstrap verify", "s3:GetBucketPublicAccessBlock", scopes.our_bucket
    ),
    ("s3", "GetBucketEncryption"): _use(
        "bootstrap verify", "s3:GetEncryptionConfiguration", scopes.our_bucket
    ),
    ("iam", "GetRole"): _use("verify", "iam:GetRole", scopes.every_role),
    ("secretsmanager", "DescribeSecret"): _use("verify", "secretsmanager:DescribeSecret", scopes.secrets),
    ("ssm", "GetParameters"): _use("verify", "ssm:GetParameters", scopes.parameters),
    ("kms", "DescribeKey"): _use("verify", "kms:DescribeKey", scopes.every_key),
    ("ec2", "DescribeSubnets"): _use("verify", "ec2:DescribeSubnets", scopes.everything),
    ("ec2", "DescribeSecurityGroups"): _use("verify", "ec2:DescribeSecurityGroups", scopes.everything),
    ("ec2", "DescribeRouteTables"): _use("verify", "ec2:DescribeRouteTables", scopes.everything),
    ("ec2", "DescribeVpcEndpoints"): _use("verify", "ec2:DescribeVpcEndpoints", scopes.everything),
    ("efs", "DescribeFileSystems"): _use(
        "verify", "elasticfilesystem:DescribeFileSystems", scopes.file_systems
    ),
    ("efs", "DescribeMountTargets"): _use(
        "verify", "elasticfilesystem:DescribeMountTargets", scopes.file_systems
    ),
    ("efs", "DescribeAccessPoints"): _use(
        "verify", "elasticfilesystem:DescribeAccessPoints", scopes.file_systems, scopes.access_points
    ),
    ("s3", "CreateBucket"): _use("bootstrap", "s3:CreateBucket", scopes.our_bucket),
    ("s3", "PutPublicAccessBlock"): _use("bootstrap", "s3:PutBucketPublicAccessBlock", scopes.our_bucket),
    ("s3", "PutBucketEncryption"): _use("bootstrap", "s3:PutEncryptionConfiguration", scopes.our_bucket),
}


def grants(commands: Iterable[str]) -> Iterator[Grant]:
    """What these commands' calls take."""
    wanted = set(commands)
    for use in OPERATIONS.values():
        if wanted.intersection(use.by):
            yield from use.grants


def actions(service: str, operation: str) -> tuple[str, ...]:
    """The actions that make an operation itself, without what its parameters may need besides; none where it is free."""
    use = OPERATIONS[service, operation]
    return use.grants[0].actions if use.grants else ()


def named(operation: str) -> tuple[str, ...]:
    """The same for an operation whose service is not known, as an error names it."""
    found = {one for service, name in OPERATIONS if name == operation for one in actions(service, name)}
    return tuple(sorted(found))
