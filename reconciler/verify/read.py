"""The reads: the only module here that calls AWS.

Job: put each Question to the service that knows, all at once. Input: World, Questions. Output: Answers; an error is
an answer. Must not: judge one, or keep the value of a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from reconciler import aws as aws_
from reconciler.errors import BunniesError
from reconciler.kinds import World, bases, image
from reconciler.model import Manifest, ManifestSet, Source
from reconciler.verify.finding import Answers, Question

Names = tuple[str, ...]


def read(world: World, manifests: ManifestSet, questions: Iterable[Question]) -> Answers:
    """The answers, read from sixteen threads at most."""
    asked = list(questions)
    images = {manifest.address: manifest for manifest in manifests.of("Image")}

    def one(question: Question) -> Any:
        try:
            match question.what:
                case "image":
                    return _image(world, images[question.names[0]])
                case "reference":
                    return _reference(world, *question.names)
            return _READERS[question.what](world.aws, question.names)
        except BunniesError as error:
            return error

    return Answers(dict(zip(asked, aws_.parallel(one, asked), strict=True)))


def _cluster(aws: aws_.Aws, names: Names) -> Any:
    return aws.call("ecs", "DescribeClusters", clusters=list(names))["clusters"]


def _bucket(aws: aws_.Aws, names: Names) -> Any:
    return aws.call("s3", "HeadBucket", Bucket=names[0])


def _public_access(aws: aws_.Aws, names: Names) -> Any:
    return aws.call("s3", "GetPublicAccessBlock", Bucket=names[0])["PublicAccessBlockConfiguration"]


def _encryption(aws: aws_.Aws, names: Names) -> Any:
    return aws.call("s3", "GetBucketEncryption", Bucket=names[0])


def _log_group(aws: aws_.Aws, names: Names) -> Any:
    pages = aws.pages("logs", "DescribeLogGroups", logGroupNamePrefix=names[0])
    return [group for page in pages for group in page["logGroups"] if group["logGroupName"] == names[0]]


def _role(aws: aws_.Aws, names: Names) -> Any:
    return aws.call("iam", "GetRole", RoleName=names[0])["Role"]


def _secret(aws: aws_.Aws, names: Names) -> Any:
    return aws.call("secretsmanager", "DescribeSecret", SecretId=names[0])


def _parameters(aws: aws_.Aws, names: Names) -> Any:
    """Only the names of those that are not there: GetParameters sends values too, which are dropped here."""
    answer = aws.call("ssm", "GetParameters", Names=list(names), WithDecryption=False)
    return list(answer.get("InvalidParameters", ()))


def _key(aws: aws_.Aws, names: Names) -> Any:
    return aws.call("kms", "DescribeKey", KeyId=names[0])["KeyMetadata"]


def _subnets(aws: aws_.Aws, names: Names) -> Any:
    # A filter, because SubnetIds answers with an error for all where one is not there.
    filters = [{"Name": "subnet-id", "Values": list(names)}]
    return [one for page in aws.pages("ec2", "DescribeSubnets", Filters=filters) for one in page["Subnets"]]


def _security_groups(aws: aws_.Aws, names: Names) -> Any:
    filters = [{"Name": "group-id", "Values": list(names)}]
    pages = aws.pages("ec2", "DescribeSecurityGroups", Filters=filters)
    return [one for page in pages for one in page["SecurityGroups"]]


def _route_tables(aws: aws_.Aws, names: Names) -> Any:
    pages = aws.pages("ec2", "DescribeRouteTables", Filters=[{"Name": "vpc-id", "Values": list(names)}])
    return [one for page in pages for one in page["RouteTables"]]


def _endpoints(aws: aws_.Aws, names: Names) -> Any:
    pages = aws.pages("ec2", "DescribeVpcEndpoints", Filters=[{"Name": "vpc-id", "Values": list(names)}])
    return [one for page in pages for one in page["VpcEndpoints"]]


def _file_system(aws: aws_.Aws, names: Names) -> Any:
    return aws.call("efs", "DescribeFileSystems", FileSystemId=names[0])["FileSystems"]


def _mount_targets(aws: aws_.Aws, names: Names) -> Any:
    pages = aws.pages("efs", "DescribeMountTargets", FileSystemId=names[0])
    return [one for page in pages for one in page["MountTargets"]]


def _access_point(aws: aws_.Aws, names: Names) -> Any:
    return aws.call("efs", "DescribeAccessPoints", AccessPointId=names[0])["AccessPoints"]


_READERS: Final[dict[str, Callable[[aws_.Aws, Names], Any]]] = {
    "cluster": _cluster,
    "bucket": _bucket,
    "public access block": _public_access,
    "encryption": _encryption,
    "log group": _log_group,
    "role": _role,
    "secret": _secret,
    "parameters": _parameters,
    "key": _key,
    "subnets": _subnets,
    "security groups": _security_groups,
    "route tables": _route_tables,
    "endpoints": _endpoints,
    "file system": _file_system,
    "mount targets": _mount_targets,
    "access point": _access_point,
}


def _image(world: World, manifest: Manifest) -> dict[str, str]:
    """Platform → digest of the user's image, as its registry says now."""
    found = image.facts(world, [manifest])[manifest.address]
    several: dict[str, str] = found.get("platforms") or {}
    return several or dict.fromkeys(bases.platforms(manifest.body), str(found["digest"]))


def _reference(world: World, text: str, platform: str) -> dict[str, str]:
    """The same for what a task definition names in full, for the platform that runs it."""
    body = {"from": text, "repository": "-", "platforms": [platform]}
    return _image(world, Manifest("Image", text, body, Source("", 0, 0)))
