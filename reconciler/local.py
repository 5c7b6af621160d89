"""The local cloud: ministack in the background, for people and tests who have no AWS account at hand.

Job: start it, stop it, say where it is. Input: a folder for its state, a port. Output: Cloud. Must not: print,
import ministack (it runs as a process of its own), listen anywhere but on loopback and the engine's bridge.

ministack starts containers for whoever can reach it, so its own default, every interface, is never used. It keeps
blobs and objects in memory; what it is stopped with, it writes to the folder and has again at the next start.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reconciler import engine as docker_engine
from reconciler import processes
from reconciler.errors import BunniesError

PORT = 4566
REGION = "us-east-1"
ACCOUNT = "000000000000"
START_SECONDS = 30
# It writes its state when it stops; some gigabytes of images take a while.
STOP_SECONDS = 120
_HEALTH = "/_ministack/health"
_MAIN = "ministack.app:app"


@dataclass(frozen=True, slots=True)
class Cloud:
    """A local cloud that runs: its process, where it listens, its state's folder, the engine that its tasks run on.

    `instance` is what its containers carry in the label ministack.instance. `reached` tells whether containers
    reach it over the engine's bridge address.
    """

    pid: int
    port: int
    listens: tuple[str, ...]
    folder: str
    engine: str
    instance: str
    reached: bool

    @property
    def endpoint(self) -> str:
        """AWS_ENDPOINT_URL for programs on this machine."""
        return f"http://127.0.0.1:{self.port}"


def port_of(environment: Mapping[str, str] = os.environ) -> int:
    """BUNNIES_LOCAL_PORT, or 4566. Raises BunniesError where it is no port."""
    text = environment.get("BUNNIES_LOCAL_PORT") or str(PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise BunniesError(f"BUNNIES_LOCAL_PORT is {text!r}. Write a port number such as {PORT}.")
    return int(text)


def env(port: int) -> dict[str, str]:
    """The variables that point bunnies, boto3 and the AWS CLI to a local cloud on `port`."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "BUNNIES_REGISTRY": f"127.0.0.1:{port}",
    }


def up(folder: Path, port: int, environment: Mapping[str, str] = os.environ) -> tuple[Cloud, bool]:
    """The local cloud with its state in `folder`, and whether this call started it. Raises BunniesError."""
    _installed()
    with _lock(folder):
        running = status(folder)
        if running and running.port != port:
            raise BunniesError(
                f"a local cloud runs already on port {running.port}. Run `bunnies local down` first, "
                f"or use it: --port {running.port}"
            )
        if running and _answers_engine(running.engine):
            return running, False
        engine = docker_engine.connect(environment)
        if running:  # its engine is gone: it goes on, with all it holds, on the one that answers now
            processes.stop(running.pid, STOP_SECONDS)
        _free(port)
        try:
            gateway = engine.gateway()
            host = engine.host
        finally:
            engine.close()
        listens = ["127.0.0.1"]
        reached = gateway is not None and processes.has_address(gateway)
        if gateway is not None and reached:
            listens.append(gateway)
        # Ports are one to a process, folders one to a user: both, so that two clouds never remove each other's tasks.
        name = "bunnies-" + hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
        process = _start(
            folder, port, listens, {**environment, "DOCKER_HOST": host, "MINISTACK_HOSTNAME": name}
        )
        cloud = Cloud(
            process.pid, port, tuple(listens), str(folder.resolve()), host, f"{name}:{port}", reached
        )
        _await(cloud, process)
        (folder / "cloud.json").write_text(json.dumps(asdict(cloud), indent=1) + "\n", "utf-8")
        return cloud, True


def status(folder: Path) -> Cloud | None:
    """The local cloud of `folder`, None where it does not run; a file that a crash left behind counts for nothing."""
    try:
        facts = json.loads((folder / "cloud.json").read_text("utf-8"))
        cloud = Cloud(**{**facts, "listens": tuple(facts["listens"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    command = processes.command(cloud.pid)
    return cloud if _MAIN in command and f"127.0.0.1:{cloud.port}" in command else None


def down(folder: Path) -> Cloud | None:
    """Stop it and remove the containers of its tasks; its contents stay in `folder`. None where it did not run."""
    if not folder.is_dir():
        return None
    with _lock(folder):
        cloud = status(folder)
        if cloud is not None:
            processes.stop(cloud.pid, STOP_SECONDS)
            # The engine may have gone first, and its containers with it.
            with contextlib.suppress(BunniesError):
                engine = docker_engine.connect({**os.environ, "DOCKER_HOST": cloud.engine})
                try:
                    engine.remove_containers(f"ministack.instance={cloud.instance}")
                finally:
                    engine.close()
        (folder / "cloud.json").unlink(missing_ok=True)
        return cloud


def _installed() -> None:
    missing = [name for name in ("ministack", "hypercorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise BunniesError(
            f"the local cloud needs {' and '.join(missing)}. Install it with: pip install 'bunnies[local]'"
        )


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One `up` or `down` at a time for a folder; the folder is kept out of git."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.parent.name == ".bunnies" and not (folder.parent / ".gitignore").exists():
        (folder.parent / ".gitignore").write_text("*\n", "utf-8")
    with (folder / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _start(
    folder: Path, port: int, listens: list[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    log = folder / "log"
    if log.exists():
        log.replace(folder / "log.1")
    binds = [word for host in listens for word in ("--bind", f"{host}:{port}")]
    # --workers 0: in this very process, so that its id and its signals are the server's.
    command = [sys.executable, "-m", "hypercorn", _MAIN, "--workers", "0", "--keep-alive", "75", *binds]
    with log.open("wb") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment(folder.resolve(), port, environment),
            start_new_session=True,
        )


def _environment(folder: Path, port: int, environment: Mapping[str, str]) -> dict[str, str]:
    """ministack's settings. Not passed on: what would point it at another cloud, or at a container as itself."""
    kept = {
        key: value
        for key, value in environment.items()
        if not key.startswith(("AWS_", "LOCALSTACK_", "SERVICES")) and key != "HOSTNAME"
    }
    return kept | {
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_DOCKER_TIMEOUT": "120",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        # Both would open ports of their own, on every interface.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PYTHONUNBUFFERED": "1",
    }


def _await(cloud: Cloud, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if _answers(cloud.port):
            process.returncode = 0  # it outlives this program, which must not warn about it
            return
        time.sleep(0.05)
    if process.poll() is None:
        processes.stop(process.pid, STOP_SECONDS)
        process.wait()
    tail = Path(cloud.folder, "log").read_text("utf-8", "replace").strip().splitlines()[-5:]
    raise BunniesError(
        "the local cloud did not start. Its last words:\n  "
        + "\n  ".join(tail)
        + f"\nAll: {cloud.folder}/log"
    )


def _answers(port: int) -> bool:
    try:
        with _open(f"http://127.0.0.1:{port}{_HEALTH}") as answer:
            facts: dict[str, Any] = json.loads(answer.read())
    except (OSError, ValueError):
        return False
    return "services" in facts


def _answers_engine(host: str) -> bool:
    try:
        docker_engine.connect({**os.environ, "DOCKER_HOST": host}).close()
    except BunniesError:
        return False
    return True


def _open(url: str) -> Any:
    # Not through a proxy that the environment names: this is loopback.
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2)


def _free(port: int) -> None:
    """Raise BunniesError where the port is taken, and say by what where that can be known."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise BunniesError(f"port {port} needs root. Choose one above 1023 with --port.") from None
        except OSError:
            who = "a local cloud of another folder" if _answers(port) else processes.holder(port)
            raise BunniesError(
                f"port {port} is taken by {who}. Stop that, or choose another port: "
                "bunnies local up --port N (or BUNNIES_LOCAL_PORT=N)"
            ) from None
