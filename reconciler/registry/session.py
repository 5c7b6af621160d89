"""One registry's host: requests with the right Authorization, tried again where that helps.

Job: answer 401 with a token or a password, renew it, wait as a 429 or a 5xx asks, and say what a refusal means.
Input: Keychain, Wire, Clock, paths. Output: Answers with a status below 400, or those asked for. Must not: know what a manifest is; try
a Stream twice (its maker does).

Tokens: https://distribution.github.io/distribution/spec/auth/token/ and /oauth/.
"""

from __future__ import annotations

import base64
import email.utils
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from reconciler.clock import Clock
from reconciler.engine import Credentials
from reconciler.errors import RegistryError
from reconciler.registry import reference
from reconciler.registry.keys import IDENTITY, Keychain
from reconciler.registry.wire import Answer, Stream, Wire, WireError, origin

Result = TypeVar("Result")

ATTEMPTS: Final = 6
PATIENCE: Final = 120.0  # seconds that a Retry-After may ask for; what asks for more is told to the user
TEXT_LIMIT: Final = 1024 * 1024
TOKEN_SECONDS: Final = 60  # how long a token lives that does not say so (the token specification)
_BUSY: Final = (408, 425, 429, 500, 502, 503, 504)
_PARAMETER: Final = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEMES: Final = re.compile(r"(?:^|,)\s*(Bearer|Basic)\b", re.IGNORECASE)

Scopes = frozenset[str]


class TransientError(Exception):
    """It may work another time; `after` are the seconds that the registry asks to wait, None where it does not say."""

    def __init__(self, message: str, after: float | None = None, status: int = 0) -> None:
        super().__init__(message)
        self.after = after
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask. `subject` names the reference or repository in messages; `also` are statuses that are answers too.

    Without `follow` a redirect is an answer.
    """

    method: str
    url: str
    subject: str
    scopes: Scopes
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Stream | None = None
    also: Collection[int] = ()
    follow: bool = True


class Session:
    """A registry's host, as its references write it ("docker.io"); may be used from several threads."""

    def __init__(self, host: str, wire: Wire, keychain: Keychain, clock: Clock, *, plain: bool) -> None:
        self.host = host
        self.clock = clock
        door = reference.HUB_API if host == reference.HUB else host
        self.root = f"{'http' if plain else 'https'}://{door}"
        self._wire = wire
        self._keychain = keychain
        self._lock = threading.Lock()
        self._basic = False
        self.holders: dict[str, str] = {}  # digest → path of a repository here that this run made hold it
        self._tokens: dict[Scopes, tuple[str, datetime]] = {}

    def send(self, request: Request) -> Answer:
        """The answer, tried again where that helps. Raises RegistryError."""
        return self.retried(request.subject, lambda: self.once(request))

    def once(self, request: Request) -> Answer:
        """The answer to one try, a 401 answered with a new token. Raises RegistryError and TransientError.

        A 401 to a Stream is a TransientError too, for its bytes are gone; the token has been renewed by then.
        """
        answer = self._sent(request, self._known(request))
        if answer.status == 401:
            challenge = ", ".join(answer.headers.get_all("WWW-Authenticate") or ())
            answer.close()
            header = self._login(request, challenge)
            if isinstance(request.body, Stream):
                raise TransientError("the login ended while bytes were sent", after=0, status=401)
            answer = self._sent(request, header)
        if answer.status < 400 or answer.status in request.also:
            return answer
        raise self._failure(request.subject, answer)

    def retried(self, subject: str, attempt: Callable[[], Result]) -> Result:
        """What `attempt` returns; it is made again where it raises TransientError or WireError. Raises RegistryError."""
        tried = 0
        while True:
            try:
                return attempt()
            except (TransientError, WireError) as error:
                tried += 1
                self.pause(subject, error, tried)

    def resolve(self, location: str, base: str) -> str:
        """The URL that a Location means: it may be relative, and a registry behind a proxy may write http for https."""
        url = urllib.parse.urljoin(base, location)
        parts, ours = urllib.parse.urlsplit(url), urllib.parse.urlsplit(self.root)
        if parts.hostname == ours.hostname and parts.scheme != ours.scheme:
            url = urllib.parse.urlunsplit((ours.scheme, ours.netloc, parts.path, parts.query, ""))
        return url

    def pause(self, subject: str, error: TransientError | WireError, tried: int) -> None:
        """Wait before try `tried` + 1; RegistryError where there is to be none."""
        after = error.after if isinstance(error, TransientError) else None
        status = error.status if isinstance(error, TransientError) else 0
        unreached = isinstance(error, WireError) and not error.reached
        if unreached and tried >= 2:
            raise RegistryError(
                f"{subject}: its registry {self.host} cannot be reached ({error}). Check the network and the host name."
            ) from None
        if tried >= ATTEMPTS or (after or 0) > PATIENCE:
            advice = (
                f"It asks to wait {after:.0f} s: try again then."
                if after and after > PATIENCE
                else "Try again later."
            )
            times = "" if tried == 1 else f" {tried} times"
            raise RegistryError(f"{subject}: {self.host} failed{times}: {error}. {advice}", status) from None
        if after is None:
            self.clock.wait(tried)
        else:
            self.clock.sleep(after)

    def _sent(self, request: Request, authorization: str | None) -> Answer:
        headers = dict(request.headers)
        # An upload's Location may lead to another host, which is not to see the token.
        if authorization and origin(request.url) == origin(self.root):
            headers["Authorization"] = authorization
        return self._wire.send(request.method, request.url, headers, request.body, follow=request.follow)

    def _known(self, request: Request) -> str | None:
        if self._basic and (credentials := self._keychain.find(self.host)):
            return _basic(credentials)  # asked each time: the keychain renews ECR's
        with self._lock:
            token, ends = self._tokens.get(request.scopes, ("", datetime.min.replace(tzinfo=UTC)))
            return token if ends > self.clock.now() else None

    def _login(self, request: Request, challenge: str) -> str:
        """The Authorization header that answers WWW-Authenticate, kept for the next requests."""
        credentials = self._keychain.find(self.host)
        schemes = {scheme.lower() for scheme in _SCHEMES.findall(challenge)}
        if "bearer" in schemes:
            asked = _parameters(challenge)
            token, seconds = self._token(request, asked, credentials)
            header = f"Bearer {token}"
            with self._lock:
                # A little early, so that a token does not end on its way.
                self._tokens[request.scopes] = (
                    header,
                    self.clock.now() + timedelta(seconds=max(seconds - 10, seconds / 2)),
                )
            return header
        if credentials is None or "basic" not in schemes:
            raise self._refused(request.subject, 401, "authentication required")
        self._basic = True
        return _basic(credentials)

    def _token(
        self, request: Request, asked: Mapping[str, str], credentials: Credentials | None
    ) -> tuple[str, float]:
        realm = asked.get("realm", "")
        scopes = sorted(request.scopes | set(asked.get("scope", "").split()))
        fields = [("service", asked["service"])] if "service" in asked else []
        headers: dict[str, str] = {}
        if credentials and credentials.username == IDENTITY:
            form = [
                *fields,
                ("scope", " ".join(scopes)),
                ("grant_type", "refresh_token"),
                ("client_id", "bunnies"),
                ("refresh_token", credentials.password),
            ]
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            answer = self._wire.send("POST", realm, headers, urllib.parse.urlencode(form).encode())
        else:
            if credentials:
                headers["Authorization"] = _basic(credentials)
            fields += [("scope", scope) for scope in scopes]
            join = "&" if "?" in realm else "?"
            answer = self._wire.send("GET", f"{realm}{join}{urllib.parse.urlencode(fields)}", headers)
        if answer.status != 200:
            raise self._failure(request.subject, answer)
        try:
            found: dict[str, Any] = json.loads(answer.read(TEXT_LIMIT))
            token = found.get("token") or found["access_token"]
            return str(token), float(found.get("expires_in") or TOKEN_SECONDS)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RegistryError(
                f"{request.subject}: {origin(realm)} answered a login with something that holds no token"
            ) from None

    def _failure(self, subject: str, answer: Answer) -> RegistryError | TransientError:
        status, headers = answer.status, answer.headers
        try:
            said = _said(answer.read(TEXT_LIMIT))
        except WireError:
            said = ""
        if status in _BUSY:
            words = f"{status} {said}".strip() + (" (it asks for fewer requests)" if status == 429 else "")
            return TransientError(words, _retry_after(headers.get("Retry-After"), self.clock.now()), status)
        return self._refused(subject, status, said)

    def _refused(self, subject: str, status: int, said: str) -> RegistryError:
        reason = f"{self.host} answered {status}" + (f": {said}" if said else "")
        if status in (401, 403):
            advice = (
                "Allow it in the policy of the role or user that runs bunnies, and in the repository's"
                if reference.ecr_region(self.host)
                else f"Log in with `docker login {self.host}`, or check the name"
            )
            return RegistryError(
                f"{subject}: it is private, or it does not exist ({reason}). {advice}.", status
            )
        if status == 404:
            return RegistryError(
                f"{subject}: the registry has no such image or repository ({reason}). Check the name and the tag.",
                status,
            )
        return RegistryError(
            f"{subject}: the registry refused ({reason}). Ask who runs it, with this line.", status
        )


def pull(path: str) -> str:
    """The scope that reads a repository."""
    return f"repository:{path}:pull"


def push(path: str) -> str:
    """The scope that reads and writes a repository."""
    return f"repository:{path}:pull,push"


def _parameters(challenge: str) -> dict[str, str]:
    """What a Bearer challenge says; other challenges may stand before or after it."""
    start = re.search(r"\bBearer\b", challenge, re.IGNORECASE)
    text = challenge[start.end() :] if start else ""
    text = re.split(r",\s*(?:Basic|Negotiate|Digest)\b", text, maxsplit=1, flags=re.IGNORECASE)[0]
    return {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
        for name, quoted, bare in _PARAMETER.findall(text)
    }


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return "Basic " + base64.b64encode(pair).decode()


def _said(body: bytes) -> str:
    """What an error's body says: the codes and messages of the specification, or the beginning of its text."""
    try:
        document = json.loads(body)
        found: Iterable[Any] = document.get("errors") or [document]
        words = [" ".join(str(one[name]) for name in ("code", "message") if one.get(name)) for one in found]
        return "; ".join(word for word in words if word)[:300]
    except (ValueError, AttributeError, TypeError, KeyError):
        text = " ".join(body[:200].decode("utf-8", "replace").split())
        return "" if text.startswith("<") else text[:120]


def _retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds: RFC 9110 allows a number or a date."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):
        return None
