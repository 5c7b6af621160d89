"""`bunnies local`: who can reach it, what survives it, and what it says when it cannot start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from reconciler import aws as aws_module
from reconciler import engine as docker_engine
from reconciler import errors, local
from tests.e2e import containers


def environment(engine: docker_engine.Engine) -> dict[str, str]:
    return {**os.environ, "DOCKER_HOST": engine.host}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a space in its name; whatever runs there is stopped at the end."""
    place = tmp_path / "a folder" / ".bunnies" / "local"
    yield place
    local.down(place)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(pid: int) -> set[tuple[str, int]]:
    """(address, port) of every TCP socket that a process listens on, read from /proc."""
    inodes = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in Path(table).read_text().splitlines()[1:]:
            columns = row.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in inodes:
                host, _, number = columns[1].partition(":")
                address = socket.inet_ntoa(bytes.fromhex(host)[::-1]) if len(host) == 8 else host
                found.add((address, int(number, 16)))
    return found


def test_it_listens_on_loopback_and_the_bridge_and_nowhere_else(
    cloud: local.Cloud, engine: docker_engine.Engine
) -> None:
    addresses = {"127.0.0.1"} | ({engine.gateway() or ""} if cloud.reached else set())
    assert listening(cloud.pid) == {(address, cloud.port) for address in addresses}


def test_its_folder_is_kept_out_of_git_and_up_twice_is_one_cloud(
    engine: docker_engine.Engine, folder: Path, port: int
) -> None:
    first, started = local.up(folder, port, environment(engine))
    second, again = local.up(folder, port, environment(engine))
    assert (started, again) == (True, False)
    assert first == second == local.status(folder)
    assert (folder.parent / ".gitignore").read_text() == "*\n"
    with pytest.raises(errors.BunniesError, match=f"runs already on port {port}"):
        local.up(folder, port + 1, environment(engine))


def test_objects_and_repositories_survive_down_and_up(
    engine: docker_engine.Engine, folder: Path, port: int
) -> None:
    local.up(folder, port, environment(engine))
    aws = aws_module.Aws(local.REGION, endpoint_url=f"http://127.0.0.1:{port}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        aws.call("s3", "CreateBucket", Bucket="kept")
        aws.call("s3", "PutObject", Bucket="kept", Key="a/b c.txt", Body=b"still here")
        aws.call("ecr", "CreateRepository", repositoryName="team/kept")
        assert local.down(folder) is not None
        assert local.status(folder) is None
        local.up(folder, port, environment(engine))
        answer = aws.call("s3", "GetObject", Bucket="kept", Key="a/b c.txt")
        assert answer["Body"].read() == b"still here"
        answer = aws.call("ecr", "DescribeRepositories")
        assert [found["repositoryName"] for found in answer["repositories"]] == ["team/kept"]


def test_after_a_crash_the_left_over_file_counts_for_nothing(
    engine: docker_engine.Engine, folder: Path, port: int
) -> None:
    crashed, _ = local.up(folder, port, environment(engine))
    os.kill(crashed.pid, signal.SIGKILL)
    os.waitpid(crashed.pid, 0)
    assert local.status(folder) is None
    running, started = local.up(folder, port, environment(engine))
    assert started
    assert running.pid != crashed.pid


def test_a_cloud_whose_engine_is_gone_goes_on_with_its_objects_on_the_one_that_answers(
    engine: docker_engine.Engine, folder: Path, port: int
) -> None:
    first, _ = local.up(folder, port, environment(engine))
    aws = aws_module.Aws(local.REGION, endpoint_url=first.endpoint)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        aws.call("s3", "CreateBucket", Bucket="kept")
        written = (folder / "cloud.json").read_text()
        (folder / "cloud.json").write_text(written.replace(engine.host, "unix:///nowhere/docker.sock"))
        second, started = local.up(folder, port, environment(engine))
        assert started
        assert (second.engine, second.pid == first.pid) == (engine.host, False)
        aws.call("s3", "HeadBucket", Bucket="kept")


def test_down_where_nothing_runs_is_no_error(folder: Path) -> None:
    assert local.down(folder) is None


def test_a_taken_port_is_told_with_what_takes_it(
    engine: docker_engine.Engine, folder: Path, port: int
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(
            errors.BunniesError, match=rf"port {port} is taken by .*process {os.getpid()}.*--port"
        ):
            local.up(folder, port, environment(engine))


def test_the_cloud_of_another_folder_is_told_as_such(
    cloud: local.Cloud, engine: docker_engine.Engine, folder: Path
) -> None:
    with pytest.raises(errors.BunniesError, match="a local cloud of another folder"):
        local.up(folder, cloud.port, environment(engine))


def test_without_an_engine_it_says_what_to_do(folder: Path, port: int) -> None:
    nowhere = {**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    with pytest.raises(errors.EngineError, match="set DOCKER_HOST"):
        local.up(folder, port, nowhere)


def test_a_container_reaches_it_and_down_removes_the_containers_of_its_tasks_only(
    engine: docker_engine.Engine,
    docker_client: docker.DockerClient,
    busybox_tar: bytes,
    folder: Path,
    port: int,
) -> None:
    cloud, _ = local.up(folder, port, environment(engine))
    name = f"bunnies-e2e-local-{port}"
    docker_client.api.import_image_from_data(busybox_tar, repository=name, tag="1")
    try:
        said = containers.said(
            docker_client,
            f"{name}:1",
            ["/bin/busybox", "wget", "-qO-", f"http://host.docker.internal:{port}/_ministack/health"],
            extra_hosts={"host.docker.internal": "host-gateway"},
        )
        assert b"services" in said
        labelled = docker_client.containers.run(
            f"{name}:1",
            ["/bin/busybox", "sleep", "600"],
            detach=True,
            labels={"ministack.instance": cloud.instance},
        )
        other = docker_client.containers.run(
            f"{name}:1",
            ["/bin/busybox", "sleep", "600"],
            detach=True,
            labels={"ministack.instance": "other:1"},
        )
        local.down(folder)
        left = {container.id for container in docker_client.containers.list(all=True)}
        other.remove(force=True)
        assert labelled.id not in left
        assert other.id in left
    finally:
        docker_client.images.remove(f"{name}:1", force=True)


def test_the_process_goes_on_when_the_one_that_started_it_ends(
    engine: docker_engine.Engine, folder: Path, port: int
) -> None:
    program = (
        "import sys, pathlib; from reconciler import local; "
        "local.up(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(folder), str(port)],
        check=True,
        env=environment(engine),
    )
    running = local.status(folder)
    assert running is not None
    assert running.port == port
