"""Digests from registries that are multi-platform, or want a token, as real ones do."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from reconciler import errors, kinds, registry
from reconciler.engine import Credentials, Descriptor, Engine

INDEX = "application/vnd.oci.image.index.v1+json"
AMD, ARM = "sha256:" + "1a" * 32, "sha256:" + "2b" * 32
DOCUMENT = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {"digest": AMD, "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": ARM, "size": 1, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
            {
                "digest": "sha256:" + "3c" * 32,
                "size": 1,
                "platform": {"os": "unknown", "architecture": "unknown"},
            },
        ],
    }
).encode()


def test_of_a_multi_platform_image_the_digest_is_that_of_the_platform(
    world: kinds.World, engine: Engine
) -> None:
    name = f"bases/index-{uuid.uuid4().hex[:8]}"
    world.aws.call("ecr", "CreateRepository", repositoryName=name)
    request = urllib.request.Request(
        f"http://{world.registry()}/v2/{name}/manifests/1",
        DOCUMENT,
        {"Content-Type": INDEX},
        method="PUT",
    )
    with urllib.request.urlopen(request):
        pass
    reference = registry.parse(f"{world.registry()}/{name}:1")
    assert registry.digest_of(engine, reference, "linux/amd64") == AMD
    assert registry.digest_of(engine, reference, "linux/arm64") == ARM
    assert registry.digest_of(engine, reference, "linux/arm64/v8") == ARM
    with pytest.raises(errors.EngineError, match="no image for linux/s390x"):
        registry.digest_of(engine, reference, "linux/s390x")


@dataclass
class Asked:
    """A registry that wants a token: what it was asked with."""

    port: int = 0
    challenge: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def private() -> Iterator[Asked]:
    """A registry on loopback with Docker's token protocol."""
    asked = Asked()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            asked.seen.append((self.path, given))
            if self.path.startswith("/token"):
                self.answer(200, json.dumps({"access_token": "t0k"}).encode())
            elif given == "Bearer t0k" or given.startswith("Basic "):
                self.answer(200, DOCUMENT)
            else:
                self.answer(401, b"{}")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", asked.challenge)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        asked.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield asked
        server.shutdown()
        thread.join()


class Resolved:
    """An engine that has resolved a reference to an index."""

    def descriptor(self, _reference: str, _credentials: Credentials | None = None) -> Descriptor:
        return Descriptor(f"sha256:{hashlib.sha256(DOCUMENT).hexdigest()}", INDEX)

    def credentials(self, _host: str) -> Credentials | None:
        return Credentials("user", "pass")


BASIC = "Basic " + base64.b64encode(b"user:pass").decode()


def test_a_token_is_fetched_with_docker_s_credentials(private: Asked) -> None:
    private.challenge = (
        f'Bearer realm="http://127.0.0.1:{private.port}/token",service="r",scope="repository:a/b:pull"'
    )
    reference = registry.parse(f"127.0.0.1:{private.port}/a/b:1")
    assert registry.digest_of(cast(Engine, Resolved()), reference, "linux/amd64") == AMD
    assert [given for _path, given in private.seen] == ["", BASIC, "Bearer t0k"]
    assert private.seen[1][0] == "/token?service=r&scope=repository%3Aa%2Fb%3Apull"


def test_a_registry_that_wants_basic_gets_it(private: Asked) -> None:
    private.challenge = 'Basic realm="ecr"'
    reference = registry.parse(f"127.0.0.1:{private.port}/a/b:1")
    assert registry.digest_of(cast(Engine, Resolved()), reference, "linux/arm64") == ARM
    assert [given for _path, given in private.seen] == ["", BASIC]


def test_an_index_that_cannot_be_read_is_told() -> None:
    reference = registry.parse("127.0.0.1:1/a/b:1")
    with pytest.raises(errors.EngineError, match="its index cannot be read from 127"):
        registry.digest_of(cast(Engine, Resolved()), reference, "linux/amd64")
