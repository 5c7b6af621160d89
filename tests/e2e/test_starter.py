"""The starter repository from `init` to its letter, on the local cloud, as its README tells it."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from reconciler import cli, local

PROGRAMS = ("sh", "sort", "xargs")  # what the starter's jobs need of debian:bookworm-slim


@pytest.fixture
def image(docker_client: docker.DockerClient) -> Iterator[str]:
    """A stand-in for debian: a static busybox under three names."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.fail("this test needs a static busybox: apt-get install busybox-static")
    files = io.BytesIO()
    with tarfile.open(fileobj=files, mode="w") as archive:
        archive.add(busybox, "bin/busybox")
        for name in PROGRAMS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, content in (("Dockerfile", b"FROM scratch\nADD f.tar /\n"), ("f.tar", files.getvalue())):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    context.seek(0)
    name = f"bunnies-e2e-starter-{uuid.uuid4().hex[:8]}:1"
    docker_client.images.build(fileobj=context, custom_context=True, tag=name, rm=True, forcerm=True)
    yield name
    docker_client.images.remove(name, force=True, noprune=True)


def test_a_newcomer_follows_the_readme_to_the_letter(
    cloud: local.Cloud,
    image: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["init"]) == 0
    dev = ["--vars", "env/dev.vars.yaml", "-e", f"image=docker-daemon:{image}", "-e", "account=000000000000"]
    assert cli.run(["validate", *dev]) == 0
    assert cli.run(["bootstrap", "--yes", *dev]) == 0
    assert cli.run(["apply", "--yes", "--wait", *dev]) == 0
    assert cli.run(["get", "job/letter", "letter.txt", *dev]) == 0
    assert Path("letter.txt").read_text() == "hello, rabbits\nhello, world\n"
    assert cli.run(["plan", "--detailed-exitcode", *dev]) == 0
    assert cli.run(["status", *dev]) == 0
    assert cli.run(["plan", "--out", "plan.json", *dev]) == 0  # as the workflows do
    digest = json.loads(Path("plan.json").read_text())["plan_digest"]
    assert cli.run(["apply", "--yes", "--expect", digest, *dev]) == 0
    assert cli.run(["apply", "--continue", "--yes", *dev]) == 0
    capsys.readouterr()
    cli.run(["verify", "--json", *dev])
    found = json.loads(capsys.readouterr().out)["findings"]
    levels = {one["about"]: one["level"] for one in found}
    assert {
        levels[about] for about in ("account", "cluster lab-dev", "log group /ecs/lab-dev", "image/tools")
    } == {"ok"}
