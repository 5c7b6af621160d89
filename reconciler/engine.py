"""The Docker engine: the only module that imports the docker SDK, and that only when a call needs it.

Job: inspect, pull, build and save images. Input: references, byte streams, credentials. Output: ids, inspect
documents, the tar of an image. Must not: know of ECR, manifests or the platform layer, or push.
"""

from __future__ import annotations

import contextlib
import os
import platform as machine
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from reconciler import errors

if TYPE_CHECKING:
    import docker

# A build step or the last layer of a push may be silent for long; the engine itself answers at once.
ANSWER_SECONDS = 10
WORK_SECONDS = 3600
SAVE_CHUNK = 1024 * 1024
CHECKOUT = Path(__file__).resolve().parent.parent
_NO_ENGINE = (
    "no Docker engine answers ({tried}). {advice} install Docker, or set DOCKER_HOST to the engine to use."
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and password, or token, for one registry; the password never shows in a repr."""

    username: str
    password: str = field(repr=False)


class Engine:
    """One Docker engine that has answered. `host` is its address as DOCKER_HOST writes it."""

    def __init__(self, client: docker.DockerClient, host: str) -> None:
        self._client = client
        self.host = host

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    @property
    def platform(self) -> str:
        """What the engine runs without emulation, as "linux/amd64"."""
        version = self._client.version()
        return f"{version.get('Os', 'linux')}/{version.get('Arch', machine.machine())}"

    def inspect(self, reference: str) -> dict[str, Any] | None:
        """The engine's document of a local image by name, id or name@digest; None where it has none."""
        import docker.errors

        try:
            document: dict[str, Any] = self._client.images.get(reference).attrs
        except docker.errors.ImageNotFound:
            return None
        except docker.errors.DockerException as error:
            raise errors.EngineError(_explain(reference, error)) from None
        return document

    def pull(
        self, name: str, platform: str, credentials: Credentials | None, tell: Callable[[str], None]
    ) -> None:
        """Pull `name` (REPOSITORY@DIGEST) for a platform. Raises EngineError."""
        repository, _, digest = name.partition("@")
        tell(f"pulling {name}")
        with _translated(name):
            events = self._client.api.pull(
                repository,
                tag=digest,
                platform=platform,
                auth_config=_auth(credentials),
                stream=True,
                decode=True,
            )
            _follow(events, f"pulling {repository}", tell)

    def build(
        self,
        context: IO[bytes],
        platform: str,
        tell: Callable[[str], None],
        *,
        dockerfile: str = "Dockerfile",
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Build a tar of a context; the new image's id. `options`: args, target, labels. Raises EngineError."""
        wanted = options or {}
        found = failure = ""
        tail: list[str] = []
        with _translated(dockerfile):
            events = self._client.api.build(
                fileobj=context,
                custom_context=True,
                dockerfile=dockerfile,
                buildargs=dict(wanted.get("args", {})),
                target=wanted.get("target"),
                labels=wanted.get("labels"),
                platform=platform,
                rm=True,
                forcerm=True,
                decode=True,
            )
            for event in events:
                failure = event.get("error", failure)
                found = event.get("aux", {}).get("ID", found)
                for line in filter(None, event.get("stream", "").splitlines()):
                    tail.append(line)
                    tell(line)
        if failure:
            last = "\n".join(tail[-12:])
            raise errors.EngineError(f"the build of {dockerfile} failed: {failure}\n{last}")
        if not found:
            raise errors.EngineError(f"the build of {dockerfile} ended without an image")
        return found

    def save(self, image: str) -> Iterator[bytes]:
        """The tar of `docker save`: an image's configuration and layers. Raises EngineError, while it is read too."""
        with _translated(image):
            yield from self._client.api.get_image(image, chunk_size=SAVE_CHUNK)

    def gateway(self) -> str | None:
        """The address of this machine on the engine's default bridge: host.docker.internal. None without a bridge."""
        import ipaddress

        import docker.errors

        try:
            network = self._client.api.inspect_network("bridge")
        except docker.errors.DockerException:
            return None
        for config in network.get("IPAM", {}).get("Config") or ():
            if config.get("Gateway"):
                return str(config["Gateway"])
            if config.get("Subnet"):  # an engine that never ran a container may not name its gateway yet
                return str(next(ipaddress.ip_network(config["Subnet"]).hosts()))
        return None

    def remove_containers(self, label: str) -> int:
        """Remove every container with this label ("KEY=VALUE"), running or not; how many."""
        import docker.errors

        with _translated(label):
            found = self._client.api.containers(all=True, filters={"label": label})
        for container in found:
            with _translated(container["Id"]), contextlib.suppress(docker.errors.NotFound):
                self._client.api.remove_container(container["Id"], force=True, v=True)
        return len(found)


def connect(environment: Mapping[str, str] = os.environ, folder: Path | None = None) -> Engine:
    """The engine of DOCKER_HOST; without it the first that answers among the usual places. Raises EngineError.

    The usual places: Docker's current context, the default sockets, podman's, and the engine that bin/engine
    started in `folder` (default: the current one) or in the checkout that this program runs from.
    """
    import docker
    import docker.errors

    tried: list[str] = []
    for host in _hosts(environment, folder or Path.cwd()):
        if not _may_answer(host):
            continue
        client = None
        try:
            client = (
                docker.DockerClient.from_env(
                    version="auto", timeout=ANSWER_SECONDS, environment=dict(environment)
                )
                if environment.get("DOCKER_HOST")
                else docker.DockerClient(base_url=host, version="auto", timeout=ANSWER_SECONDS)
            )
            client.ping()
        except (docker.errors.DockerException, OSError, ValueError, ImportError) as error:
            tried.append(f"{host}: {_reason(error)}")
            if client is not None:
                client.close()
            continue
        client.api.timeout = WORK_SECONDS
        return Engine(client, host)
    named = environment.get("DOCKER_HOST")
    advice = "Run `bin/engine up`," if (CHECKOUT / "bin" / "engine").exists() else "Start it,"
    raise errors.EngineError(
        _NO_ENGINE.format(
            tried="; ".join(tried) or (f"DOCKER_HOST={named}" if named else "no socket found"), advice=advice
        )
    )


def context_files(root: Path, ignore: Iterable[str], dockerfile: str) -> list[str]:
    """Paths below `root`, folders too, that the .dockerignore lines leave in; sorted."""
    from docker.utils.build import exclude_paths

    lines = [line.strip() for line in ignore]
    patterns = [line for line in lines if line and not line.startswith("#")]
    return sorted(str(path) for path in exclude_paths(str(root), patterns, dockerfile=dockerfile))


def _hosts(environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    if named := environment.get("DOCKER_HOST"):
        yield named
        return
    seen = set()
    runtime = environment.get("XDG_RUNTIME_DIR")
    places = [
        _context_host(),
        "unix:///var/run/docker.sock",
        f"unix://{runtime}/docker.sock" if runtime else "",
        "unix:///run/podman/podman.sock",
        f"unix://{runtime}/podman/podman.sock" if runtime else "",
    ]
    for made in (folder / ".bunnies/engine/host", CHECKOUT / ".bunnies/engine/host"):
        places.append(made.read_text("utf-8").strip() if made.is_file() else "")
    for place in places:
        if place and place not in seen:
            seen.add(place)
            yield place


def _context_host() -> str:
    from docker.context import ContextAPI
    from docker.errors import DockerException

    try:
        context = ContextAPI.get_current_context()
    except (DockerException, OSError, ValueError):
        return ""
    return str(context.Host or "")


def _may_answer(host: str) -> bool:
    path = host.removeprefix("unix://").removeprefix("http+unix://")
    return not path.startswith("/") or Path(path).exists()


def _auth(credentials: Credentials | None) -> dict[str, str] | None:
    if credentials is None:
        return None
    if credentials.username == "<token>":  # how Docker's credential helpers hand over an identity token
        return {"identitytoken": credentials.password}
    return {"username": credentials.username, "password": credentials.password}


def _follow(events: Iterable[dict[str, Any]], title: str, tell: Callable[[str], None]) -> None:
    """Tell how many layers are there as they arrive."""
    layers: dict[str, bool] = {}
    failure = None
    for event in events:  # to the end, after a failure too: that gives the connection back
        failure = event.get("error", failure)
        status, layer = event.get("status", ""), event.get("id")
        if not layer or "progressDetail" not in event:
            continue
        if status in ("Pull complete", "Already exists") and not layers.get(layer):
            layers[layer] = True
            tell(f"{title}: {sum(layers.values())} of {len(layers)} layers")
        layers.setdefault(layer, False)
    if failure:
        raise errors.EngineError(f"{title} failed: {failure}")


@contextlib.contextmanager
def _translated(subject: str) -> Iterator[None]:
    import docker.errors
    import requests.exceptions

    try:
        yield
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise errors.EngineError(_explain(subject, error)) from None


def _explain(subject: str, error: Exception) -> str:
    reason = _reason(error)
    lower = reason.lower()
    if "manifest unknown" in lower or "not found" in lower or "no such image" in lower:
        return f"{subject}: the registry has no such image ({reason}). Check the name and the tag."
    if "denied" in lower or "unauthorized" in lower or "no basic auth" in lower:
        return f"{subject}: it is private, or it does not exist ({reason}). Log in with `docker login`, or check the name."
    if any(word in lower for word in ("no such host", "dial tcp", "timeout", "connection refused")):
        return f"{subject}: its registry cannot be reached ({reason}). Check the network and the host name."
    return f"{subject}: {reason}"


def _reason(error: Exception) -> str:
    words = getattr(error, "explanation", None) or str(error)
    return str(words).strip().rstrip(".").replace("\n", " ")
