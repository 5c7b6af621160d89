"""What a set of manifests stands on: the bucket, the cluster and the log groups that it names.

Job: say which of them are there, and create one that is not. Input: ManifestSet, Aws. Output: Place. Must not:
print, change or delete what is there, or create what is someone else's to decide (networks, roles, repositories).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.aws import Aws, parallel
from reconciler.errors import AwsError, BunniesError
from reconciler.model import ManifestSet

# Answers that mean "someone was faster", which is what we wanted.
_DONE = ("BucketAlreadyOwnedByYou", "ResourceAlreadyExistsException")
_ABSENT = (
    "404",
    "NoSuchBucket",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
)
_PRIVATE = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


@dataclass(frozen=True, slots=True)
class Place:
    """One thing that must be there; `kind` is cluster, bucket, public access block, encryption or log group."""

    kind: str
    name: str
    there: bool = False

    def __str__(self) -> str:
        """`KIND NAME`."""
        return f"{self.kind} {self.name}"


def wanted(manifests: ManifestSet) -> tuple[Place, ...]:
    """The places that the manifests name, none of them looked for yet; a bucket before what is set on it. Pure.

    A log group in another region than Settings.region is left to whoever looks after that region.
    """
    settings = manifests.settings
    on_bucket = [Place(kind, settings.bucket) for kind in ("bucket", "public access block", "encryption")]
    groups = sorted(
        {
            group
            for manifest in manifests.of("TaskDefinition")
            for group in _groups(manifest.body, settings.region)
        }
    )
    return (*on_bucket, Place("cluster", settings.cluster), *(Place("log group", name) for name in groups))


def survey(aws: Aws, places: Iterable[Place]) -> tuple[Place, ...]:
    """The same places, `there` filled in. Raises AwsError; BunniesError where the bucket is another account's."""
    return tuple(parallel(lambda place: replace(place, there=_is_there(aws, place)), places))


def create(aws: Aws, place: Place) -> None:
    """Create one place; no error where it has come to be there meanwhile. Raises AwsError."""
    try:
        _create(aws, place)
    except AwsError as error:
        if error.code not in _DONE:
            raise


def _groups(body: Mapping[str, Any], region: str) -> Iterable[str]:
    for container in body.get("containerDefinitions") or ():
        log = container.get("logConfiguration") or {}
        options = log.get("options") or {}
        group = options.get("awslogs-group")
        here = options.get("awslogs-region", region) == region
        if log.get("logDriver") == "awslogs" and isinstance(group, str) and here:
            yield group


def _is_there(aws: Aws, place: Place) -> bool:
    match place.kind:
        case "cluster":
            found = aws.call("ecs", "DescribeClusters", clusters=[place.name])["clusters"]
            return any(cluster.get("status") == "ACTIVE" for cluster in found)
        case "log group":
            pages = aws.pages("logs", "DescribeLogGroups", logGroupNamePrefix=place.name)
            return any(group["logGroupName"] == place.name for page in pages for group in page["logGroups"])
    try:
        return _has(aws, place)
    except AwsError as error:
        if error.code in _ABSENT or error.status == 404:
            return False
        if place.kind == "bucket" and error.status in (301, 403):
            raise BunniesError(
                f"the bucket {place.name} is there, and these credentials may not use it here "
                f"({error.code}). Bucket names are shared by all of AWS: choose another Settings.bucket, "
                "or ask its owner for access."
            ) from None
        raise


def _has(aws: Aws, place: Place) -> bool:
    """Whether the bucket has it; AwsError with one of _ABSENT where not."""
    if place.kind == "bucket":
        aws.call("s3", "HeadBucket", Bucket=place.name)
        return True
    if place.kind == "public access block":
        found = aws.call("s3", "GetPublicAccessBlock", Bucket=place.name)
        return all(found["PublicAccessBlockConfiguration"].get(key) for key in _PRIVATE)
    aws.call("s3", "GetBucketEncryption", Bucket=place.name)
    return True


def _create(aws: Aws, place: Place) -> None:
    match place.kind:
        case "cluster":
            # So that a job may ask for Spot by capacityProviderStrategy.
            providers = ["FARGATE", "FARGATE_SPOT"]
            aws.call("ecs", "CreateCluster", clusterName=place.name, capacityProviders=providers)
        case "log group":
            aws.call("logs", "CreateLogGroup", logGroupName=place.name)
        case "bucket":
            # us-east-1 is the one region that CreateBucket refuses to be told (S3 API reference).
            elsewhere: dict[str, Any] = (
                {}
                if aws.region == "us-east-1"
                else {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
            )
            aws.call("s3", "CreateBucket", Bucket=place.name, **elsewhere)
        case "public access block":
            aws.call("s3", "PutPublicAccessBlock", Bucket=place.name, PublicAccessBlockConfiguration=_PRIVATE)
        case "encryption":
            rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            rules = {"Rules": [rule]}
            aws.call(
                "s3",
                "PutBucketEncryption",
                Bucket=place.name,
                ServerSideEncryptionConfiguration=rules,
            )
