"""A server that speaks as much S3 as clients need to copy files, fast enough to measure them.

Job: answer GET (ranges), HEAD, PUT, multipart uploads and ListObjectsV2 on 127.0.0.1. Input: sizes by key, in memory.
Output: the port on stdout; then HTTP, or HTTPS with --tls CERT. Must not: be taken for S3: it checks no signature and forgets what it gets.

    python s3_stub.py [--tls CERT_AND_KEY.pem] KEY=BYTES… [PREFIX/*COUNT=BYTES…]
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import ssl
import sys
import tempfile
import threading
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit

_BLOCK = 1 << 20
_PAGE = 1000
_ETAG = '"0123456789abcdef0123456789abcdef"'


class Objects:
    """What is there to read: sizes by key; every object's bytes are the beginning of one file."""

    def __init__(self, given: list[str]) -> None:
        self.sizes: dict[str, int] = {}
        for one in given:
            key, _, size = one.rpartition("=")
            prefix, star, count = key.rpartition("*")
            names = [f"{prefix}{n:06d}" for n in range(int(count))] if star else [key]
            self.sizes |= dict.fromkeys(names, int(size))
        self.file: BinaryIO = tempfile.TemporaryFile(dir="/dev/shm")  # noqa: SIM115 - memory, kept open
        block = os.urandom(_BLOCK)
        for _ in range(-(-max(self.sizes.values(), default=0) // _BLOCK)):
            self.file.write(block)
        self.file.flush()

    def page(self, prefix: str, after: str) -> str:
        """One answer of ListObjectsV2; the token is the last key."""
        keys = sorted(key for key in self.sizes if key.startswith(prefix) and key > after)
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>{self.sizes[key]}</Size><ETag>{_ETAG}</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys[:_PAGE]
        )
        more = len(keys) > _PAGE
        token = f"<NextContinuationToken>{keys[_PAGE - 1]}</NextContinuationToken>" if more else ""
        return f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"


class Connection:
    """One client's connection, request after request."""

    def __init__(self, connection: socket.socket, objects: Objects) -> None:
        self._socket = connection
        self._objects = objects
        self._head = b""
        self._buffer = bytearray(_BLOCK)

    def serve(self) -> None:
        """Until the client leaves."""
        try:
            while request := self._read():
                self._answer(*request)
        except (OSError, ssl.SSLError):
            pass
        finally:
            self._socket.close()

    def _read(self) -> tuple[str, str, dict[str, str]] | None:
        while b"\r\n\r\n" not in self._head:
            data = self._socket.recv(65536)
            if not data:
                return None
            self._head += data
        head, _, self._head = self._head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return method, target, headers

    def _answer(self, method: str, target: str, headers: dict[str, str]) -> None:
        if headers.get("expect") == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding") == "chunked":
            self._swallow_chunks()
        self._swallow(int(headers.get("content-length", "0")))
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        if method == "PUT":
            self._send(200, "", {"ETag": _ETAG})
        elif method == "POST" and "uploads" in query:
            self._send(
                200, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
            )
        elif method == "POST":
            self._send(
                200, f"<CompleteMultipartUploadResult><ETag>{_ETAG}</ETag></CompleteMultipartUploadResult>"
            )
        elif not key and method == "GET":
            after = query.get("continuation-token", query.get("start-after", [""]))[0]
            self._send(200, self._objects.page(query.get("prefix", [""])[0], after))
        elif key in self._objects.sizes:
            self._give(method, self._objects.sizes[key], headers.get("range", ""))
        else:
            self._send(404, "<Error><Code>NoSuchKey</Code></Error>" if method == "GET" else "")

    def _swallow_chunks(self) -> None:
        while True:
            size = int(self._line().partition(b";")[0], 16)
            self._swallow(size)
            if self._line() == b"" and size == 0:
                return

    def _line(self) -> bytes:
        while b"\r\n" not in self._head:
            data = self._socket.recv(65536)
            if not data:
                raise OSError("gone")
            self._head += data
        line, _, self._head = self._head.partition(b"\r\n")
        return line

    def _swallow(self, length: int) -> None:
        here = len(self._head[:length])
        self._head, length = self._head[here:], length - here
        view = memoryview(self._buffer)
        while length > 0:
            got = self._socket.recv_into(view[: min(length, _BLOCK)])
            if not got:
                raise OSError("gone")
            length -= got

    def _give(self, method: str, size: int, wanted: str) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
        start, end = (int(found[1]), min(int(found[2] or size), size - 1)) if found else (0, size - 1)
        length = end - start + 1
        lines = f"HTTP/1.1 {206 if found else 200} OK\r\nContent-Length: {length}\r\nETag: {_ETAG}\r\n"
        lines += "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n"
        if found:
            lines += f"Content-Range: bytes {start}-{end}/{size}\r\n"
        head = lines.encode() + b"\r\n"
        if method == "HEAD":
            self._socket.sendall(head)
        elif length <= 65536:
            self._socket.sendall(head + os.pread(self._objects.file.fileno(), length, start))
        else:
            self._socket.sendall(head)
            self._stream(start, length)

    def _stream(self, start: int, length: int) -> None:
        descriptor = self._objects.file.fileno()
        while length > 0:
            if isinstance(self._socket, ssl.SSLSocket):
                block = os.pread(descriptor, min(_BLOCK, length), start)
                self._socket.sendall(block)
                sent = len(block)
            else:
                sent = os.sendfile(self._socket.fileno(), descriptor, start, length)
            start, length = start + sent, length - sent

    def _send(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        data = body.encode()
        self._socket.sendall(
            f"HTTP/1.1 {status} OK\r\nContent-Length: {len(data)}\r\n{lines}\r\n".encode() + data
        )


def main() -> int:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls")
    parser.add_argument("objects", nargs="*")
    arguments = parser.parse_args()
    objects = Objects(arguments.objects)
    context = None
    if arguments.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.tls)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve, args=(connection, context, objects), daemon=True).start()


def _serve(connection: socket.socket, context: ssl.SSLContext | None, objects: Objects) -> None:
    try:
        whole = context.wrap_socket(connection, server_side=True) if context else connection
    except (OSError, ssl.SSLError):
        connection.close()
        return
    Connection(whole, objects).serve()


if __name__ == "__main__":
    sys.exit(main())
