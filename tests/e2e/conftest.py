"""A real engine and a local cloud of this session's own, for every test in this folder.

Without an engine the tests are skipped, and say so; where CI=true they fail instead.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from reconciler import aws as aws_module
from reconciler import clock, errors, kinds, local, model, registry
from reconciler import engine as docker_engine
from reconciler import layer as layers
from reconciler.registry import keys

PLATFORM = "linux/amd64"
SESSION = uuid.uuid4().hex[
    :8
]  # a label on every image that these tests make, so that they can clear them away
# What a stand-in for bunny-init does: say who it is, then become the user's entrypoint and command.
STAND_IN = """#!/bin/busybox sh
echo "init $1"
shift 2
exec "$@"
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("e2e")


@pytest.fixture(scope="session")
def engine() -> Iterator[docker_engine.Engine]:
    """The engine that DOCKER_HOST names or that answers in the usual places."""
    try:
        found = docker_engine.connect()
    except errors.EngineError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs a Docker engine: {error}")
        pytest.skip(f"NOT RUN, there is no Docker engine: {error}")
    yield found
    found.close()


@pytest.fixture(scope="session")
def docker_client(engine: docker_engine.Engine) -> Iterator[docker.DockerClient]:
    """The docker SDK on the same engine, for what only tests need."""
    client = docker.DockerClient(base_url=engine.host, version="auto")
    yield client
    client.images.prune(filters={"dangling": True, "label": f"bunnies.e2e={SESSION}"})
    client.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def cloud(
    engine: docker_engine.Engine,
    docker_client: docker.DockerClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[local.Cloud]:
    """A local cloud on a free port, its state thrown away; the environment points to it while the session lasts."""
    folder = tmp_path_factory.mktemp("cloud") / "local"
    started, _ = local.up(folder, free_port(), {**os.environ, "DOCKER_HOST": engine.host})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in local.env(started.port).items():
            patch.setenv(name, value)
        yield started
    local.down(folder)
    _forget(docker_client, f"127.0.0.1:{started.port}/")


def _forget(client: docker.DockerClient, registry: str) -> None:
    """Take the names that this session's registry gave to images off the engine; it drops what has no name left."""
    for found in client.images.list():
        names = (found.attrs.get("RepoTags") or []) + (found.attrs.get("RepoDigests") or [])
        for name in names:
            if name.startswith(registry):
                client.images.remove(name, force=True)


@pytest.fixture(scope="session")
def aws(cloud: local.Cloud) -> aws_module.Aws:
    """The local cloud through our own door."""
    return aws_module.Aws(local.REGION, endpoint_url=cloud.endpoint)


@pytest.fixture(scope="session")
def stand_in_layer(tmp_path_factory: pytest.TempPathFactory) -> layers.Layer:
    """A tiny layer in the real one's form: folders of the right modes and a bunny-init that busybox runs."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, mode in (
            ("bunnies", 0o755),
            ("bunnies/bin", 0o755),
            ("input", 0o1777),
            ("output", 0o1777),
            ("scratch", 0o1777),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        entry = tarfile.TarInfo("bunnies/bin/bunny-init")
        entry.mode, entry.size = 0o755, len(STAND_IN)
        archive.addfile(entry, io.BytesIO(STAND_IN.encode()))
    blob = gzip.compress(tar.getvalue(), mtime=0)
    folder = tmp_path_factory.mktemp("layers")
    (folder / "linux-amd64.tar.gz").write_bytes(blob)
    facts = {
        "platform": PLATFORM,
        "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}",
        "diff_id": f"sha256:{hashlib.sha256(tar.getvalue()).hexdigest()}",
        "size": len(blob),
        "version": "0",
        "recipe": "stand-in",
    }
    (folder / "linux-amd64.json").write_text(json.dumps(facts))
    return layers.find(PLATFORM, folder)


@pytest.fixture(scope="session")
def busybox_tar() -> bytes:
    """The files of a smallest user's image: a static busybox and nothing else."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.fail("these tests need a static busybox: apt-get install busybox-static")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(busybox, "bin/busybox")
    return stream.getvalue()


@pytest.fixture(scope="session")
def base_image(docker_client: docker.DockerClient, busybox_tar: bytes) -> Iterator[str]:
    """Name of a user's image on the engine, with something in every field that must survive."""
    name = f"bunnies-e2e-{SESSION}:1"
    context = io.BytesIO()
    text = (
        f"FROM scratch\nLABEL bunnies.e2e={SESSION}\n"
        + """\
ADD files.tar /
ENV GREETING=hello
WORKDIR /work
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGQUIT
LABEL team=genomics
HEALTHCHECK --interval=30s CMD ["/bin/busybox", "true"]
USER 1234:1234
ENTRYPOINT ["/bin/busybox", "echo", "user's $entry"]
CMD ["and", "its \\"command\\""]
"""
    )
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, content in (("Dockerfile", text.encode()), ("files.tar", busybox_tar)):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    context.seek(0)
    docker_client.images.build(fileobj=context, custom_context=True, tag=name, rm=True, forcerm=True)
    yield name
    docker_client.images.remove(name, force=True, noprune=True)


@pytest.fixture
def world(
    cloud: local.Cloud,
    engine: docker_engine.Engine,
    aws: aws_module.Aws,
    stand_in_layer: layers.Layer,
) -> kinds.World:
    """The outside as a run reaches it, on the local cloud, with the tiny layer."""
    host, time = f"127.0.0.1:{cloud.port}", clock.system()
    registries = registry.Registries(local.env(cloud.port), time, keys.Ecr(aws, lambda: host, time.now))
    return kinds.World(
        settings=model.Settings("e2e", local.REGION, "e2e", "e2e-bucket", "bunnies/e2e"),
        aws=aws,
        engine=lambda: engine,
        registry=lambda: host,
        layer=lambda _platform: stand_in_layer,
        tell=lambda _line: None,
        environment=local.env(cloud.port),
        registries=lambda: registries,
    )
