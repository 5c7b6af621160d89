"""A build's digest covers what the build reads, and nothing that differs between machines."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler import context, errors

DOCKERFILE = """\
# FROM comment
ARG BASE=debian:12
FROM --platform=linux/amd64 ${BASE} AS tools
RUN echo \\
  FROM nothing
FROM tools
COPY --from=tools /a /a
COPY --from=0 /a /b
COPY --chown=0 --from=busybox:1 /bin/busybox /b
FROM scratch
FROM ${MISSING:-alpine}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("a")
    (tmp_path / "link").symlink_to("sub/a.txt")
    (tmp_path / "skip.log").write_text("log")
    (tmp_path / ".dockerignore").write_text("# comment\n\n*.log\n")
    return tmp_path


def digest(folder: Path, **args: str) -> str:
    return context.digest(
        context.read(folder, "Dockerfile", args), None, {"debian:12": "x@sha256:1"}, "linux/amd64"
    )


def test_bases_are_the_images_it_builds_on_with_args_filled_in(folder: Path) -> None:
    found = context.bases(context.read(folder, "Dockerfile", {}))
    assert found == ("debian:12", "busybox:1", "alpine")
    found = context.bases(context.read(folder, "Dockerfile", {"BASE": "ubuntu"}))
    assert found == ("ubuntu", "busybox:1", "alpine")


def set_nothing(folder: Path) -> None:
    assert folder.is_dir()


def touch(folder: Path) -> None:
    os.utime(folder / "sub" / "a.txt", (1, 1))


def open_up(folder: Path) -> None:
    (folder / "sub" / "a.txt").chmod(0o666)
    (folder / "sub").chmod(0o777)


def write_ignored(folder: Path) -> None:
    (folder / "skip.log").write_text("other")


@pytest.mark.parametrize("what", [set_nothing, touch, open_up, write_ignored])
def test_the_digest_stays_when(folder: Path, what: Callable[[Path], None]) -> None:
    before = digest(folder)
    what(folder)
    assert digest(folder) == before


def write(folder: Path) -> None:
    (folder / "sub" / "a.txt").write_text("b")


def make_executable(folder: Path) -> None:
    (folder / "sub" / "a.txt").chmod(0o755)


def rename(folder: Path) -> None:
    (folder / "sub" / "a.txt").rename(folder / "sub" / "b.txt")


def point_elsewhere(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("nowhere")


def add_empty_folder(folder: Path) -> None:
    (folder / "empty").mkdir()


def ignore_less(folder: Path) -> None:
    (folder / ".dockerignore").unlink()


@pytest.mark.parametrize(
    "what", [write, make_executable, rename, point_elsewhere, add_empty_folder, ignore_less]
)
def test_the_digest_changes_when(folder: Path, what: Callable[[Path], None]) -> None:
    before = digest(folder)
    what(folder)
    assert digest(folder) != before


def test_args_target_bases_and_platform_count(folder: Path) -> None:
    read = context.read(folder, "Dockerfile", {})
    seen = {
        digest(folder),
        digest(folder, WORD="x"),
        context.digest(read, "tools", {"debian:12": "x@sha256:1"}, "linux/amd64"),
        context.digest(read, None, {"debian:12": "x@sha256:2"}, "linux/amd64"),
        context.digest(read, None, {"debian:12": "x@sha256:1"}, "linux/arm64"),
    }
    assert len(seen) == 5


def test_the_tar_has_the_pinned_dockerfile_and_nothing_of_this_machine(folder: Path) -> None:
    read = context.read(folder, "Dockerfile", {})
    pins = {"debian:12": "docker.io/library/debian@sha256:1", "busybox:1": "sha256:2"}
    with context.tar(read, pins) as stream, tarfile.open(fileobj=stream) as archive:
        members = {member.name: member for member in archive}
        text = (archive.extractfile("Dockerfile") or stream).read().decode()
    assert set(members) == {"Dockerfile", ".dockerignore", "sub", "sub/a.txt", "link"}
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members.values()} == {(0, 0, "", "", 0)}
    assert "FROM --platform=linux/amd64 docker.io/library/debian@sha256:1 AS tools\n" in text
    assert "COPY --chown=0 --from=sha256:2 /bin/busybox /b\n" in text
    assert "  FROM nothing\nFROM tools\nCOPY --from=tools /a /a\nCOPY --from=0" in text


@pytest.mark.parametrize("dockerfile", ["Other", "../Dockerfile", "sub"])
def test_a_dockerfile_that_is_not_in_the_context_is_told(folder: Path, dockerfile: str) -> None:
    with pytest.raises(errors.BunniesError, match=r"Check build\.dockerfile"):
        context.read(folder, dockerfile, {})


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.BunniesError, match=r"Check build\.context"):
        context.read(tmp_path / "no", "Dockerfile", {})
