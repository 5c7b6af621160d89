"""The main job through the command line: manifests in, containers that ran, files in S3, and a second plan that is empty.

Everything is real but AWS: the shipped layer, a user's image with an entrypoint of its own, tasks as containers.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from reconciler import aws as aws_module
from reconciler import local

PLATFORM = """\
kind: Settings
name: {owner}
region: us-east-1
account: "000000000000"
cluster: {owner}
bucket: {owner}-bucket
network: {{subnets: [subnet-1], assignPublicIp: ENABLED}}
taskRoleArn: arn:aws:iam::000000000000:role/task
executionRoleArn: arn:aws:iam::000000000000:role/execution
vars: {{lab: "s3://{owner}-lab"}}
---
kind: Repository
name: {owner}/tools
imageTagMutability: IMMUTABLE
---
kind: Image
name: tools
from: docker-daemon:{image}
repository: {owner}/tools
---
kind: TaskDefinition
name: {owner}-task
cpu: 256
memory: 512
networkMode: awsvpc
requiresCompatibilities: [FARGATE]
containerDefinitions:
  - name: tool
    image: ${{image.tools}}
    logConfiguration:
      logDriver: awslogs
      options: {{awslogs-group: "/ecs/{owner}", awslogs-region: us-east-1, awslogs-stream-prefix: ecs}}
"""
JOBS = """\
kind: Job
name: shout
taskDefinition: {owner}-task
foreach: {{items: [{{name: ann, text: hello}}, {{name: bob, text: world}}]}}
key: "{{{{ item.name }}}}"
command: [sh, -c, "echo shouting; printf '%s' \\"$TEXT\\" | tr a-z A-Z > {{output.loud}}; cat {{input.tail}} >> {{output.loud}}"]
environment: {{TEXT: "{{{{ item.text }}}}"}}
inputs: {{tail: "{{{{ lab }}}}/tail.txt"}}
outputs: {{loud: "{{{{ item.name }}}}.txt"}}
---
kind: Job
name: join
taskDefinition: {owner}-task
command: [cat, "{{input.all}}"]
inputs: {{all: "${{job.shout[*].outputs.loud}}"}}
---
kind: Job
name: book
taskDefinition: {owner}-task
script: |
  #!/bin/busybox sh
  cat {{input.all}} > {{output.book}}
inputs: {{all: "${{job.shout[*].outputs.loud}}"}}
outputs: {{book: {{path: book.txt, publish: "{{{{ lab }}}}/book.txt"}}}}
"""


@dataclass(frozen=True)
class Lab:
    """A folder of manifests with an owner of its own, and the command line in it."""

    folder: Path
    owner: str
    aws: aws_module.Aws
    environment: dict[str, str]

    def bunnies(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def ok(self, *words: str) -> str:
        done = self.bunnies(*words)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-c", "from reconciler.cli import main; main()", *words]

    def write(self, name: str, text: str) -> None:
        (self.folder / "manifests" / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        place = self.folder / "manifests" / name
        before = place.read_text()
        assert old in before
        place.write_text(before.replace(old, new))

    def read(self, key: str) -> str:
        answer = self.aws.call("s3", "GetObject", Bucket=f"{self.owner}-lab", Key=key)
        return str(answer["Body"].read().decode())

    def tasks(self) -> list[str]:
        """The attempts that ECS ever started a task for, as "JOB_ID/N": stopped ones are still listed here."""
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for page in self.aws.pages("ecs", "ListTasks", cluster=self.owner, desiredStatus=status)
            for arn in page["taskArns"]
        ]
        described = self.aws.call("ecs", "DescribeTasks", cluster=self.owner, tasks=arns)["tasks"]
        specs = [task["overrides"]["containerOverrides"][0]["environment"][0]["value"] for task in described]
        found = [re.search(r"jobs/([0-9a-f]{64})/attempts/(\d+)/", spec) for spec in specs]
        return sorted(f"{match[1]}/{match[2]}" for match in found if match)


@pytest.fixture(scope="module")
def tool_image(docker_client: docker.DockerClient, busybox_tar: bytes) -> Iterator[str]:
    """A user's image with one program, which is its entrypoint."""
    name = f"bunnies-e2e-tools-{uuid.uuid4().hex[:8]}:1"
    context = io.BytesIO()
    text = b'FROM scratch\nADD files.tar /\nENTRYPOINT ["/bin/busybox"]\nCMD ["true"]\n'
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, content in (("Dockerfile", text), ("files.tar", busybox_tar)):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    context.seek(0)
    docker_client.images.build(fileobj=context, custom_context=True, tag=name, rm=True, forcerm=True)
    yield name
    docker_client.images.remove(name, force=True, noprune=True)


@pytest.fixture
def lab(tmp_path: Path, cloud: local.Cloud, aws: aws_module.Aws, tool_image: str) -> Lab:
    """An owner nobody had before, with a space in its folder's name, bootstrapped."""
    owner = f"lab-{uuid.uuid4().hex[:6]}"
    folder = tmp_path / "my lab"
    (folder / "manifests").mkdir(parents=True)
    # COVERAGE_PROCESS_START and the like stay: the commands count as tested code where that is wanted.
    environment = {**os.environ, **local.env(cloud.port), "DOCKER_HOST": cloud.engine, "COLUMNS": "200"}
    made = Lab(folder, owner, aws, environment)
    made.write("platform.yaml", PLATFORM.format(owner=owner, image=tool_image))
    made.write("jobs.yaml", JOBS.format(owner=owner))
    aws.call("s3", "CreateBucket", Bucket=f"{owner}-lab")
    aws.call("s3", "PutObject", Bucket=f"{owner}-lab", Key="tail.txt", Body=b"!\n")
    made.ok("bootstrap", "--yes")
    return made


def test_manifests_become_files_and_the_second_plan_is_empty(lab: Lab, tmp_path: Path) -> None:
    lab.ok("validate")
    first = lab.bunnies("plan", "--detailed-exitcode")
    assert first.returncode == 2, first.stderr
    assert "Plan: 3 to create, 0 unchanged; jobs: 4 RUN." in first.stdout

    applied = lab.bunnies("apply", "--yes", "--wait")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert re.search(
        r"^RECAP .*failed=0 \| launched=4 adopted=0 cached=0 succeeded=4", applied.stdout, re.MULTILINE
    )
    assert lab.read("book.txt") == "HELLO!\nWORLD!\n"

    second = lab.bunnies("plan", "--detailed-exitcode")
    assert (second.returncode, second.stdout) == (
        0,
        "Nothing to do: 3 resources unchanged; jobs: 4 CACHED.\n",
    )
    assert "HELLO!" in lab.ok("logs", "job/join")
    lab.ok("get", "job/shout:loud", str(tmp_path / "loud"))
    assert (tmp_path / "loud" / "ann" / "ann.txt").read_text() == "HELLO!\n"
    rows = json.loads(lab.ok("status", "--json"))
    assert {(row["state"], row["attempt"], row["exit_code"]) for row in rows} == {("succeeded", 1, 0)}


def test_what_changed_runs_again_with_what_depends_on_it_and_nothing_else(lab: Lab) -> None:
    lab.ok("apply", "--yes", "--wait")
    lab.edit("jobs.yaml", "text: world", "text: moon")
    made = json.loads(lab.ok("plan", "--json"))
    runs = {job["address"]: job["why"] for job in made["jobs"] if job["decision"] == "RUN"}
    assert set(runs) == {"job/shout/bob", "job/join", "job/book"}
    assert 'environment.TEXT "world" → "moon"' in runs["job/shout/bob"]
    lab.ok("apply", "--yes", "--wait")
    assert lab.read("book.txt") == "HELLO!\nMOON!\n"
    assert len(lab.tasks()) == 4 + 3


def test_a_job_that_fails_says_so_and_runs_again_when_it_is_told_to(lab: Lab) -> None:
    lab.edit("jobs.yaml", "command: [cat,", "command: [sh, -c, 'echo not today >&2; exit 3',")
    failed = lab.bunnies("apply", "--yes", "--wait")
    assert failed.returncode == 7, failed.stdout + failed.stderr
    assert "job/join  FAILED  attempt 1 failed: exit code 3" in failed.stderr
    assert lab.read("book.txt") == "HELLO!\nWORLD!\n"  # what did not depend on it went on
    assert lab.bunnies("status").returncode == 7
    assert "not today" in lab.ok("logs", "job/join")
    assert lab.bunnies("plan", "--detailed-exitcode").returncode == 0  # a final failure is no change
    lab.ok("retry", "job/join")
    again = lab.bunnies("apply", "--yes", "--wait")
    assert again.returncode == 7
    assert "attempt 2 failed: exit code 3" in again.stderr


def test_an_apply_that_was_killed_is_gone_on_with_by_the_next(lab: Lab) -> None:
    lab.edit("jobs.yaml", "echo shouting;", "echo shouting; sleep 3;")
    with subprocess.Popen(
        lab.command("apply", "--yes", "--wait"),
        cwd=lab.folder,
        env=lab.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as apply:
        assert apply.stdout is not None
        for line in apply.stdout:
            if line.startswith("launched"):
                apply.send_signal(signal.SIGKILL)
                break
    locked = lab.bunnies("apply", "--yes", "--wait")
    assert locked.returncode == 5, locked.stderr
    assert "bunnies unlock" in locked.stderr  # or wait: the lease ends after a minute
    lab.ok("unlock")
    lab.ok("apply", "--yes", "--wait")
    assert lab.read("book.txt") == "HELLO!\nWORLD!\n"
    assert len(lab.tasks()) == len(set(lab.tasks())) == 4
    assert lab.bunnies("plan", "--detailed-exitcode").returncode == 0


def test_an_apply_that_does_not_wait_is_gone_on_with_too(lab: Lab) -> None:
    deadline = time.monotonic() + 120
    while lab.bunnies("plan", "--detailed-exitcode").returncode != 0 or "BLOCKED" in lab.ok("plan"):
        lab.ok("apply", "--yes")
        assert time.monotonic() < deadline
    lab.ok("apply", "--yes", "--wait")
    assert lab.read("book.txt") == "HELLO!\nWORLD!\n"
    assert len(lab.tasks()) == 4


def test_what_somebody_changed_is_seen_and_mended(lab: Lab) -> None:
    lab.ok("apply", "--yes", "--wait")
    lab.aws.call(
        "ecr", "PutImageTagMutability", repositoryName=f"{lab.owner}/tools", imageTagMutability="MUTABLE"
    )
    lab.aws.call("s3", "DeleteObject", Bucket=f"{lab.owner}-lab", Key="book.txt")
    made = json.loads(lab.ok("plan", "--json"))
    (change,) = made["changes"]
    assert change["fields"] == [
        {"path": "imageTagMutability", "before": "MUTABLE", "after": "IMMUTABLE", "drift": True}
    ]
    assert made["publish"] == [{"address": "job/book", "target": f"s3://{lab.owner}-lab/book.txt"}]
    lab.ok("apply", "--yes", "--wait")
    assert lab.read("book.txt") == "HELLO!\nWORLD!\n"
    assert lab.bunnies("plan", "--detailed-exitcode").returncode == 0


def test_apply_refuses_to_guess_a_yes(lab: Lab) -> None:
    done = lab.bunnies("apply")
    assert (done.returncode, lab.tasks()) == (1, [])
    assert "bunnies apply --yes" in done.stderr
