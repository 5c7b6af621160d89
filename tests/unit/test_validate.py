"""validate: the checks of each part, put together over a whole set of manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler import load, validate
from reconciler.errors import ManifestError

PLATFORM = """\
kind: Settings
name: lab
region: us-east-1
cluster: lab
bucket: lab-bucket
executionRoleArn: arn:aws:iam::123456789012:role/execution
taskRoleArn: arn:aws:iam::123456789012:role/task
network: {subnets: [subnet-1]}
---
kind: Repository
name: app
---
kind: Image
name: app
from: app:1
repository: app
---
kind: TaskDefinition
name: task
cpu: 1 vCPU
memory: 2 GB
networkMode: awsvpc
requiresCompatibilities: [FARGATE, EC2]
containerDefinitions: [{name: main, image: "${image.app}"}]
---
kind: Job
name: align
taskDefinition: task
command: ["true"]
"""


def mistakes(folder: Path, job: str) -> list[str]:
    file = folder / "lab.yaml"
    file.write_text(PLATFORM + job)
    manifests = load.load([file])
    try:
        validate.validate(manifests)
    except ManifestError as error:
        return [str(problem).partition("lab.yaml:")[2] for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("job", "found"),
    [
        ("launchType: FARGATE\ncpu: 2 vCPU\nmemory: 4 GB\n", []),
        ("launchType: FARGATE\ncpu: 4 vCPU\n", ["job/align: memory: 2048 MiB does not go with cpu 4096"]),
        ("launchType: EC2\ncpu: 4 vCPU\n", []),
        (
            "capacityProviderStrategy: [{capacityProvider: FARGATE_SPOT}]\nmemory: 16 GB\n",
            ["31:1: job/align: memory: "],
        ),
        ("capacityProviderStrategy: [{capacityProvider: ours}]\nmemory: 16 GB\n", []),
        (
            "launchType: FARGATE\nephemeralStorage: {sizeInGiB: 20}\n",
            ["job/align: ephemeralStorage.sizeInGiB: "],
        ),
        ("launchType: FARGATE\nplatformVersion: 1.3.0\ncpu: 16 vCPU\nmemory: 32 GB\n", ["platformVersion: "]),
    ],
)
def test_the_sizes_that_a_job_asks_for_are_held_against_its_task_definition(
    tmp_path: Path, job: str, found: list[str]
) -> None:
    told = mistakes(tmp_path, job)
    assert len(told) == len(found), told
    for line, words in zip(told, found, strict=True):
        assert words in line


def test_elements_of_an_array_tell_a_mistake_that_they_share_once(tmp_path: Path) -> None:
    array = 'launchType: FARGATE\nmemory: 16 GB\nforeach: {items: [{n: 1}, {n: 2}]}\nkey: "{{ item.n }}"\n'
    (told,) = mistakes(tmp_path, array)
    assert "job/align/1: memory: " in told
