"""Images made in registries, judged by skopeo, umoci, crun and Docker, which know nothing of us."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import docker
import pytest

from reconciler import derive, errors, kinds, local, media
from reconciler import layer as layers
from reconciler.engine import Engine
from reconciler.kinds import image
from reconciler.model import Action, Change, Manifest, Resource, Source
from tests.e2e import containers, registries

KINDS_OF_BASE = ("docker", "oci")


def no_engine() -> NoReturn:
    raise errors.EngineError("there is no engine here")


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another registry than the cloud's."""
    with registries.serve(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="session")
def bases(elsewhere: str, engine: Engine, base_image: str) -> dict[str, str]:
    """The user's image in that registry, with Docker's media types and with OCI's."""
    found = {}
    for form, option in (("docker", "v2s2"), ("oci", "oci")):
        found[form] = f"{elsewhere}/bases/{form}:3"
        source = f"docker-daemon:{base_image}"
        registries.copy(
            source, f"docker://{found[form]}", "--format", option, "--src-daemon-host", engine.host
        )
    return found


@pytest.fixture
def alone(world: kinds.World) -> kinds.World:
    """The outside without any engine."""
    return dataclasses.replace(world, engine=no_engine)


@pytest.fixture
def repository(world: kinds.World) -> str:
    name = f"team/e2e-{uuid.uuid4().hex[:8]}"
    world.aws.call("ecr", "CreateRepository", repositoryName=name, imageTagMutability="IMMUTABLE")
    return name


def wanted(world: kinds.World, repository: str, base: str, **body: Any) -> Resource:
    document = Manifest(
        "Image", "analytics", {"repository": repository, "from": base, **body}, Source("i.yaml", 1, 1)
    )
    return image.desired(document, world.settings, image.facts(world, [document]))


def made(world: kinds.World, resource: Resource) -> dict[str, Any]:
    return image.apply(world, Change(resource.address, Action.CREATE, None, resource))


@pytest.mark.parametrize("form", KINDS_OF_BASE)
def test_with_no_engine_at_all_an_image_is_planned_and_made_and_is_then_there(
    alone: kinds.World, repository: str, bases: dict[str, str], form: str, stand_in_layer: layers.Layer
) -> None:
    resource = wanted(alone, repository, bases[form])
    explained = image.explained(alone, [resource])[0]
    assert explained.options["why"].startswith("not there, base 3@sha256:")
    assert explained.options["why"].endswith(" to travel")
    attributes = made(alone, resource)
    assert image.live(alone, [resource])[resource.address].attributes == attributes

    before = registries.inspect(bases[form], "--raw")
    after = registries.inspect(attributes["uri"], "--raw")
    docker_form = form == "docker"
    assert after["mediaType"] == before["mediaType"]
    assert after["layers"][:-1] == before["layers"]
    assert after["layers"][-1] == {
        "mediaType": media.DOCKER_LAYER if docker_form else media.OCI_LAYER,
        "size": stand_in_layer.size,
        "digest": stand_in_layer.digest,
    }
    assert after["annotations"][derive.BASE_NAME] == bases[form]
    assert after["annotations"][derive.BASE_DIGEST] == resource.spec["base"]["digest"]

    old = registries.inspect(bases[form], "--config", "--raw")
    new = registries.inspect(attributes["uri"], "--config", "--raw")
    assert new["rootfs"]["diff_ids"] == [*old["rootfs"]["diff_ids"], stand_in_layer.diff_id]
    assert new["history"][:-1] == old["history"]
    assert new["config"].pop("Entrypoint") == derive.entrypoint(old["config"])
    old["config"].pop("Entrypoint")
    rest = {"rootfs", "history"}
    assert {k: v for k, v in new.items() if k not in rest} == {k: v for k, v in old.items() if k not in rest}


@pytest.mark.parametrize("form", KINDS_OF_BASE)
def test_skopeo_umoci_crun_and_docker_accept_what_was_made(
    alone: kinds.World,
    docker_client: docker.DockerClient,
    repository: str,
    bases: dict[str, str],
    form: str,
    tmp_path: Path,
) -> None:
    real = dataclasses.replace(alone, layer=layers.find)
    uri = made(real, wanted(real, repository, bases[form]))["uri"]
    registries.copy(f"docker://{uri}", f"oci:{tmp_path}/oci:made")
    registries.copy(f"docker://{uri}", f"dir:{tmp_path}/dir")
    registries.run("umoci", "unpack", "--image", f"{tmp_path}/oci:made", f"{tmp_path}/bundle")
    assert (tmp_path / "bundle/rootfs/bunnies/bin/bunny-init").exists()
    assert (tmp_path / "bundle/rootfs/input").stat().st_mode & 0o7777 == 0o1777

    assert registries.crun(tmp_path / "bundle") == 'user\'s $entry and its "command"\n'

    docker_client.images.pull(uri)
    assert containers.said(docker_client, uri, ["again"]) == b"user's $entry again\n"


def test_either_builder_makes_the_same_bytes(
    world: kinds.World, alone: kinds.World, repository: str, bases: dict[str, str]
) -> None:
    other = f"{repository}-engine"
    world.aws.call("ecr", "CreateRepository", repositoryName=other)
    first = made(alone, wanted(alone, repository, bases["docker"], builder="registry"))
    second = made(world, wanted(world, other, bases["docker"], builder="engine"))
    assert first["digest"] == second["digest"]


def test_an_engines_image_gives_the_same_bytes_each_time(
    world: kinds.World, repository: str, base_image: str
) -> None:
    other = f"{repository}-again"
    world.aws.call("ecr", "CreateRepository", repositoryName=other)
    digests = {
        made(world, wanted(world, name, f"docker-daemon:{base_image}"))["digest"]
        for name in (repository, other)
    }
    assert len(digests) == 1


def put_index(host: str, path: str, tag: str, manifests: list[dict[str, Any]]) -> None:
    document = {
        "schemaVersion": 2,
        "mediaType": media.OCI_INDEX,
        "manifests": manifests,
        "annotations": {"team": "genomics"},
    }
    request = urllib.request.Request(
        f"http://{host}/v2/{path}/manifests/{tag}",
        json.dumps(document).encode(),
        {"Content-Type": media.OCI_INDEX},
        method="PUT",
    )
    with urllib.request.urlopen(request):
        pass


@pytest.fixture(scope="session")
def index(elsewhere: str, bases: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A multi-platform image with an attestation, as buildx pushes them; its arm64 runs nothing, but is one."""
    folder = tmp_path_factory.mktemp("arm64") / "dir"
    registries.copy(f"docker://{bases['oci']}", f"dir:{folder}")
    manifest = json.loads((folder / "manifest.json").read_text())
    path = folder / manifest["config"]["digest"].removeprefix("sha256:")
    config = json.loads(path.read_text()) | {"architecture": "arm64", "variant": "v8"}
    body = derive.text(config)
    changed = derive._descriptor(manifest["config"], body)
    (folder / changed["digest"].removeprefix("sha256:")).write_bytes(body)
    (folder / "manifest.json").write_bytes(derive.text(manifest | {"config": changed}))
    registries.copy(f"dir:{folder}", f"docker://{elsewhere}/bases/oci:arm64")
    entries = []
    for tag, platform in (
        ("3", {"os": "linux", "architecture": "amd64"}),
        ("arm64", {"os": "linux", "architecture": "arm64", "variant": "v8"}),
    ):
        raw = registries.run(
            "skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{elsewhere}/bases/oci:{tag}"
        )
        descriptor = derive._descriptor({"mediaType": media.OCI_MANIFEST}, raw.encode())
        entries.append({**descriptor, "platform": platform, "x-unknown": tag})
    attestation = {
        **entries[0],
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": entries[0]["digest"],
        },
    }
    put_index(elsewhere, "bases/oci", "many", [*entries, attestation])
    return f"{elsewhere}/bases/oci:many"


def test_of_a_multi_platform_image_the_manifest_picks_and_one_platform_gives_a_plain_image(
    alone: kinds.World, repository: str, index: str, bases: dict[str, str]
) -> None:
    resource = wanted(alone, repository, index)
    assert resource.spec["base"]["digest"] == registries.inspect(index, "--raw")["manifests"][0]["digest"]
    assert registries.inspect(made(alone, resource)["uri"], "--raw")["mediaType"] == media.OCI_MANIFEST
    with pytest.raises(
        errors.ManifestError, match=r"no image for linux/s390x in it, it has linux/amd64, linux/arm64"
    ):
        wanted(alone, repository, index, platforms=["linux/s390x"])
    with pytest.raises(errors.ManifestError, match="it is for one platform only"):
        wanted(alone, repository, bases["oci"], platforms=["linux/amd64", "linux/arm64"])


def test_of_several_platforms_the_result_is_an_index_again_without_the_attestation(
    alone: kinds.World, repository: str, index: str, stand_in_layer: layers.Layer
) -> None:
    found = dataclasses.replace(
        alone, layer=lambda platform: dataclasses.replace(stand_in_layer, platform=platform)
    )
    platforms = ["linux/arm64", "linux/amd64"]
    resource = wanted(found, repository, index, platforms=platforms)
    attributes = made(found, resource)
    before, after = registries.inspect(index, "--raw"), registries.inspect(attributes["uri"], "--raw")
    assert after["mediaType"] == media.OCI_INDEX
    assert [(one["platform"], one["x-unknown"]) for one in after["manifests"]] == [
        (one["platform"], one["x-unknown"]) for one in before["manifests"][:2]
    ]
    assert after["annotations"]["team"] == "genomics"
    assert after["annotations"][derive.BASE_DIGEST] == resource.spec["base"]["index"]
    assert attributes["digest"] == image.live(found, [resource])[resource.address].attributes["digest"]
    for one in after["manifests"]:
        config = registries.inspect(
            f"{attributes['uri'].partition('@')[0]}@{one['digest']}", "--config", "--raw"
        )
        assert config["architecture"] == one["platform"]["architecture"]
        assert config["config"]["Entrypoint"][0] == derive.INIT
    missing = dataclasses.replace(alone, layer=layers.find)
    if not (layers.FOLDER / "linux-arm64.json").exists():
        with pytest.raises(errors.BunniesError, match="bunnies shim build --platform linux/arm64"):
            wanted(missing, repository, index, platforms=platforms)


def test_a_moved_tag_and_a_new_shim_are_why_with_the_bytes_that_will_travel(
    alone: kinds.World, repository: str, bases: dict[str, str], elsewhere: str, stand_in_layer: layers.Layer
) -> None:
    name = f"{elsewhere}/bases/moving-{uuid.uuid4().hex[:8]}:3"
    registries.copy(f"docker://{bases['docker']}", f"docker://{name}")
    first = wanted(alone, repository, name)
    made(alone, first)
    registries.copy(f"docker://{bases['oci']}", f"docker://{name}")
    second = wanted(alone, repository, name)
    why = image.explained(alone, [second])[0].options["why"]
    before, after = (one.spec["base"]["digest"][7:19] for one in (first, second))
    assert why.startswith(f"base 3@sha256:{before} → sha256:{after} (the tag moved); ")
    newer = dataclasses.replace(stand_in_layer, version="9", digest="sha256:" + "9" * 64, size=2_500_000)
    later = dataclasses.replace(alone, layer=lambda _platform: newer)
    registries.copy(f"docker://{bases['docker']}", f"docker://{name}")
    assert (
        image.explained(later, [wanted(later, repository, name)])[0].options["why"]
        == "shim 0 → 9; 2.5 MB to travel"
    )


def test_within_one_registry_layers_are_mounted_not_sent(
    alone: kinds.World, repository: str, bases: dict[str, str]
) -> None:
    base = f"bases/e2e-{uuid.uuid4().hex[:8]}"
    alone.aws.call("ecr", "CreateRepository", repositoryName=base)
    name = f"{alone.registry()}/{base}:3"
    registries.copy(f"docker://{bases['docker']}", f"docker://{name}")
    resource = wanted(alone, repository, name)
    assert "mounted within the registry" in image.explained(alone, [resource])[0].options["why"]
    told: list[str] = []
    made(dataclasses.replace(alone, tell=told.append), resource)
    assert told == [f"pushing to {alone.registry()}/{repository}"]


MANIFESTS = """\
kind: Settings
name: registry-{name}
region: us-east-1
cluster: e2e
bucket: registry-{name}
---
kind: Repository
name: registry/{name}
imageTagMutability: IMMUTABLE
---
kind: Image
name: analytics
from: {base}
repository: registry/{name}
"""


def test_the_command_line_plans_and_applies_with_no_engine(
    cloud: local.Cloud, bases: dict[str, str], tmp_path: Path
) -> None:
    name = uuid.uuid4().hex[:8]
    (tmp_path / "image.yaml").write_text(MANIFESTS.format(name=name, base=bases["oci"]))
    environment = {**os.environ, **local.env(cloud.port), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}

    def bunnies(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [Path(sys.executable).parent / "bunnies", *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    assert bunnies("bootstrap", ".", "--yes")[0] == 0
    code, said = bunnies("plan", "--detailed-exitcode", "--json", ".")
    assert code == 2, said
    assert '"not there, base 3@sha256:' in said
    assert "to travel" in said
    code, said = bunnies("apply", "--yes", ".")
    assert code == 0, said
    code, said = bunnies("plan", "--detailed-exitcode", ".")
    assert code == 0, said
