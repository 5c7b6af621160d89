"""HTTP/1.1 as registries need it, on http.client.

Job: send one request, stream bytes both ways without keeping them, keep connections, follow a download's redirects.
Input: a method, a URL, headers, bytes or a Stream. Output: Answer, or WireError where the connection failed. Must
not: know of registries, retry what reached a server, carry Authorization to another host, or speak plain HTTP to a
host that was not allowed to.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import threading
import urllib.parse
import urllib.request
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import reconciler
from reconciler.errors import RegistryError

CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 120.0  # between two packets; a registry may digest gigabytes before it answers a PUT
REDIRECTS: Final = 5
_MOVED: Final = (301, 302, 303, 307, 308)
AGENT: Final = f"bunnies/{reconciler.__version__}"


class WireError(Exception):
    """The connection failed: refused, cut, timed out, or what came is no HTTP. `reached` says whether a server was."""

    def __init__(self, message: str, *, reached: bool = True) -> None:
        super().__init__(message)
        self.reached = reached


@dataclass(frozen=True, slots=True)
class Stream:
    """A body that is sent as it comes: `size` bytes in `chunks`, each chunk used before the next is asked for."""

    chunks: Iterable[memoryview | bytes]
    size: int


class Answer:
    """One response. Read it to its end, or close it: then the connection serves another request, or ends."""

    def __init__(self, response: http.client.HTTPResponse, url: str, done: Callable[[bool], None]) -> None:
        self._response = response
        self._done = done
        self.status = response.status
        self.headers = response.headers
        self.url = url
        self._ended()

    def readinto(self, view: memoryview) -> int:
        """Fill `view` from the body; how many bytes came, 0 at the end. Raises WireError where the body is cut."""
        if self._response.isclosed():
            return 0
        try:
            count = self._response.readinto(view)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise WireError(f"the connection broke ({_words(error)})") from None
        if count == 0 and self._response.length:
            self.close()
            raise WireError(f"the connection was cut {self._response.length} bytes before the end")
        self._ended()
        return count

    def read(self, limit: int) -> bytes:
        """The rest of the body. Raises WireError where it is cut or longer than `limit`."""
        body = bytearray()
        view = memoryview(bytearray(64 * 1024))
        while count := self.readinto(view):
            body += view[:count]
            if len(body) > limit:
                self.close()
                raise WireError(f"the answer is longer than {limit} bytes")
        return bytes(body)

    def close(self) -> None:
        """Leave the rest unread: the connection ends."""
        if self._done is not _nothing:
            self._response.close()
            self._done(False)
            self._done = _nothing

    def _ended(self) -> None:
        if self._response.length == 0:
            self._response.read()  # http.client closes a response only when its end is asked for
        if self._response.isclosed() and self._done is not _nothing:
            self._done(not self._response.will_close)
            self._done = _nothing


class Wire:
    """Connections to any number of hosts; may be used from several threads.

    `allowed` says of HOST[:PORT] whether plain HTTP may be spoken to it. HTTPS_PROXY, HTTP_PROXY and NO_PROXY count
    as everywhere; loopback is never proxied.
    """

    def __init__(self, allowed: Callable[[str], bool], local: Callable[[str], bool]) -> None:
        self._allowed = allowed
        self._local = local
        self._lock = threading.Lock()
        self._idle: dict[str, list[http.client.HTTPConnection]] = {}
        self._tls: ssl.SSLContext | None = None
        weakref.finalize(self, _end, self._idle)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Stream | None = None,
        *,
        follow: bool = True,
    ) -> Answer:
        """The answer to one request. Raises WireError; RegistryError where the address may not be spoken to.

        A GET or HEAD follows redirects, and leaves Authorization behind when one leads to another host; without
        `follow` the redirect is the answer.
        """
        given = dict(headers)
        for _ in range(REDIRECTS + 1):
            answer = self._once(method, url, given, body)
            if not follow or method not in ("GET", "HEAD") or answer.status not in _MOVED:
                return answer
            target = urllib.parse.urljoin(url, answer.headers.get("Location", ""))
            answer.close()
            if origin(target) != origin(url):
                given.pop("Authorization", None)
            url = target
        raise WireError(f"{origin(url)} redirects more than {REDIRECTS} times")

    def close(self) -> None:
        """End every idle connection."""
        with self._lock:
            _end(self._idle)

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Stream | None) -> Answer:
        place = origin(url)
        with self._lock:
            kept = self._idle.get(place)
            connection = kept.pop() if kept else None
        if connection is not None and not isinstance(body, Stream):
            try:
                return self._exchange(connection, method, url, headers, body)
            except WireError:
                connection = None  # a server may end an idle connection at any moment: once more on a new one
        if connection is None:
            connection = self._connect(place)
        return self._exchange(connection, method, url, headers, body)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Stream | None,
    ) -> Answer:
        place = origin(url)
        parts = urllib.parse.urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        given = {"User-Agent": AGENT, "Host": parts.netloc, **headers}
        if isinstance(connection, _ThroughProxy):
            target, given = url, {**given, **connection.proxy.headers}

        whole = True

        def done(reusable: bool) -> None:
            if reusable and whole:
                with self._lock:
                    self._idle.setdefault(place, []).append(connection)
            else:
                connection.close()

        try:
            if isinstance(body, Stream):
                whole = _upload(connection, method, target, given, body)
            else:
                connection.request(method, target, body, given)
            return Answer(connection.getresponse(), url, done)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise WireError(f"the connection broke ({_words(error)})") from None
        except BaseException:
            connection.close()
            raise

    def _connect(self, place: str) -> http.client.HTTPConnection:
        scheme, _, host = place.partition("://")
        if scheme not in ("http", "https"):
            raise RegistryError(f"{place} is not a web address")
        if scheme == "http" and not self._allowed(host):
            raise RegistryError(
                f"{host} asks for plain HTTP, which anyone on the way can read and change. "
                f"Name it in BUNNIES_INSECURE_REGISTRIES where that is meant."
            )
        connection = self._opened(scheme, host)
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise WireError(_words(error), reached=False) from None
        if connection.sock is not None:
            connection.sock.settimeout(SILENCE_SECONDS)
        return connection

    def _opened(self, scheme: str, host: str) -> http.client.HTTPConnection:
        proxy = None if self._local(host) else _proxy(scheme, host)
        if scheme == "http":
            if proxy:
                return _ThroughProxy(proxy)
            return http.client.HTTPConnection(host, timeout=CONNECT_SECONDS)
        if self._tls is None:
            self._tls = ssl.create_default_context()
        door = proxy.host if proxy else host
        secure = http.client.HTTPSConnection(door, timeout=CONNECT_SECONDS, context=self._tls)
        if proxy:
            secure.set_tunnel(*_host_port(host), headers=dict(proxy.headers))
        return secure


def origin(url: str) -> str:
    """SCHEME://HOST[:PORT] of a URL, in lower case."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _upload(
    connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str], body: Stream
) -> bool:
    """Whether all of it went out."""
    connection.putrequest(method, target, skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(body.size))
    connection.endheaders()
    left = body.size
    for chunk in body.chunks:
        left -= len(chunk)
        if left < 0:  # the server would take the rest for another request
            raise http.client.HTTPException("more bytes to send than announced")
        try:
            connection.send(chunk)
        except (BrokenPipeError, ConnectionResetError):
            return False  # a server may answer early, 401 or 413, and close: its answer tells why
    if left:
        raise http.client.HTTPException(f"{left} bytes fewer to send than announced")
    return True


def _end(idle: dict[str, list[http.client.HTTPConnection]]) -> None:
    for kept in idle.values():
        while kept:
            kept.pop().close()


@dataclass(frozen=True, slots=True)
class _Proxy:
    """HOST:PORT of a proxy, and the headers that it wants."""

    host: str
    headers: Mapping[str, str]


class _ThroughProxy(http.client.HTTPConnection):
    """Plain HTTP by way of a proxy, which is asked with whole URLs."""

    def __init__(self, proxy: _Proxy) -> None:
        super().__init__(proxy.host, timeout=CONNECT_SECONDS)
        self.proxy = proxy


def _proxy(scheme: str, host: str) -> _Proxy | None:
    proxies = urllib.request.getproxies()
    if scheme not in proxies or urllib.request.proxy_bypass(host):
        return None
    user, _, place = urllib.parse.urlsplit(proxies[scheme]).netloc.rpartition("@")
    pair = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
    return _Proxy(place, {"Proxy-Authorization": f"Basic {pair}"} if user else {}) if place else None


def _host_port(host: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(f"//{host}")
    return parts.hostname or host, parts.port or 443


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return str(error).strip() or type(error).__name__


def _nothing(_reusable: bool) -> None:
    """What is left to do once a response has ended."""
