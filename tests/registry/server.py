"""A small registry over real sockets that misbehaves when it is told to.

Job: the distribution protocol with blobs in memory; a Rule answers instead, for as many requests as it says. Input:
rules. Output: what was asked, what is held. Must not: forgive: it checks digests as registries do.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import socket
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
BIG = "sha256:big"  # stands for a blob that is made while it is sent


@dataclass(frozen=True)
class Asked:
    """One request: its method, its target with the query, its headers, how many bytes of body came."""

    method: str
    target: str
    headers: dict[str, str]
    size: int = 0


@dataclass
class Rule:
    """Requests whose method and target match are answered by `action`, the first `times` of them."""

    match: str
    action: Callable[[Handler], None]
    times: int = 1


@dataclass
class Registry:
    """What the registry holds, by repository path and digest or tag, and how it behaves."""

    port: int = 0
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    challenge: str = ""  # with {port}; nothing is asked where it is empty
    tokens: list[str] = field(default_factory=list)  # what is handed out, one after the other; all count
    valid: set[str] = field(default_factory=set)
    location: str = "/v2/{path}/blobs/uploads/{id}"
    ranges: bool = True
    big: int = 0  # size of a blob that is not kept: zeros

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def hold(self, path: str, body: bytes) -> str:
        found = digest(body)
        self.blobs[path, found] = body
        return found

    def methods(self, *methods: str) -> list[str]:
        """METHOD TARGET without the query, in order; all methods where none is named."""
        return [
            f"{one.method} {one.target.partition('?')[0]}"
            for one in self.asked
            if not methods or one.method in methods
        ]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def handle_any(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        asked = f"{self.command} {self.path}"
        for rule in self.registry.rules:
            if rule.times and re.search(rule.match, asked):
                rule.times -= 1
                self.note(0)
                rule.action(self)
                return
        if parts.path == "/token":
            self.token()
        elif not self.allowed():
            self.read_body(keep=False)
            self.refuse(401)
        else:
            self.route(parts)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def do_CONNECT(self) -> None:
        self.note(0)
        self.reply(407, b"")

    def note(self, size: int) -> None:
        self.registry.asked.append(Asked(self.command, self.path, dict(self.headers), size))

    def allowed(self) -> bool:
        return not self.registry.challenge or self.headers.get("Authorization", "") in self.registry.valid

    def token(self) -> None:
        body = self.read_body()
        self.note(len(body))
        found = self.registry.tokens.pop(0)
        self.registry.valid.add(
            f"Bearer {json.loads(found).get('token') or json.loads(found)['access_token']}"
        )
        self.reply(200, found.encode())

    def refuse(self, status: int, **headers: str) -> None:
        if status == 401:
            headers["WWW-Authenticate"] = self.registry.challenge.format(port=self.registry.port)
        text = {"errors": [{"code": "NO", "message": "not so"}]}
        self.reply(status, json.dumps(text).encode(), **headers)

    def route(self, parts: urllib.parse.SplitResult) -> None:
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/(.+?)/?", parts.path)
        upload = re.fullmatch(r"/v2/(.+)/blobs/uploads/(.*)", parts.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        if upload:
            self.upload(upload[1], upload[2], query)
        elif found and found[2] == "manifests":
            self.manifest(found[1], found[3])
        elif found:
            self.blob(found[1], found[3])
        else:
            self.note(0)
            self.refuse(404)

    def manifest(self, path: str, reference: str) -> None:
        body = self.read_body()
        self.note(len(body))
        held = self.registry.manifests
        if self.command == "PUT":
            held[path, reference] = held[path, digest(body)] = body
            self.reply(201, b"", **{"Docker-Content-Digest": digest(body)})
        elif (path, reference) in held:
            found = held[path, reference]
            headers = {"Content-Type": MANIFEST, "Docker-Content-Digest": digest(found)}
            self.reply(200, found, **headers)
        else:
            self.refuse(404)

    def blob(self, path: str, name: str) -> None:
        self.note(0)
        if name == digest_of_zeros(self.registry.big):
            self.stream_zeros()
            return
        body = self.registry.blobs.get((path, name))
        if body is None:
            self.refuse(404)
            return
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if start and self.registry.ranges:
            at = int(start[1])
            self.reply(206, body[at:], **{"Content-Range": f"bytes {at}-{len(body) - 1}/{len(body)}"})
        else:
            self.reply(200, body)

    def stream_zeros(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(self.registry.big))
        self.end_headers()
        chunk = bytes(1024 * 1024)
        for _ in range(self.registry.big // len(chunk)):
            self.wfile.write(chunk)

    def upload(self, path: str, name: str, query: dict[str, str]) -> None:
        registry = self.registry
        if self.command == "POST":
            self.read_body()
            self.note(0)
            if "mount" in query and (query["from"], query["mount"]) in registry.blobs:
                registry.blobs[path, query["mount"]] = registry.blobs[query["from"], query["mount"]]
                self.reply(201, b"", Location=f"/v2/{path}/blobs/{query['mount']}")
                return
            name = uuid.uuid4().hex
            registry.uploads[name] = bytearray()
            self.located(202, path, name)
        elif name not in registry.uploads:
            self.read_body(keep=False)
            self.note(0)
            self.refuse(404)
        elif self.command == "PATCH":
            body = self.read_body(keep=not registry.big)
            self.note(int(self.headers["Content-Length"]))
            registry.uploads[name] += body
            self.located(202, path, name)
        elif self.command == "PUT":
            self.note(len(self.read_body()))
            body = bytes(registry.uploads.pop(name))
            if digest(body) != query["digest"] and not registry.big:
                self.refuse(400)
                return
            registry.blobs[path, query["digest"]] = body
            self.reply(201, b"", **{"Docker-Content-Digest": query["digest"]})
        else:
            self.note(0)
            del registry.uploads[name]
            self.reply(204, b"")

    def located(self, status: int, path: str, name: str) -> None:
        place = self.registry.location.format(path=path, id=name, port=self.registry.port)
        self.reply(status, b"", Location=place, Range="0-0")

    def read_body(self, *, keep: bool = True) -> bytes:
        left = int(self.headers.get("Content-Length") or 0)
        kept = bytearray()
        while left and (chunk := self.rfile.read(min(left, 1024 * 1024))):
            left -= len(chunk)
            if keep:
                kept += chunk
        return bytes(kept)

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def drop(self) -> None:
        """End the connection as a broken one ends."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_args: Any) -> None:
        """Nothing."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: Any) -> None:
        """A client that went away is part of the game."""


@contextmanager
def serving() -> Iterator[Registry]:
    """A registry on loopback, on a port of its own."""
    registry = Registry()
    handler = type("Bound", (Handler,), {"registry": registry})
    with Server(("127.0.0.1", 0), handler) as server:
        registry.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()


def answer(status: int, **headers: str) -> Callable[[Handler], None]:
    """An action: read the request, answer with an error."""

    def action(handler: Handler) -> None:
        handler.read_body(keep=False)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.refuse(status, **named)

    return action


def cut_answer(at: int) -> Callable[[Handler], None]:
    """An action: a blob's answer that ends after `at` bytes of its body, though more were announced."""

    def action(handler: Handler) -> None:
        found = re.fullmatch(r"/v2/(.+)/blobs/(.+)", handler.path)
        assert found
        body = handler.registry.blobs[found[1], found[2]]
        start = re.match(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        first = int(start[1]) if start else 0
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        handler.send_header("Content-Length", str(len(body) - first))
        handler.end_headers()
        handler.wfile.write(body[first : first + at])
        handler.drop()

    return action


def cut_request(at: int) -> Callable[[Handler], None]:
    """An action: the connection ends after `at` bytes of the request's body."""

    def action(handler: Handler) -> None:
        handler.rfile.read(min(at, int(handler.headers.get("Content-Length") or 0)))
        handler.drop()

    return action


def wrong_body(body: bytes) -> Callable[[Handler], None]:
    """An action: these bytes, whatever was asked for."""

    def action(handler: Handler) -> None:
        handler.reply(200, body, **{"Content-Type": MANIFEST})

    return action


def moved(url: str) -> Callable[[Handler], None]:
    """An action: a redirect."""

    def action(handler: Handler) -> None:
        handler.reply(307, b"", Location=url)

    return action


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


_ZEROS: dict[int, str] = {}


def digest_of_zeros(size: int) -> str:
    if size not in _ZEROS:
        hasher = hashlib.sha256()
        for _ in range(size // 1024 // 1024):
            hasher.update(bytes(1024 * 1024))
        _ZEROS[size] = f"sha256:{hasher.hexdigest()}"
    return _ZEROS[size]
