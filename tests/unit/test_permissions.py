"""Policies made from manifests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from reconciler import load, permissions
from reconciler.errors import BunniesError
from reconciler.model import ManifestSet
from reconciler.permissions.ground import places

QUICKSTART = Path(__file__).parents[2] / "manifests" / "quickstart"
READS = re.compile(r"(Get|List|Describe|BatchGet|BatchCheck)[A-Z]")
SETTINGS = """\
kind: Settings
name: lab
region: us-east-1
cluster: lab
bucket: lab-bucket
executionRoleArn: arn:aws:iam::123456789012:role/lab-execution
taskRoleArn: arn:aws:iam::123456789012:role/lab-task
"""
PLATFORM = """\
---
kind: Repository
name: app
---
kind: Repository
name: theirs
external: true
---
kind: Image
name: app
from: 210987654321.dkr.ecr.eu-west-1.amazonaws.com/base:1
repository: app
---
kind: TaskDefinition
name: task
containerDefinitions:
  - name: main
    image: ${image.app}
    secrets:
      - {name: A, valueFrom: "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf:key::"}
      - {name: B, valueFrom: /lab/b}
    mountPoints: [{sourceVolume: data, containerPath: /data, readOnly: true}]
    logConfiguration: {logDriver: awslogs, options: {awslogs-group: /ecs/lab, awslogs-region: us-east-1}}
  - name: side
    image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/side:1
    essential: false
    environmentFiles: [{type: s3, value: "arn:aws:s3:::lab-env/side.env"}]
volumes:
  - name: data
    efsVolumeConfiguration:
      fileSystemId: fs-1
      transitEncryption: ENABLED
      authorizationConfig: {accessPointId: fsap-1, iam: ENABLED}
"""


def manifests(folder: Path, text: str = "", settings: str = SETTINGS) -> ManifestSet:
    (folder / "m.yaml").write_text(settings + PLATFORM + text)
    return load.load([folder])


def allowed(policy: dict[str, Any]) -> dict[str, set[str]]:
    """Action → resources."""
    found: dict[str, set[str]] = {}
    for statement in policy["Statement"]:
        resources = statement["Resource"]
        for action in statement["Action"]:
            found.setdefault(action, set()).update([resources] if isinstance(resources, str) else resources)
    return found


@pytest.mark.parametrize("who", ["plan", "verify"])
def test_who_only_looks_may_change_nothing(who: str) -> None:
    actions = allowed(permissions.policy(who, load.load([QUICKSTART])))
    assert actions
    assert [one for one in actions if not READS.match(one.partition(":")[2])] == []


def test_apply_may_all_that_plan_may() -> None:
    found = load.load([QUICKSTART])
    plan, apply = (allowed(permissions.policy(who, found)) for who in ("plan", "apply"))
    assert all(resources <= apply[action] for action, resources in plan.items())


@pytest.mark.parametrize("who", [*permissions.COMMANDS, *permissions.ROLES])
def test_a_policy_has_the_shape_that_iam_takes(who: str, tmp_path: Path) -> None:
    policy = permissions.policy(who, manifests(tmp_path, "---\n" + JOB))
    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)
    assert all(statement["Action"] and statement["Resource"] for statement in policy["Statement"])
    resources = set().union(*allowed(policy).values())
    assert all(
        one == "*" or re.fullmatch(r"arn:aws:[a-z0-9]+:[a-z0-9-]*:[0-9]*:.+", one) for one in resources
    )


def test_only_the_manifests_own_repositories_may_be_changed(tmp_path: Path) -> None:
    may = allowed(permissions.policy("apply", manifests(tmp_path)))
    app = "arn:aws:ecr:us-east-1:123456789012:repository/app"
    assert may["ecr:PutLifecyclePolicy"] == may["ecr:PutImage"] == {app}
    assert "arn:aws:ecr:us-east-1:123456789012:repository/theirs" in may["ecr:GetRepositoryPolicy"]
    assert "arn:aws:ecr:eu-west-1:210987654321:repository/base" in may["ecr:GetDownloadUrlForLayer"]


def test_roles_are_passed_to_tasks_alone(tmp_path: Path) -> None:
    policy = permissions.policy("apply", manifests(tmp_path))
    (passing,) = [one for one in policy["Statement"] if "iam:PassRole" in one["Action"]]
    assert passing["Resource"] == [
        "arn:aws:iam::123456789012:role/lab-execution",
        "arn:aws:iam::123456789012:role/lab-task",
    ]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}


JOB = """\
kind: Job
name: one
taskDefinition: task
command: [run]
inputs: {reads: "s3://lab-in/reads/", genome: "s3://lab-in/ref/genome.fa"}
outputs: {bam: {path: "*.bam", publish: "s3://lab-out/bam/"}}
"""
OTHER = (
    JOB.replace("name: one", "name: two\ntaskRoleArn: arn:aws:iam::123456789012:role/two")
    .replace("s3://lab-in/", "s3://lab-more/")
    .replace("/bam/", "/two/")
)


def test_a_task_reads_its_inputs_and_writes_below_attempts_and_outputs_alone(tmp_path: Path) -> None:
    may = allowed(permissions.policy("task", manifests(tmp_path, "---\n" + JOB)))
    ours = "arn:aws:s3:::lab-bucket/bunnies/lab"
    assert may["s3:PutObject"] == {
        f"{ours}/outputs/*",
        *(
            f"{ours}/jobs/*/attempts/*/{name}"
            for name in ("started.json", "result.json", "stdout.log", "stderr.log")
        ),
    }
    assert {"arn:aws:s3:::lab-in/reads/*", "arn:aws:s3:::lab-in/ref/genome.fa"} <= may["s3:GetObject"]
    assert f"{ours}/outputs/*" not in may["s3:GetObject"]
    assert not any(one.startswith("arn:aws:s3:::lab-out/") for one in may["s3:GetObject"])


def test_efs_that_is_mounted_read_only_is_not_written(tmp_path: Path) -> None:
    may = allowed(permissions.policy("task", manifests(tmp_path, "---\n" + JOB)))
    system = "arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/fs-1"
    assert may["elasticfilesystem:ClientMount"] == {system}
    assert "elasticfilesystem:ClientWrite" not in may


def test_each_task_role_can_have_a_policy_of_its_own(tmp_path: Path) -> None:
    found = manifests(tmp_path, "---\n" + JOB + "---\n" + OTHER)
    roles = permissions.role_arns("task", found)
    assert roles == ("arn:aws:iam::123456789012:role/lab-task", "arn:aws:iam::123456789012:role/two")
    buckets = [
        {
            one.split(":::")[1].split("/")[0]
            for one in allowed(permissions.policy("task", found, role))["s3:GetObject"]
        }
        for role in roles
    ]
    assert buckets == [{"lab-bucket", "lab-in"}, {"lab-bucket", "lab-more"}]
    with pytest.raises(BunniesError, match="name no task role x"):
        permissions.policy("task", found, "x")


def test_the_execution_role_reads_secrets_parameters_images_and_writes_logs(tmp_path: Path) -> None:
    may = allowed(permissions.policy("execution", manifests(tmp_path)))
    images = {f"arn:aws:ecr:us-east-1:123456789012:repository/{name}" for name in ("app", "side")}
    assert may == {
        "ecr:GetAuthorizationToken": {"*"},
        "ecr:BatchCheckLayerAvailability": images,
        "ecr:BatchGetImage": images,
        "ecr:GetDownloadUrlForLayer": images,
        "logs:CreateLogStream": {"arn:aws:logs:us-east-1:123456789012:log-group:/ecs/lab:*"},
        "logs:PutLogEvents": {"arn:aws:logs:us-east-1:123456789012:log-group:/ecs/lab:*"},
        "secretsmanager:GetSecretValue": {"arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf"},
        "ssm:GetParameters": {"arn:aws:ssm:us-east-1:123456789012:parameter/lab/b"},
        "s3:GetObject": {"arn:aws:s3:::lab-env/side.env"},
        "s3:GetBucketLocation": {"arn:aws:s3:::lab-env"},
    }


def test_the_account_is_that_of_settings_or_of_a_role(tmp_path: Path) -> None:
    with_account = SETTINGS.replace("cluster:", 'account: "210987654321"\ncluster:')
    policy = json.dumps(permissions.policy("plan", manifests(tmp_path, settings=with_account)))
    assert "arn:aws:ecr:us-east-1:210987654321:repository/app" in policy
    bare = re.sub(r".*RoleArn.*\n", "", SETTINGS)
    with pytest.raises(BunniesError, match="Write `account:` in Settings"):
        permissions.policy("plan", manifests(tmp_path, settings=bare))


def test_another_partition_is_that_of_the_region(tmp_path: Path) -> None:
    policy = permissions.policy(
        "plan", manifests(tmp_path, settings=SETTINGS.replace("us-east-1", "cn-north-1"))
    )
    assert "arn:aws-cn:s3:::lab-bucket/bunnies/lab/*" in json.dumps(policy)


@pytest.mark.parametrize(
    ("urls", "patterns"),
    [
        (["s3://b/x/1", "s3://b/x/2"], ("x/1", "x/2")),
        ([f"s3://b/x/{n}" for n in range(9)], ("x/*",)),
        ([f"s3://b/{n}" for n in range(9)], ("*",)),
        (["s3://b/x/", "s3://b/x/y/1"], ("x/*",)),
        (["s3://b/"], ("*",)),
        (["s3://b/a*b$?"], ("a${*}b${$}${?}",)),
        ([f"s3://b/x/{n}/y/f" for n in range(99)], ("x/*",)),
    ],
)
def test_many_keys_are_named_by_their_folder(urls: list[str], patterns: tuple[str, ...]) -> None:
    assert places(urls) == {"b": patterns}


def test_other_clusters_are_looked_at_only_where_older_revisions_may_go(tmp_path: Path) -> None:
    assert "ecs:ListClusters" not in allowed(permissions.policy("apply", manifests(tmp_path)))
    keeping = "---\nkind: TaskDefinition\nname: kept\nkeepRevisions: 2\ncontainerDefinitions: [{name: a, image: b}]\n"
    for command in ("plan", "apply"):
        assert "ecs:ListClusters" in allowed(permissions.policy(command, manifests(tmp_path, keeping)))
