"""verify against moto: a sound account, then each thing that can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import moto
import pytest

from reconciler import load, verify
from reconciler.aws import Aws
from reconciler.errors import AwsError, EngineError
from reconciler.kinds import World
from reconciler.model import ManifestSet
from reconciler.permissions import table

ACCOUNT = "123456789012"  # moto's own
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


class Account(Aws):
    """Aws whose answers to some operations are errors, by operation."""

    def __init__(self) -> None:
        super().__init__("us-east-1")
        self.refused: dict[str, AwsError] = {}

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        if error := self.refused.get(operation):
            raise error
        return super().call(service, operation, **params)

    def pages(self, service: str, operation: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        if error := self.refused.get(operation):
            raise error
        yield from super().pages(service, operation, **params)

    def clear(self) -> None:
        """As new, but for the connections, which take botocore their time."""
        self.refused = {}
        self.calls.clear()

    def deny(self, *operations: str) -> None:
        for operation in operations:
            self.refused[operation] = AwsError(operation, "AccessDeniedException", "no", 403)


class Lab:
    """An account in which all is well, and the ids of what is in it."""

    def __init__(self, aws: Account) -> None:
        self.aws = aws
        call = aws.call
        call("ecs", "CreateCluster", clusterName="lab", capacityProviders=["FARGATE"])
        for bucket in ("lab-bucket", "lab-reads"):
            call("s3", "CreateBucket", Bucket=bucket)
        block = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        call(
            "s3",
            "PutPublicAccessBlock",
            Bucket="lab-bucket",
            PublicAccessBlockConfiguration=dict.fromkeys(block, True),
        )
        self.key = call("kms", "CreateKey")["KeyMetadata"]["KeyId"]
        self.encrypt({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.key})
        call("logs", "CreateLogGroup", logGroupName="/ecs/lab")
        for role in ("lab-task", "lab-execution"):
            call("iam", "CreateRole", RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))
        self.secret = call("secretsmanager", "CreateSecret", Name="lab/token", SecretString="x")["ARN"]
        call("ssm", "PutParameter", Name="/lab/flag", Value="on", Type="String")
        self._network()
        self._files()

    def encrypt(self, by_default: dict[str, str]) -> None:
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": by_default}]}
        self.aws.call(
            "s3", "PutBucketEncryption", Bucket="lab-bucket", ServerSideEncryptionConfiguration=rules
        )

    def _network(self) -> None:
        call = self.aws.call
        self.vpc = call("ec2", "CreateVpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = call(
            "ec2", "CreateSubnet", VpcId=self.vpc, CidrBlock="10.0.0.0/24", AvailabilityZone="us-east-1a"
        )
        self.subnet = subnet["Subnet"]["SubnetId"]
        group = call("ec2", "CreateSecurityGroup", GroupName="lab", Description="lab", VpcId=self.vpc)
        self.group = group["GroupId"]
        tables = call("ec2", "DescribeRouteTables", Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])
        self.table = tables["RouteTables"][0]["RouteTableId"]
        gateway = call("ec2", "CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
        call("ec2", "AttachInternetGateway", InternetGatewayId=gateway, VpcId=self.vpc)
        everywhere = "0.0.0.0/0"
        call(
            "ec2",
            "CreateRoute",
            RouteTableId=self.table,
            DestinationCidrBlock=everywhere,
            GatewayId=gateway,
        )

    def without_gateway(self) -> None:
        self.aws.call("ec2", "DeleteRoute", RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0")

    def _files(self) -> None:
        call = self.aws.call
        self.files = call("efs", "CreateFileSystem", CreationToken="lab")["FileSystemId"]
        call("efs", "CreateMountTarget", FileSystemId=self.files, SubnetId=self.subnet)
        point = call("efs", "CreateAccessPoint", ClientToken="lab", FileSystemId=self.files)
        self.point = point["AccessPointId"]

    def text(self) -> str:
        return f"""\
kind: Settings
name: lab
region: us-east-1
account: "{ACCOUNT}"
cluster: lab
bucket: lab-bucket
network: {{subnets: [{self.subnet}], securityGroups: [{self.group}], assignPublicIp: ENABLED}}
executionRoleArn: arn:aws:iam::{ACCOUNT}:role/lab-execution
taskRoleArn: arn:aws:iam::{ACCOUNT}:role/lab-task
---
kind: Repository
name: app
encryptionConfiguration: {{encryptionType: KMS, kmsKey: {self.key}}}
---
kind: Image
name: app
from: docker-daemon:app:1
repository: app
---
kind: TaskDefinition
name: task
cpu: 1 vCPU
memory: 2 GB
networkMode: awsvpc
requiresCompatibilities: [FARGATE]
containerDefinitions:
  - name: main
    image: ${{image.app}}
    secrets:
      - {{name: TOKEN, valueFrom: "{self.secret}:key::"}}
      - {{name: FLAG, valueFrom: /lab/flag}}
    logConfiguration:
      logDriver: awslogs
      options: {{awslogs-group: /ecs/lab, awslogs-region: us-east-1, awslogs-stream-prefix: ecs}}
volumes:
  - name: data
    efsVolumeConfiguration:
      fileSystemId: {self.files}
      transitEncryption: ENABLED
      authorizationConfig: {{accessPointId: {self.point}, iam: ENABLED}}
---
kind: Job
name: count
taskDefinition: task
command: [count]
inputs: {{reads: s3://lab-reads/x/}}
outputs: {{table: table.txt}}
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with moto.mock_aws():
        _ACCOUNT.clear()
        yield Lab(_ACCOUNT)


_ACCOUNT = Account()


def manifests(folder: Path, text: str) -> ManifestSet:
    (folder / "m.yaml").write_text(text)
    return load.load([folder])


def findings(lab: Lab, folder: Path, change: Callable[[str], str] = str) -> dict[str, str]:
    """What is not well: about → `LEVEL what`; images left out, which no test here can look at."""
    found = manifests(folder, change(lab.text()))
    return {
        one.about: f"{one.level} {one.what}"
        for one in verify.verify(world(lab.aws, found), found)
        if one.level != "ok" and not one.about.startswith("image/")
    }


def world(aws: Aws, found: ManifestSet) -> World:
    def nothing(*_: object) -> Any:
        raise EngineError("there is no engine")

    return World(found.settings, aws, nothing, lambda: "registry", nothing, lambda _: None, {})


def test_where_all_is_well_every_line_is_ok_but_the_image_that_needs_an_engine(
    lab: Lab, tmp_path: Path
) -> None:
    found = manifests(tmp_path, lab.text())
    lines = {one.about: one for one in verify.verify(world(lab.aws, found), found)}
    image = lines.pop("image/app")
    assert (image.level, image.what) == ("fail", "from: there is no engine")
    assert [one for one in lines.values() if one.level != "ok"] == []
    assert len(lines) == 16


def test_it_changes_nothing_and_makes_only_calls_that_its_policy_allows(lab: Lab, tmp_path: Path) -> None:
    lab.aws.calls.clear()
    findings(lab, tmp_path)
    allowed = {operation for operation, use in table.OPERATIONS.items() if "verify" in use.by}
    assert set(lab.aws.calls) <= allowed


def test_another_account_ends_it_before_anything_else_is_asked(lab: Lab, tmp_path: Path) -> None:
    found = findings(
        lab, tmp_path, lambda text: text.replace(f'account: "{ACCOUNT}"', 'account: "210987654321"')
    )
    assert list(found) == ["account"]
    assert found["account"].startswith("fail the credentials are for 123456789012")


CHANGES: dict[str, tuple[tuple[str, str], str, str]] = {
    "no account": ((f'account: "{ACCOUNT}"\n', ""), "account", "warn the credentials are for"),
    "no cluster": (("cluster: lab", "cluster: none"), "cluster none", "fail is not there"),
    "no bucket": (("bucket: lab-bucket", "bucket: lab-none"), "bucket lab-none", "fail is not there"),
    "no input bucket": (("s3://lab-reads/", "s3://lab-gone/"), "bucket lab-gone", "fail is not there"),
    "no log group": (
        ("awslogs-group: /ecs/lab", "awslogs-group: /ecs"),
        "log group /ecs",
        "fail is not there",
    ),
    "no role": (("role/lab-task", "role/none"), "role none", "fail is not there"),
    "a role elsewhere": (
        (f"{ACCOUNT}:role/lab-task", "210987654321:role/lab-task"),
        "role lab-task",
        "fail is of account 210987654321",
    ),
    "a role with a path": (("role/lab-task", "role/x/lab-task"), "role lab-task", "fail has the ARN"),
    "no execution role": (
        (f"executionRoleArn: arn:aws:iam::{ACCOUNT}:role/lab-execution\n", ""),
        "taskdefinition/task",
        "fail has no execution role",
    ),
    "no parameter": (("/lab/flag", "/lab/none"), "parameter /lab/none", "fail is not there"),
    "another platform": (
        ("networkMode:", "runtimePlatform: {cpuArchitecture: ARM64}\nnetworkMode:"),
        "taskdefinition/task",
        "fail runs on linux/arm64",
    ),
    "another provider": (
        (
            "command: [count]",
            "command: [count]\ncapacityProviderStrategy: [{capacityProvider: FARGATE_SPOT}]",
        ),
        "cluster lab",
        "fail has no capacity provider FARGATE_SPOT",
    ),
    "no public address": (
        (", assignPublicIp: ENABLED", ""),
        "subnet",
        "fail is public, and tasks get no public address",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_a_manifest_names_wrongly_is_told(case: str, lab: Lab, tmp_path: Path) -> None:
    (old, new), about, what = CHANGES[case]
    found = findings(lab, tmp_path, lambda text: text.replace(old, new))
    assert [one for key, one in found.items() if key.startswith(about) and one.startswith(what)], found


def test_what_is_named_and_gone_is_told(lab: Lab, tmp_path: Path) -> None:
    def changed(text: str) -> str:
        for old in (lab.subnet, lab.group, lab.files, lab.point, lab.key):
            text = text.replace(old, old[:-4] + "0000")
        return text.replace(lab.secret, lab.secret[:-6] + "000000")

    found = findings(lab, tmp_path, changed)
    kinds = {about.partition(": ")[2].split(" ")[0] or about.split(" ")[0] for about in found}
    assert kinds >= {"subnet", "security", "file", "key", "secret"}
    assert set(found.values()) == {"fail is not there"}


def test_a_role_that_ecs_may_not_assume_is_told(lab: Lab, tmp_path: Path) -> None:
    trust = json.dumps(TRUST).replace("ecs-tasks", "ec2")
    lab.aws.call("iam", "UpdateAssumeRolePolicy", RoleName="lab-task", PolicyDocument=trust)
    assert findings(lab, tmp_path) == {"role lab-task": "fail cannot be assumed by ecs-tasks.amazonaws.com"}


def test_a_secret_on_its_way_out_and_a_disabled_key_are_told(lab: Lab, tmp_path: Path) -> None:
    lab.aws.call("secretsmanager", "DeleteSecret", SecretId=lab.secret)
    lab.aws.call("kms", "DisableKey", KeyId=lab.key)
    found = findings(lab, tmp_path)
    assert found.pop(f"key {lab.key}") == "fail is Disabled"
    assert list(found.values()) == ["fail is scheduled for deletion"]


def test_a_bucket_that_may_become_public_is_told(lab: Lab, tmp_path: Path) -> None:
    lab.aws.call("s3", "DeletePublicAccessBlock", Bucket="lab-bucket")
    assert findings(lab, tmp_path) == {
        "public access block of lab-bucket": "warn is not set: a policy could make the bucket public"
    }


def test_a_subnet_reaches_the_registry_through_nat_without_a_public_address(lab: Lab, tmp_path: Path) -> None:
    nat = lab.aws.call("ec2", "CreateNatGateway", SubnetId=lab.subnet, ConnectivityType="private")
    lab.without_gateway()
    lab.aws.call(
        "ec2",
        "CreateRoute",
        RouteTableId=lab.table,
        DestinationCidrBlock="0.0.0.0/0",
        NatGatewayId=nat["NatGateway"]["NatGatewayId"],
    )
    assert findings(lab, tmp_path, lambda text: text.replace(", assignPublicIp: ENABLED", "")) == {}


def test_a_subnet_without_a_way_out_needs_endpoints_for_all_that_a_task_asks(
    lab: Lab, tmp_path: Path
) -> None:
    lab.without_gateway()
    (what,) = findings(lab, tmp_path).values()
    assert "no endpoint for ecr.api, ecr.dkr, s3, logs, secretsmanager, ssm" in what
    for service in ("ecr.api", "ecr.dkr", "s3", "logs", "secretsmanager", "ssm"):
        name = f"com.amazonaws.us-east-1.{service}"
        kind = "Gateway" if service == "s3" else "Interface"
        more = {"RouteTableIds": [lab.table]} if service == "s3" else {"SubnetIds": [lab.subnet]}
        lab.aws.call(
            "ec2", "CreateVpcEndpoint", VpcId=lab.vpc, ServiceName=name, VpcEndpointType=kind, **more
        )
    assert findings(lab, tmp_path) == {}


def test_security_groups_that_let_no_https_out_are_told(lab: Lab, tmp_path: Path) -> None:
    anywhere = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    lab.aws.call("ec2", "RevokeSecurityGroupEgress", GroupId=lab.group, IpPermissions=anywhere)
    (what,) = findings(lab, tmp_path).values()
    assert what.startswith("fail let no HTTPS out")


def test_a_zone_without_a_mount_target_is_told(lab: Lab, tmp_path: Path) -> None:
    other = lab.aws.call(
        "ec2", "CreateSubnet", VpcId=lab.vpc, CidrBlock="10.0.1.0/24", AvailabilityZone="us-east-1b"
    )["Subnet"]["SubnetId"]
    found = findings(lab, tmp_path, lambda text: text.replace(f"[{lab.subnet}]", f"[{lab.subnet}, {other}]"))
    (what,) = found.values()
    assert what.startswith("fail has no mount target in us-east-1b")


READS = {name for (_, name), use in table.OPERATIONS.items() if "verify" in use.by}
NOT_ASKED = {"GetCallerIdentity", "GetAuthorizationToken", "DescribeRepositories"}


@pytest.mark.parametrize("operation", sorted(READS - NOT_ASKED))
def test_a_read_that_is_denied_is_a_warning_that_names_the_action(
    operation: str, lab: Lab, tmp_path: Path
) -> None:
    if operation == "DescribeVpcEndpoints":  # asked for where there is no other way
        lab.without_gateway()
    lab.aws.deny(operation)
    found = findings(lab, tmp_path)
    assert found
    action = " or ".join(table.named(operation))
    assert all(what.startswith(f"warn cannot be looked at: {action} is denied") for what in found.values()), (
        found
    )


def test_any_other_error_is_a_warning_with_its_own_words(lab: Lab, tmp_path: Path) -> None:
    lab.aws.refused["GetRole"] = AwsError("GetRole", "ServiceFailure", "come back later.", 500)
    assert set(findings(lab, tmp_path).values()) == {
        "warn cannot be looked at: ServiceFailure: come back later"
    }
