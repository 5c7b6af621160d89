"""Image, decided from what registries and ECR answer. The engine's part: tests/e2e/test_image.py."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler import derive, errors, kinds, media, registry
from reconciler.aws import Aws
from reconciler.engine import Engine
from reconciler.kinds import image
from reconciler.layer import Layer
from reconciler.model import NOTHING, Action, Change, Manifest, Ref, Resource, Settings, Source

DIGEST = "sha256:" + "1a" * 32
OTHER = "sha256:" + "2b" * 32
LAYER = Layer("linux/amd64", Path("layer"), "sha256:" + "3c" * 32, "sha256:diff", 1, "1")
SETTINGS = Settings("reprod", "us-east-1", "reprod", "reprod-bucket", "bunnies/reprod")
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@dataclasses.dataclass
class Local:
    """An engine that has these images and can do nothing else."""

    local: Mapping[str, Mapping[str, Any]] = NOTHING
    host: str = "unix:///engine.sock"

    def inspect(self, reference: str) -> Mapping[str, Any] | None:
        return self.local.get(reference)


@dataclasses.dataclass
class Registries:
    """Registries that know digests of references; `pushed` says what became of a push."""

    remote: Mapping[str, str] = NOTHING
    asked: list[str] = dataclasses.field(default_factory=list)
    documents: dict[str, registry.Document] = dataclasses.field(default_factory=dict)
    blobs: dict[str, bytes] = dataclasses.field(default_factory=dict)
    refuses: Callable[[], None] = lambda: None

    def repository(self, host: str, path: str) -> Repository:
        return Repository(self, f"{host}/{path}")

    def credentials(self, _host: str) -> None:
        return None


@dataclasses.dataclass
class Repository:
    registries: Registries
    name: str

    def head(self, reference: str) -> tuple[str, str]:
        full = f"{self.name}{'@' if reference.startswith('sha256:') else ':'}{reference}"
        self.registries.asked.append(full)
        if full not in self.registries.remote:
            raise errors.RegistryError(f"{full}: the registry has no such image")
        return self.registries.remote[full], media.OCI_MANIFEST

    def manifest(self, reference: str) -> registry.Document:
        return self.registries.documents[reference]

    def read(self, digest: str, _limit: int) -> bytes:
        return self.registries.blobs[digest]

    def blob(self, digest: str, _size: int | None) -> Iterator[memoryview]:
        yield memoryview(self.registries.blobs[digest])

    def push(self, blob: registry.Blob) -> str:
        self.registries.blobs[blob.digest] = b"".join(blob.chunks())
        return "pushed"

    def put(self, reference: str, document: registry.Document) -> None:
        self.registries.refuses()
        self.registries.documents[reference] = document


@dataclasses.dataclass
class Ecr:
    """An Aws with these tags in these repositories; counts what is asked."""

    tags: Mapping[str, Mapping[str, str]] = NOTHING
    manifests: Mapping[str, Any] = NOTHING
    asked: list[int] = dataclasses.field(default_factory=list)

    def pages(self, service: str, operation: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        assert (service, operation) == ("ecr", "DescribeImages")
        if params["repositoryName"] not in self.tags:
            raise errors.AwsError(operation, "RepositoryNotFoundException", "no such repository", 400)
        yield {"imageDetails": [{"imageTags": [tag], "imagePushedAt": 1} for tag in self.manifests]}
        yield {"imageDetails": [{"imagePushedAt": 2}]}

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        if self.manifests and params["imageIds"] == [{"imageTag": tag} for tag in self.manifests]:
            return {
                "images": [
                    {"imageId": {"imageTag": tag}, "imageManifest": json.dumps(manifest)}
                    for tag, manifest in self.manifests.items()
                ]
            }
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


def world(
    found: Registries | None = None, ecr: Ecr | None = None, engine: Local | None = None
) -> kinds.World:
    return kinds.World(
        settings=SETTINGS,
        aws=cast(Aws, ecr or Ecr()),
        engine=lambda: cast(Engine, engine or Local()),
        registry=lambda: HOST,
        layer=lambda _platform: LAYER,
        tell=lambda _line: None,
        environment={},
        registries=lambda: cast(registry.Registries, found or Registries()),
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
    found = Registries({"docker.io/library/debian:12": DIGEST})
    facts = image.facts(world(found), [document])
    assert image.desired(document, SETTINGS, facts) == Resource(
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
    outside = world(engine=Local({"x": {"Id": DIGEST}}))
    found = image.desired(document, SETTINGS, image.facts(outside, [document]))
    assert found.spec["repository"] == "lab/analytics"


def test_a_base_of_many_images_is_asked_for_once_and_each_is_told_where_it_is_gone() -> None:
    registries = Registries({"ghcr.io/a/b:1": DIGEST})
    found = image.facts(world(registries), [manifest(name, **{"from": "ghcr.io/a/b:1"}) for name in "abc"])
    assert len(registries.asked) == 1
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
        ({"from": "docker-daemon:x", "builder": "registry"}, "Write builder: auto"),
        ({"build": {}, "builder": "registry"}, "Write builder: auto"),
        ({"from": "docker-daemon:x", "platforms": ["linux/amd64", "linux/arm64"]}, "a single platform"),
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
    ("remote", "local", "pin"),
    [
        ({"docker.io/library/base:1": OTHER}, {"base:1": {"Id": DIGEST}}, f"docker.io/library/base@{OTHER}"),
        ({}, {"base:1": {"Id": DIGEST, "RepoDigests": []}}, DIGEST),
        ({}, {"base:1": {"Id": DIGEST, "RepoDigests": [f"base@{OTHER}"]}}, f"base@{OTHER}"),
    ],
    ids=["the registry decides", "the engine alone has it", "pulled once, registry away"],
)
def test_what_a_dockerfile_builds_on_is_pinned(
    tmp_path: Path, remote: dict[str, str], local: dict[str, Any], pin: str
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM base:1\n")
    document = manifest(file=str(tmp_path / "f.yaml"), build={"context": "."})
    facts = image.facts(world(Registries(remote), engine=Local(local)), [document])
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


BASE_CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Entrypoint": ["/bin/sh"]},
    "rootfs": {"diff_ids": ["sha256:1"]},
}


def sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def base_in(registries: Registries, config: Mapping[str, Any] = NOTHING) -> str:
    """The digest of a base with one layer that these registries have from now on."""
    layer, body = b"the base's layer", json.dumps({**BASE_CONFIG, **config}).encode()
    manifest = {
        "mediaType": media.OCI_MANIFEST,
        "config": {"mediaType": media.OCI_CONFIG, "size": len(body), "digest": sha256(body)},
        "layers": [{"mediaType": media.OCI_LAYER, "size": len(layer), "digest": sha256(layer)}],
    }
    document = registry.document(json.dumps(manifest).encode(), media.OCI_MANIFEST)
    registries.blobs |= {sha256(body): body, sha256(layer): layer}
    registries.documents[document.digest] = document
    return document.digest


def outside(registries: Registries, ecr: Ecr, folder: Path) -> kinds.World:
    """A world with a platform layer that can be read."""
    blob = folder / "layer.tar.gz"
    blob.write_bytes(b"layer")
    found = dataclasses.replace(LAYER, path=blob, digest=sha256(b"layer"), size=5)
    return dataclasses.replace(world(registries, ecr), layer=lambda _platform: found)


def missing(base: str, **options: Any) -> Resource:
    spec = {**resource().spec, "from": "debian:12", "base": {"digest": base}, "layer": sha256(b"layer")}
    return dataclasses.replace(resource(), spec=spec, options=options)


def test_blobs_go_first_and_the_tag_last(tmp_path: Path) -> None:
    registries = Registries()
    wanted = missing(base_in(registries))
    attributes = image.apply(
        outside(registries, Ecr({"lab/analytics": {}}), tmp_path),
        Change("image/analytics", Action.CREATE, None, wanted),
    )
    made = registries.documents["bunnies-1-2"]
    assert attributes["digest"] == made.digest
    manifest = json.loads(made.body)
    for descriptor in (manifest["config"], *manifest["layers"]):
        assert sha256(registries.blobs[descriptor["digest"]]) == descriptor["digest"]


def test_of_two_pushes_at_once_the_first_one_counts(tmp_path: Path) -> None:
    ecr, registries = Ecr({"lab/analytics": {}}), Registries()

    def second() -> None:
        ecr.tags = {"lab/analytics": {"bunnies-1-2": OTHER}}
        raise errors.RegistryError("tag invalid: it is immutable", 400)

    registries.refuses = second
    change = Change("image/analytics", Action.CREATE, None, missing(base_in(registries)))
    assert image.apply(outside(registries, ecr, tmp_path), change)["digest"] == OTHER


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"architecture": "arm64"}, "the image is for linux/arm64, the manifest says linux/amd64"),
        ({"config": {"Entrypoint": [derive.INIT]}}, "has the platform layer already"),
    ],
)
def test_a_base_that_cannot_take_the_layer_is_told_by_the_plan_and_refused_by_an_apply(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    registries, ecr = Registries(), Ecr({"lab/analytics": {}})
    wanted = missing(base_in(registries, config))
    there = outside(registries, ecr, tmp_path)
    with pytest.raises(errors.ManifestError, match=f"image/analytics: from: .*{words}"):
        image.explained(there, [wanted])
    with pytest.raises(errors.BunniesError, match=words):
        image.apply(there, Change("image/analytics", Action.CREATE, None, wanted))
    assert "bunnies-1-2" not in registries.documents


def earlier(name: str, base: str, layer: str, version: str, layers: tuple[str, ...] = ()) -> dict[str, Any]:
    annotations = {
        derive.BASE_NAME: name,
        derive.BASE_DIGEST: base,
        derive.LAYER_DIGEST: layer,
        derive.LAYER_VERSION: version,
    }
    return {"annotations": annotations, "layers": [{"digest": digest} for digest in layers]}


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ({}, "not there, base 12@{base}; 21 bytes to travel"),
        (
            {"bunnies-old": earlier("docker.io/library/debian:12", OTHER, sha256(b"layer"), "1")},
            "base 12@sha256:2b2b2b2b2b2b → {base} (the tag moved); 21 bytes to travel",
        ),
        (
            {"bunnies-old": earlier("docker.io/library/debian:12", "{whole}", OTHER, "0.9")},
            "shim 0.9 → 1; 21 bytes to travel",
        ),
        (
            {
                "bunnies-old": earlier(
                    "docker.io/library/debian:12", "{whole}", OTHER, "1", (sha256(b"the base's layer"),)
                )
            },
            "shim 1: sha256:2b2b2b2b2b2b → {layer}; 5 bytes to travel",
        ),
        (
            {"bunnies-old": earlier("docker.io/library/other:12", OTHER, OTHER, "1", (sha256(b"layer"),))},
            "not there, base 12@{base}; 16 bytes to travel",
        ),
        (
            {"latest": earlier("docker.io/library/debian:12", OTHER, OTHER, "1")},
            "not there, base 12@{base}; 21 bytes to travel",
        ),
    ],
    ids=["first", "moved", "shim", "shim of one version", "another base", "not ours"],
)
def test_a_plan_says_what_moved_and_how_much_will_travel(
    tmp_path: Path, before: dict[str, Any], why: str
) -> None:
    registries = Registries()
    base = base_in(registries)
    text = json.dumps(before).replace("{whole}", base)
    there = outside(registries, Ecr({"lab/analytics": {}}, json.loads(text)), tmp_path)
    told = image.explained(there, [missing(base, builder="registry")])[0]
    assert told.options == {
        "builder": "registry",
        "why": why.format(base=base[:19], layer=sha256(b"layer")[:19]),
    }


def test_an_engines_image_and_a_build_say_what_they_can(tmp_path: Path) -> None:
    there = dataclasses.replace(
        outside(Registries(), Ecr({"lab/analytics": {}}), tmp_path),
        engine=lambda: cast(Engine, Local({DIGEST: {"Id": DIGEST, "Size": 3_000_000}})),
    )
    spec = {**missing(DIGEST).spec, "from": "docker-daemon:x:1"}
    of_engine = dataclasses.replace(resource(), spec=spec)
    build = {key: value for key, value in spec.items() if key != "from"} | {"build": {"context": "."}}
    of_build = dataclasses.replace(resource(), spec=build)
    assert [one.options["why"] for one in image.explained(there, [of_engine, of_build])] == [
        "not there, base docker-daemon:x:1@sha256:1a1a1a1a1a1a; at most 3.0 MB to travel",
        "not there, base sha256:1a1a1a1a1a1a; to be built, and 5 bytes to travel besides it",
    ]


def test_only_what_is_not_there_is_explained() -> None:
    there = world()
    present, wanted = resource("a"), resource("b")
    assert kinds.explained(kinds.by_name("repository"), there, [wanted], {}) == [wanted]
    found = {"image/a": present, "image/b": wanted}
    assert kinds.explained(kinds.by_name("image"), there, [present, wanted], found) == [present, wanted]


def test_several_platforms_are_known_by_one_digest_over_theirs() -> None:
    document = manifest(**{"from": "debian:12"}, platforms=["linux/amd64", "linux/arm64"])
    fact = {
        "digest": "sha256:" + "5e" * 32,
        "platforms": {"linux/amd64": DIGEST, "linux/arm64": OTHER},
        "index": "sha256:index",
        "layers": {"linux/amd64": DIGEST, "linux/arm64": OTHER},
    }
    spec = image.desired(document, SETTINGS, {"image/analytics": fact}).spec
    assert spec["base"] == {key: fact[key] for key in ("digest", "platforms", "index")}
    assert spec["layers"] == fact["layers"]
    assert spec["tag"] == f"bunnies-5e5e5e5e5e5e-{spec['layer'].removeprefix('sha256:')[:12]}"
    assert spec["layer"] not in (DIGEST, OTHER)
