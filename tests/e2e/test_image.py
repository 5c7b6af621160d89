"""An image's whole way: user's image → platform layer → repository → a task that runs it."""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler import errors, kinds, local
from reconciler import layer as layers
from reconciler.kinds import image
from reconciler.model import Action, Change, Manifest, Resource, Source
from tests.e2e import containers


@pytest.fixture
def repository(world: kinds.World) -> str:
    name = f"team/e2e-{uuid.uuid4().hex[:8]}"
    world.aws.call("ecr", "CreateRepository", repositoryName=name, imageTagMutability="IMMUTABLE")
    return name


@pytest.fixture
def pushed_base(
    world: kinds.World, docker_client: docker.DockerClient, base_image: str, cloud: local.Cloud
) -> str:
    """The user's image as a reference in a registry; not on the engine any more."""
    name = f"bases/e2e-{uuid.uuid4().hex[:8]}"
    world.aws.call("ecr", "CreateRepository", repositoryName=name)
    repository = f"127.0.0.1:{cloud.port}/{name}"
    docker_client.images.get(base_image).tag(repository, "3")
    docker_client.images.push(repository, tag="3")
    docker_client.images.remove(f"{repository}:3")
    return f"{repository}:3"


def manifest(repository: str, file: str = "image.yaml", **body: Any) -> Manifest:
    return Manifest("Image", "analytics", {"repository": repository, **body}, Source(file, 1, 1))


def wanted(world: kinds.World, document: Manifest) -> Resource:
    return image.desired(document, world.settings, image.facts(world, [document]))


def create(resource: Resource) -> Change:
    return Change(resource.address, Action.CREATE, None, resource)


def config(docker_client: docker.DockerClient, uri: str) -> dict[str, Any]:
    docker_client.images.pull(uri)
    found: dict[str, Any] = docker_client.images.get(uri).attrs["Config"]
    return found


def test_a_registry_image_gets_the_layer_and_keeps_everything_else(
    world: kinds.World,
    docker_client: docker.DockerClient,
    base_image: str,
    pushed_base: str,
    repository: str,
    stand_in_layer: layers.Layer,
) -> None:
    resource = wanted(world, manifest(repository, **{"from": pushed_base}))
    assert image.live(world, [resource]) == {}
    attributes = image.apply(world, create(resource))

    found = image.live(world, [resource])[resource.address]
    assert found.spec == resource.spec
    assert found.attributes == attributes
    assert attributes["uri"] == f"{world.registry()}/{repository}@{attributes['digest']}"

    before = docker_client.images.get(base_image).attrs["Config"]
    after = config(docker_client, attributes["uri"])
    assert after["Entrypoint"] == [
        "/bunnies/bin/bunny-init",
        "--entrypoint-args=3",
        "--",
        "/bin/busybox",
        "echo",
        "user's $entry",
    ]
    kept = ("Cmd", "User", "Env", "WorkingDir", "Volumes", "ExposedPorts", "StopSignal", "Healthcheck")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert all(before[name] for name in kept)
    assert after["Labels"] == before["Labels"]
    answer = world.aws.call(
        "ecr", "BatchGetImage", repositoryName=repository, imageIds=[{"imageTag": attributes["tag"]}]
    )
    assert json.loads(answer["images"][0]["imageManifest"])["annotations"] == {
        "bunnies.layer.digest": stand_in_layer.digest,
        "bunnies.layer.version": "0",
        "org.opencontainers.image.base.digest": resource.spec["base"]["digest"],
        "org.opencontainers.image.base.name": pushed_base,
    }


def test_the_base_digest_is_that_of_the_registry_and_nothing_is_pulled_for_a_plan(
    world: kinds.World, docker_client: docker.DockerClient, pushed_base: str, repository: str
) -> None:
    name, _, tag = pushed_base.rpartition(":")
    resource = wanted(world, manifest(repository, **{"from": pushed_base}))
    answer = world.aws.call(
        "ecr", "BatchGetImage", repositoryName=name.partition("/")[2], imageIds=[{"imageTag": tag}]
    )
    assert resource.spec["base"]["digest"] == answer["images"][0]["imageId"]["imageDigest"]
    assert docker_client.images.list(name) == []


def test_the_layer_keeps_owners_and_modes_though_the_base_has_another_user(
    world: kinds.World, docker_client: docker.DockerClient, base_image: str, repository: str
) -> None:
    resource = wanted(world, manifest(repository, **{"from": f"docker-daemon:{base_image}"}))
    uri = image.apply(world, create(resource))["uri"]
    docker_client.images.pull(uri)
    said = containers.said(
        docker_client,
        uri,
        [
            "/bin/busybox",
            "stat",
            "-c",
            "%n %a %u",
            "/input",
            "/output",
            "/scratch",
            "/bunnies",
            "/bunnies/bin/bunny-init",
        ],
        entrypoint="",
    )
    assert said.decode().splitlines() == [
        "/input 1777 0",
        "/output 1777 0",
        "/scratch 1777 0",
        "/bunnies 755 0",
        "/bunnies/bin/bunny-init 755 0",
    ]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (None, 'init --entrypoint-args=3\nuser\'s $entry and its "command"\n'),
        (["other words"], "init --entrypoint-args=3\nuser's $entry other words\n"),
    ],
)
def test_a_command_lands_after_the_users_entrypoint(
    world: kinds.World,
    docker_client: docker.DockerClient,
    base_image: str,
    repository: str,
    command: list[str] | None,
    said: str,
) -> None:
    resource = wanted(world, manifest(repository, **{"from": f"docker-daemon:{base_image}"}))
    uri = image.apply(world, create(resource))["uri"]
    docker_client.images.pull(uri)
    assert containers.said(docker_client, uri, command).decode() == said


def test_a_second_apply_adopts_what_is_there(
    world: kinds.World, base_image: str, repository: str, docker_client: docker.DockerClient
) -> None:
    resource = wanted(world, manifest(repository, **{"from": f"docker-daemon:{base_image}"}))
    first = image.apply(world, create(resource))

    def no_engine() -> Any:
        raise errors.EngineError("nothing is left to do for an engine")

    assert image.apply(dataclasses.replace(world, engine=no_engine), create(resource)) == first
    tags = [tag for found in docker_client.images.list() for tag in found.tags]
    assert not [tag for tag in tags if repository in tag]


def test_a_repository_that_no_manifest_asks_for_is_not_created(world: kinds.World, base_image: str) -> None:
    resource = wanted(world, manifest("not/there", **{"from": f"docker-daemon:{base_image}"}))
    assert image.live(world, [resource]) == {}
    with pytest.raises(errors.BunniesError, match=r"no repository not/there.*Write a Repository manifest"):
        image.apply(world, create(resource))


def test_an_image_that_has_the_layer_is_not_given_it_again(
    world: kinds.World, base_image: str, repository: str
) -> None:
    first = wanted(world, manifest(repository, **{"from": f"docker-daemon:{base_image}"}))
    uri = image.apply(world, create(first))["uri"]
    second = wanted(world, manifest(repository, **{"from": uri}))
    with pytest.raises(errors.ManifestError, match="has the platform layer already"):
        image.explained(world, [second])
    with pytest.raises(errors.BunniesError, match="has the platform layer already"):
        image.apply(world, create(second))


def test_a_build_is_known_by_its_files_and_built_from_the_very_base_that_was_resolved(
    world: kinds.World,
    docker_client: docker.DockerClient,
    pushed_base: str,
    repository: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "Dockerfile").write_text(
        "ARG BASE=nothing\nFROM ${BASE} AS user\nARG WORD\nUSER 0\n"
        'COPY note.txt /note.txt\nRUN ["/bin/busybox", "mkdir", "/made"]\nENTRYPOINT []\n'
        'CMD ["/bin/busybox", "cat", "/note.txt"]\n'
    )
    (tmp_path / "note.txt").write_text("first\n")
    (tmp_path / ".dockerignore").write_text("# not these\nignored*\n")
    (tmp_path / "ignored.log").write_text("one")
    build = {"context": ".", "args": {"BASE": pushed_base}}
    document = manifest(repository, str(tmp_path / "image.yaml"), build=build)

    resource = wanted(world, document)
    (tmp_path / "ignored.log").write_text("two")
    (tmp_path / "note.txt").chmod(0o664)
    assert wanted(world, document) == resource

    uri = image.apply(world, create(resource))["uri"]
    docker_client.images.pull(uri)
    assert containers.said(docker_client, uri) == b"init --entrypoint-args=0\nfirst\n"

    (tmp_path / "note.txt").write_text("second\n")
    changed = wanted(world, document)
    assert changed.spec["tag"] != resource.spec["tag"]
    with pytest.raises(errors.StalePlanError, match="changed since the plan"):
        image.apply(
            world,
            create(dataclasses.replace(resource, spec={**resource.spec, "tag": "bunnies-other"})),
        )


def test_every_base_that_cannot_be_found_is_told_at_once(
    world: kinds.World, cloud: local.Cloud, repository: str
) -> None:
    documents = [
        dataclasses.replace(manifest(repository, **{"from": reference}), name=f"i{number}")
        for number, reference in enumerate(
            (
                f"127.0.0.1:{cloud.port}/{repository}:gone",
                "docker-daemon:bunnies-e2e-nowhere:1",
                "127.0.0.1:1/nobody/listens:1",
                "UPPER/case",
            )
        )
    ]
    with pytest.raises(errors.ManifestError) as caught:
        image.facts(world, documents)
    told = [str(problem) for problem in caught.value.problems]
    for line, words in zip(
        told,
        ("no such image", "has no image bunnies-e2e-nowhere:1", "cannot be reached", "lower case"),
        strict=True,
    ):
        assert line.startswith("image.yaml:1:1: image/i")
        assert words in line


def test_a_task_runs_the_image_by_its_digest_and_its_words_are_in_the_log(
    world: kinds.World, base_image: str, repository: str
) -> None:
    resource = wanted(world, manifest(repository, **{"from": f"docker-daemon:{base_image}"}))
    uri = image.apply(world, create(resource))["uri"]
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    world.aws.call("ecs", "CreateCluster", clusterName=name)
    world.aws.call("logs", "CreateLogGroup", logGroupName=name)
    options = {"awslogs-group": name, "awslogs-region": local.REGION, "awslogs-stream-prefix": "ecs"}
    definition = world.aws.call(
        "ecs",
        "RegisterTaskDefinition",
        family=name,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[
            {
                "name": "main",
                "image": uri,
                "essential": True,
                "logConfiguration": {"logDriver": "awslogs", "options": options},
            }
        ],
    )["taskDefinition"]
    task = world.aws.call(
        "ecs",
        "RunTask",
        cluster=name,
        taskDefinition=definition["taskDefinitionArn"],
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        overrides={"containerOverrides": [{"name": "main", "command": ["from", "RunTask"]}]},
    )["tasks"][0]
    for _ in range(200):
        found = world.aws.call("ecs", "DescribeTasks", cluster=name, tasks=[task["taskArn"]])["tasks"][0]
        if found["lastStatus"] == "STOPPED":
            break
        time.sleep(0.1)
    assert found["containers"][0].get("exitCode") == 0, found
    stream = f"ecs/main/{task['taskArn'].rpartition('/')[2]}"
    messages: list[str] = []
    for _ in range(50):
        answer = world.aws.call(
            "logs", "GetLogEvents", logGroupName=name, logStreamName=stream, startFromHead=True
        )
        messages = [event["message"] for event in answer["events"]]
        if len(messages) == 2:
            break
        time.sleep(0.1)
    assert messages == ["init --entrypoint-args=3", "user's $entry from RunTask"]


def test_with_the_real_layer_an_image_without_shell_or_python_runs_as_it_did(
    world: kinds.World, docker_client: docker.DockerClient, base_image: str, repository: str
) -> None:
    real = dataclasses.replace(world, layer=layers.find)
    resource = wanted(real, manifest(repository, **{"from": f"docker-daemon:{base_image}"}))
    uri = image.apply(real, create(resource))["uri"]
    docker_client.images.pull(uri)
    said = containers.said(docker_client, uri, ["as before"], read_only=True, cap_drop=["ALL"])
    assert said == b"user's $entry as before\n"
