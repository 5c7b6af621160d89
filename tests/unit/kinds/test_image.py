"""Image, decided from what registries and ECR answer. The engine's part: tests/e2e/test_image.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler import errors, kinds
from reconciler.aws import Aws
from reconciler.engine import Credentials, Descriptor, Engine
from reconciler.kinds import image
from reconciler.layer import Layer
from reconciler.model import NOTHING, Action, Change, Manifest, Ref, Resource, Settings, Source

DIGEST = "sha256:" + "1a" * 32
OTHER = "sha256:" + "2b" * 32
LAYER = Layer("linux/amd64", Path("layer"), "sha256:" + "3c" * 32, "sha256:diff", 1, "1")
SETTINGS = Settings("reprod", "us-east-1", "reprod", "reprod-bucket", "bunnies/reprod")
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@dataclasses.dataclass
class Registries:
    """An engine that knows digests of references, has local images, and can do nothing else."""

    remote: Mapping[str, str] = NOTHING
    local: Mapping[str, Mapping[str, Any]] = NOTHING
    host: str = "unix:///engine.sock"
    asked: list[tuple[str, Credentials | None]] = dataclasses.field(default_factory=list)

    def descriptor(self, reference: str, credentials: Credentials | None = None) -> Descriptor:
        self.asked.append((reference, credentials))
        if reference not in self.remote:
            raise errors.EngineError(f"{reference}: the registry has no such image")
        return Descriptor(self.remote[reference], "application/vnd.oci.image.manifest.v1+json")

    def inspect(self, reference: str) -> Mapping[str, Any] | None:
        return self.local.get(reference)


@dataclasses.dataclass
class Ecr:
    """An Aws with these tags in these repositories; counts what is asked."""

    tags: Mapping[str, Mapping[str, str]] = NOTHING
    asked: list[int] = dataclasses.field(default_factory=list)

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        if operation == "GetAuthorizationToken":
            return {"authorizationData": [{"authorizationToken": "QVdTOnRva2Vu"}]}
        assert operation == "BatchGetImage"
        self.asked.append(len(params["imageIds"]))
        if params["repositoryName"] not in self.tags:
            raise errors.AwsError(operation, "RepositoryNotFoundException", "no such repository", 400)
        there = self.tags[params["repositoryName"]]
        wanted = [one["imageTag"] for one in params["imageIds"]]
        return {
            "images": [
                {"imageId": {"imageTag": tag, "imageDigest": there[tag]}} for tag in wanted if tag in there
            ],
            "failures": [{"imageId": {"imageTag": tag}} for tag in wanted if tag not in there],
        }


def world(engine: Registries | None = None, ecr: Ecr | None = None) -> kinds.World:
    return kinds.World(
        settings=SETTINGS,
        aws=cast(Aws, ecr or Ecr()),
        engine=lambda: cast(Engine, engine or Registries()),
        registry=lambda: HOST,
        layer=lambda _platform: LAYER,
        tell=lambda _line: None,
        environment={},
    )


def manifest(name: str = "analytics", file: str = "f.yaml", **body: Any) -> Manifest:
    return Manifest("Image", name, {"repository": "lab/analytics", **body}, Source(file, 3, 1))


def resource(
    name: str = "analytics", tag: str = "bunnies-1-2", repository: str = "lab/analytics"
) -> Resource:
    spec = {"repository": repository, "from": "x", "platforms": ["linux/amd64"], "tag": tag}
    return Resource(f"image/{name}", spec, owner="reprod")


def test_the_tag_is_made_of_the_bases_digest_and_the_layers() -> None:
    document = manifest(**{"from": "debian:12"})
    engine = Registries({"docker.io/library/debian:12": DIGEST})
    facts = image.facts(world(engine), [document])
    found = image.desired(document, SETTINGS, facts)
    assert found == Resource(
        "image/analytics",
        {
            "repository": "lab/analytics",
            "from": "debian:12",
            "platforms": ["linux/amd64"],
            "base": {"digest": DIGEST},
            "layer": LAYER.digest,
            "tag": "bunnies-1a1a1a1a1a1a-3c3c3c3c3c3c",
        },
        needs=("repository/lab/analytics",),
        owner="reprod",
    )


def test_a_repository_may_be_named_by_a_reference() -> None:
    document = manifest(repository=Ref("repository/lab/analytics", "uri"), **{"from": "docker-daemon:x"})
    engine = Registries(local={"x": {"Id": DIGEST}})
    found = image.desired(document, SETTINGS, image.facts(world(engine), [document]))
    assert found.spec["repository"] == "lab/analytics"


def test_only_our_own_registry_is_asked_with_ecrs_credentials() -> None:
    engine = Registries({"ghcr.io/a/b:1": DIGEST, f"{HOST}/base:1": DIGEST})
    image.facts(
        world(engine),
        [manifest("a", **{"from": "ghcr.io/a/b:1"}), manifest("b", **{"from": f"{HOST}/base:1"})],
    )
    assert dict(engine.asked) == {
        "ghcr.io/a/b:1": None,
        f"{HOST}/base:1": Credentials("AWS", "token"),
    }


def test_a_base_of_many_images_is_asked_for_once_and_each_is_told_where_it_is_gone() -> None:
    engine = Registries({"ghcr.io/a/b:1": DIGEST})
    found = image.facts(world(engine), [manifest(name, **{"from": "ghcr.io/a/b:1"}) for name in "abc"])
    assert len(engine.asked) == 1
    assert set(found) == {"image/a", "image/b", "image/c"}
    with pytest.raises(errors.ManifestError) as caught:
        image.facts(world(), [manifest(name, **{"from": "gone:1"}) for name in "ab"])
    assert [problem.address for problem in caught.value.problems] == ["image/a", "image/b"]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({}, "exactly one of them"),
        ({"from": "x", "build": {}}, "exactly one of them"),
        ({"build": "."}, "Write build: {context: ., dockerfile: Dockerfile}"),
        ({"from": "x", "repository": ""}, "repository is missing"),
        ({"from": "x", "platforms": ["linux/amd64", "linux/arm64"]}, "single one"),
    ],
)
def test_a_mistake_in_the_manifest_is_told_at_its_place(body: dict[str, Any], what: str) -> None:
    with pytest.raises(errors.ManifestError) as caught:
        image.facts(world(), [manifest(**body)])
    assert str(caught.value).startswith("f.yaml:3:1: image/analytics: ")
    assert what in str(caught.value)


def test_every_base_that_cannot_be_resolved_is_told_with_its_reference() -> None:
    with pytest.raises(errors.ManifestError) as caught:
        image.facts(
            world(),
            [
                manifest("a", **{"from": "gone:1"}),
                manifest("b", **{"from": "docker-daemon:never-built"}),
                manifest("c", build={"context": "no/such/folder"}),
            ],
        )
    lines = str(caught.value).splitlines()
    assert [
        words in line for words, line in zip(("gone:1", "never-built", "no/such/folder"), lines, strict=True)
    ] == [
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("engine", "pin"),
    [
        (
            Registries({"docker.io/library/base:1": OTHER}, {"base:1": {"Id": DIGEST}}),
            f"docker.io/library/base@{OTHER}",
        ),
        (Registries(local={"base:1": {"Id": DIGEST, "RepoDigests": []}}), DIGEST),
        (Registries(local={"base:1": {"Id": DIGEST, "RepoDigests": [f"base@{OTHER}"]}}), f"base@{OTHER}"),
    ],
    ids=["the registry decides", "the engine alone has it", "pulled once, registry away"],
)
def test_what_a_dockerfile_builds_on_is_pinned(tmp_path: Path, engine: Registries, pin: str) -> None:
    (tmp_path / "Dockerfile").write_text("FROM base:1\n")
    document = manifest(file=str(tmp_path / "f.yaml"), build={"context": "."})
    facts = image.facts(world(engine), [document])
    assert facts["image/analytics"]["pins"] == {"base:1": pin}
    assert image.desired(document, SETTINGS, facts).spec["base"]["pins"] == {"base:1": pin}


def test_what_is_there_is_found_by_its_tag_a_hundred_at_a_time() -> None:
    tags = {f"bunnies-{number}": f"sha256:{number}" for number in range(0, 250, 2)}
    ecr = Ecr({"lab/analytics": tags})
    wanted = [resource(str(number), f"bunnies-{number}") for number in range(250)]
    found = image.live(world(ecr=ecr), wanted)
    assert ecr.asked == [100, 100, 50]
    assert set(found) == {f"image/{number}" for number in range(0, 250, 2)}
    one = found["image/2"]
    assert (one.spec, one.owner) == (wanted[2].spec, "reprod")
    assert one.attributes == {
        "digest": "sha256:2",
        "uri": f"{HOST}/lab/analytics@sha256:2",
        "tag": "bunnies-2",
    }


def test_nothing_is_there_where_the_repository_is_not() -> None:
    assert image.live(world(), [resource()]) == {}


def test_an_image_that_is_there_needs_no_engine() -> None:
    def no_engine() -> Engine:
        raise errors.EngineError("no engine")

    outside = dataclasses.replace(
        world(ecr=Ecr({"lab/analytics": {"bunnies-1-2": DIGEST}})), engine=no_engine
    )
    assert image.live(outside, [resource()])["image/analytics"].attributes["digest"] == DIGEST
    change = Change("image/analytics", Action.CREATE, None, resource())
    assert image.apply(outside, change)["digest"] == DIGEST
    with pytest.raises(errors.BunniesError, match="Write a Repository manifest with name: lab/analytics"):
        image.apply(world(), change)


class Racing(Registries):
    """An engine whose push comes second: the tag is immutable and there by then."""

    def __init__(self, ecr: Ecr) -> None:
        super().__init__(
            local={
                DIGEST: {"Id": DIGEST, "Os": "linux", "Architecture": "amd64", "Config": {}},
                "built": {
                    "Id": "built",
                    "Config": {
                        "Entrypoint": ["/bunnies/bin/bunny-init", "--entrypoint-args=0", "--"],
                        "Labels": {"bunnies.base.digest": DIGEST, "bunnies.layer.digest": LAYER.digest},
                    },
                },
            }
        )
        self.ecr = ecr

    def build(self, *_args: Any, **_options: Any) -> str:
        return "built"

    def push(self, *_args: Any) -> str:
        self.ecr.tags = {"lab/analytics": {"bunnies-1-2": OTHER}}
        raise errors.EngineError("tag invalid: it is immutable")


def test_of_two_pushes_at_once_the_first_one_counts(tmp_path: Path) -> None:
    ecr = Ecr({"lab/analytics": {}})
    blob = tmp_path / "layer.tar.gz"
    blob.write_bytes(b"layer")
    outside = dataclasses.replace(
        world(Racing(ecr), ecr), layer=lambda _platform: dataclasses.replace(LAYER, path=blob)
    )
    spec = {**resource().spec, "from": "docker-daemon:x", "base": {"digest": DIGEST}, "layer": LAYER.digest}
    change = Change("image/analytics", Action.CREATE, None, dataclasses.replace(resource(), spec=spec))
    assert image.apply(outside, change)["digest"] == OTHER
    arm = dataclasses.replace(resource(), spec=spec | {"platforms": ["linux/arm64"], "tag": "other"})
    with pytest.raises(errors.EngineError, match=r"for linux/amd64, the manifest says linux/arm64"):
        image.apply(outside, Change("image/analytics", Action.CREATE, None, arm))
