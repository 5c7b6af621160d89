"""What the engine's answers become, on a small engine behind a Unix socket."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler import engine, errors

# (method, path's beginning without the API version) → status and JSON lines
Answers = dict[tuple[str, str], tuple[int, list[Any]]]
ALIVE: Answers = {
    ("GET", "/version"): (200, [{"ApiVersion": "1.41", "Os": "linux", "Arch": "amd64"}]),
    ("GET", "/_ping"): (200, [{}]),
}


@dataclass
class Small:
    """A Docker engine that answers from a table; `asked` are the calls with their X-Registry-Auth."""

    host: str
    answers: Answers = field(default_factory=lambda: dict(ALIVE))
    asked: list[tuple[str, str, bool]] = field(default_factory=list)

    def answer(self, method: str, path: str) -> tuple[int, list[Any]]:
        plain = path.removeprefix("/v1.41")
        for (verb, beginning), found in self.answers.items():
            if verb == method and plain.startswith(beginning):
                return found
        return 404, [{"message": f"no such thing: {plain}"}]


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    made = Small(f"unix://{tmp_path}/docker.sock")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.asked.append((self.command, self.path, "X-Registry-Auth" in self.headers))
            status, lines = made.answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in lines:
                text = json.dumps(line).encode() + b"\r\n"
                self.wfile.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

        def do_GET(self) -> None:
            self.handle_any()

        def do_POST(self) -> None:
            self.handle_any()

        def do_DELETE(self) -> None:
            self.handle_any()

        def address_string(self) -> str:
            return "socket"

        def log_message(self, *_args: Any) -> None:
            pass

    with Server(str(tmp_path / "docker.sock"), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def connected(small: Small) -> Iterator[engine.Engine]:
    found = engine.connect({"DOCKER_HOST": small.host})
    yield found
    found.close()


def test_the_engine_that_docker_host_names_is_used(small: Small, connected: engine.Engine) -> None:
    assert (connected.host, connected.platform) == (small.host, "linux/amd64")


def test_where_none_answers_it_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    dead = f"unix://{tmp_path}/dead.sock"
    with pytest.raises(errors.EngineError) as caught:
        engine.connect({"DOCKER_HOST": dead})
    assert dead in str(caught.value)
    assert "or set DOCKER_HOST" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "words", "advice"),
    [
        (404, "manifest unknown: manifest unknown", "no such image"),
        (401, "unauthorized: authentication required", "docker login"),
        (403, "pull access denied for x, repository does not exist", "docker login"),
        (500, 'Get "https://r/v2/": dial tcp: lookup r: no such host', "cannot be reached"),
        (500, "something else", "something else"),
    ],
)
def test_a_refused_pull_is_told_with_its_reference_and_what_to_do(
    small: Small, connected: engine.Engine, status: int, words: str, advice: str
) -> None:
    small.answers["POST", "/images/create"] = (status, [{"message": words}])
    with pytest.raises(errors.EngineError) as caught:
        connected.pull("ghcr.io/a/b@sha256:1", "linux/amd64", None, lambda _line: None)
    assert str(caught.value).startswith("ghcr.io/a/b@sha256:1: ")
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_is_saved_as_it_comes(small: Small, connected: engine.Engine) -> None:
    small.answers["GET", "/images/x/get"] = (200, ["one", "two"])
    assert b"".join(connected.save("x")) == b'"one"\r\n"two"\r\n'
    small.answers["GET", "/images/y/get"] = (404, [{"message": "No such image: y"}])
    with pytest.raises(errors.EngineError, match="y: the registry has no such image"):
        list(connected.save("y"))


def test_an_image_that_is_not_there_is_none(small: Small, connected: engine.Engine) -> None:
    small.answers["GET", "/images/x/json"] = (404, [{"message": "No such image: x"}])
    small.answers["GET", "/images/y/json"] = (200, [{"Id": "sha256:2"}])
    small.answers["GET", "/images/z/json"] = (500, [{"message": "the disk is full"}])
    assert connected.inspect("x") is None
    assert connected.inspect("y") == {"Id": "sha256:2"}
    with pytest.raises(errors.EngineError, match="z: the disk is full"):
        connected.inspect("z")


def test_a_pull_tells_its_layers_and_fails_by_its_stream(small: Small, connected: engine.Engine) -> None:
    layers = [
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "a"},
        {"status": "Already exists", "progressDetail": {}, "id": "b"},
        {"status": "Pull complete", "progressDetail": {}, "id": "a"},
    ]
    small.answers["POST", "/images/create"] = (200, layers)
    told: list[str] = []
    connected.pull("ghcr.io/a/b@sha256:1", "linux/amd64", None, told.append)
    assert told == [
        "pulling ghcr.io/a/b@sha256:1",
        "pulling ghcr.io/a/b: 1 of 2 layers",
        "pulling ghcr.io/a/b: 2 of 2 layers",
    ]
    small.answers["POST", "/images/create"] = (200, [{"error": "toomanyrequests: slow down"}])
    with pytest.raises(errors.EngineError, match="toomanyrequests"):
        connected.pull("ghcr.io/a/b@sha256:1", "linux/amd64", None, told.append)


def test_a_build_that_fails_shows_its_last_lines(
    small: Small, connected: engine.Engine, tmp_path: Path
) -> None:
    context = tmp_path / "context.tar"
    context.write_bytes(b"tar")
    lines = [{"stream": "Step 1/2 : FROM x\n"}, {"stream": "E: no such package\n"}, {"error": "returned 100"}]
    small.answers["POST", "/build"] = (200, lines)
    with context.open("rb") as stream, pytest.raises(errors.EngineError) as caught:
        connected.build(stream, "linux/amd64", lambda _line: None)
    assert "returned 100\nStep 1/2 : FROM x\nE: no such package" in str(caught.value)
    small.answers["POST", "/build"] = (200, [{"aux": {"ID": "sha256:9"}}, {"stream": "done\n"}])
    with context.open("rb") as stream:
        assert connected.build(stream, "linux/amd64", lambda _line: None) == "sha256:9"


@pytest.mark.parametrize(
    ("config", "gateway"),
    [
        ([{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.9"}], "172.17.0.9"),
        ([{"Subnet": "172.17.0.0/16"}], "172.17.0.1"),
        (None, None),
    ],
)
def test_the_bridges_address_is_its_gateway_or_the_first_of_its_subnet(
    small: Small, connected: engine.Engine, config: Any, gateway: str | None
) -> None:
    small.answers["GET", "/networks/bridge"] = (200, [{"IPAM": {"Config": config}}])
    assert connected.gateway() == gateway


def test_an_engine_without_a_bridge_has_no_gateway(connected: engine.Engine) -> None:
    assert connected.gateway() is None


def test_only_containers_with_the_label_are_removed_and_one_that_is_gone_by_then_is_no_error(
    small: Small, connected: engine.Engine
) -> None:
    small.answers["GET", "/containers/json"] = (200, [[{"Id": "c1"}, {"Id": "c2"}]])
    small.answers["DELETE", "/containers/c1"] = (204, [])
    small.answers["DELETE", "/containers/c2"] = (404, [{"message": "No such container: c2"}])
    assert connected.remove_containers("a=b") == 2
    asked = next(path for _verb, path, _auth in small.asked if "filters" in path)
    assert "a%3Db" in asked
