"""One repository of one registry: manifests and blobs, checked against their digests both ways.

Job: read and write manifests, stream blobs down (resumed where the connection breaks) and up (begun again, never
resumed: ECR is reported to lose data on several PATCHes), mount those of another repository of the registry. Input:
Session, digests, Blobs. Output: Documents, streams. Must not: hold a blob in memory, or finish an upload whose bytes
are not those of its digest.

The protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from reconciler import media
from reconciler.errors import RegistryError
from reconciler.registry.session import Request, Session, TransientError, pull, push
from reconciler.registry.wire import Answer, Stream, WireError

CHUNK: Final = 1024 * 1024
MANIFEST_LIMIT: Final = 8 * 1024 * 1024  # registries take 4 MiB
_RANGE: Final = re.compile(r"bytes (\d+)-")


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or an index as it came: `digest` is that of the bytes, `media_type` what the registry calls it."""

    body: bytes
    media_type: str
    digest: str


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes to be pushed. `chunks` begins a new reading of all of them; a chunk is valid until the next is asked for.

    It raises TransientError at its end where the bytes were not those of the digest: the upload is not finished then.
    `mounts` are paths of repositories in the target's registry that may hold the blob.
    """

    digest: str
    size: int
    chunks: Callable[[], Iterator[memoryview | bytes]]
    mounts: tuple[str, ...] = ()


class Repository:
    """A repository by its path; may be used from several threads."""

    def __init__(self, session: Session, path: str) -> None:
        self.session = session
        self.path = path
        self.name = f"{session.host}/{path}"
        self._root = f"{session.root}/v2/{path}"

    def head(self, reference: str) -> tuple[str, str]:
        """(digest, media type) of what a tag or a digest stands for. Raises RegistryError.

        A HEAD, which Docker Hub does not count as a pull; where its answer has no digest, the document itself.
        """
        answer = self.session.send(self._manifest_request("HEAD", reference))
        answer.close()
        digest = answer.headers.get("Docker-Content-Digest", "")
        if not digest.startswith("sha256:"):
            found = self.manifest(reference)
            return found.digest, found.media_type
        return digest, answer.headers.get_content_type()

    def manifest(self, reference: str) -> Document:
        """The manifest or index of a tag or digest. Raises RegistryError, also where its bytes have another digest."""
        subject = self._named(reference)

        def attempt() -> Document:
            answer = self.session.once(self._manifest_request("GET", reference))
            said = answer.headers.get("Docker-Content-Digest") or ""
            body = answer.read(MANIFEST_LIMIT)
            digest = sha256(body)
            for wanted in (reference, said):
                if wanted.startswith("sha256:") and wanted != digest:
                    raise TransientError(f"the manifest that came is {digest}, not {wanted}")
            return Document(body, answer.headers.get_content_type(), digest)

        return self.session.retried(subject, attempt)

    def has(self, digest: str) -> bool:
        """Whether the repository holds a blob. Raises RegistryError.

        A registry that sends on to its storage has it; the address there may be signed for GET alone, so it is left.
        """
        scopes = frozenset({pull(self.path)})
        answer = self.session.send(
            Request("HEAD", self._blob(digest), self.name, scopes, also=(404,), follow=False)
        )
        answer.close()
        return answer.status < 400

    def read(self, digest: str, limit: int) -> bytes:
        """A small blob, whole: a configuration. Raises RegistryError."""

        def attempt() -> bytes:
            body = bytearray()
            for chunk in self.blob(digest, None):
                body += chunk
                if len(body) > limit:
                    raise RegistryError(f"{self._named(digest)}: longer than {limit} bytes")
            return bytes(body)

        return self.session.retried(self._named(digest), attempt)

    def blob(self, digest: str, size: int | None) -> Iterator[memoryview]:
        """The bytes of a blob; where the connection breaks, from that byte on.

        A chunk is valid until the next is asked for. Raises RegistryError; TransientError, at the end, where the
        bytes are not those of the digest: they must not be used then, and another reading may bring the right ones.
        """
        subject = self._named(digest)
        hasher, offset, tried = hashlib.sha256(), 0, 0
        view = memoryview(bytearray(CHUNK))
        while True:
            answer = self.session.retried(subject, lambda at=offset: self._opened(digest, at))  # type: ignore[misc]
            try:
                skip = offset if answer.status == 200 else 0  # a server may ignore Range and begin again
                while count := answer.readinto(view):
                    chunk = view[min(skip, count) : count]
                    skip -= count - len(chunk)
                    if chunk:
                        hasher.update(chunk)
                        offset += len(chunk)
                        tried = 0
                        yield chunk
                break
            except WireError as error:
                tried += 1
                self.session.pause(subject, error, tried)
            finally:
                answer.close()
        if (size is not None and offset != size) or f"sha256:{hasher.hexdigest()}" != digest:
            raise TransientError(
                f"{offset} bytes came whose digest is sha256:{hasher.hexdigest()[:12]}…, not {digest[:19]}…"
            )

    def push(self, blob: Blob) -> str:
        """Make the repository hold a blob: "mounted", "there" or "pushed", by what it took. Raises RegistryError."""
        way = self._pushed(blob)
        self.session.holders[blob.digest] = self.path
        return way

    def put(self, reference: str, document: Document) -> None:
        """Write a manifest or an index under a tag or its digest. Raises RegistryError."""
        answer = self.session.send(
            Request(
                "PUT",
                f"{self._root}/manifests/{reference}",
                self._named(reference),
                frozenset({push(self.path)}),
                {"Content-Type": document.media_type},
                document.body,
            )
        )
        answer.close()
        said = answer.headers.get("Docker-Content-Digest") or document.digest
        if said.startswith("sha256:") and said != document.digest:
            raise RegistryError(
                f"{self._named(reference)}: the registry keeps {said} where {document.digest} was sent. "
                "Something on the way changes manifests: remove the tag, and go around it."
            )

    def _pushed(self, blob: Blob) -> str:
        known = self.session.holders.get(blob.digest, "")
        for source in dict.fromkeys((*blob.mounts, known)):
            if source and source != self.path and self._mounted(blob.digest, source):
                return "mounted"
        if self.has(blob.digest):
            return "there"
        self.session.retried(f"{self.name}@{blob.digest[:19]}…", lambda: self._upload(blob))
        return "pushed"

    def _opened(self, digest: str, offset: int) -> Answer:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        scopes = frozenset({pull(self.path)})
        answer = self.session.once(
            Request(
                "GET", self._blob(digest), self._named(digest), scopes, headers, also=(416,) if offset else ()
            )
        )
        start = _RANGE.match(answer.headers.get("Content-Range", ""))
        if answer.status == 416 or (answer.status == 206 and (not start or int(start[1]) != offset)):
            answer.close()
            raise TransientError(f"a request for the bytes from {offset} on was answered with others")
        return answer

    def _mounted(self, digest: str, source: str) -> bool:
        """Whether the registry took the blob over from another of its repositories; an upload that it began is ended."""
        scopes = frozenset({push(self.path), pull(source)})
        query = urlencode({"mount": digest, "from": source})
        try:
            answer = self.session.send(self._start(f"?{query}", scopes))
        except RegistryError:
            return False  # some refuse a mount instead of beginning an upload: the plain way will tell what is wrong
        answer.close()
        if answer.status != 201:
            self._abandon(answer)
        return answer.status == 201 and answer.headers.get("Docker-Content-Digest", digest) == digest

    def _start(self, query: str, scopes: frozenset[str]) -> Request:
        return Request("POST", f"{self._root}/blobs/uploads/{query}", self.name, scopes, body=b"")

    def _upload(self, blob: Blob) -> None:
        begun = self.session.once(self._start("", frozenset({push(self.path)})))
        begun.close()
        try:
            self._sent(blob, self._location(begun))
        except (TransientError, WireError, RegistryError):
            self._abandon(begun)
            raise

    def _sent(self, blob: Blob, place: str) -> None:
        scopes = frozenset({push(self.path)})
        headers = {"Content-Type": "application/octet-stream"}
        body = Stream(blob.chunks(), blob.size)
        sent = self.session.once(Request("PATCH", place, self.name, scopes, headers, body))
        sent.close()
        place = self._location(sent, place)
        join = "&" if "?" in place else "?"
        url = f"{place}{join}digest={quote(blob.digest)}"
        done = self.session.once(Request("PUT", url, self.name, scopes, headers, b"", also=(400, 404, 416)))
        done.close()
        if done.status >= 400:  # it has other bytes than were sent, or forgot the upload
            raise TransientError(
                f"the registry did not take the bytes sent ({done.status})", status=done.status
            )
        said = done.headers.get("Docker-Content-Digest") or blob.digest
        if said.startswith("sha256:") and said != blob.digest:
            raise TransientError(f"the registry says that it got {said}")

    def _location(self, answer: Answer, default: str = "") -> str:
        location = answer.headers.get("Location")
        if not location and not default:
            raise TransientError("the registry began an upload and did not say where")
        return self.session.resolve(location, answer.url) if location else default

    def _abandon(self, answer: Answer) -> None:
        """Tell the registry that an upload ends here; it forgets it in time without that too."""
        if location := answer.headers.get("Location"):
            url = self.session.resolve(location, answer.url)
            scopes = frozenset({push(self.path)})
            try:
                self.session.once(Request("DELETE", url, self.name, scopes)).close()
            except (TransientError, WireError, RegistryError):
                return

    def _manifest_request(self, method: str, reference: str) -> Request:
        return Request(
            method,
            f"{self._root}/manifests/{reference}",
            self._named(reference),
            frozenset({pull(self.path)}),
            {"Accept": ", ".join(media.MANIFESTS)},
        )

    def _blob(self, digest: str) -> str:
        return f"{self._root}/blobs/{digest}"

    def _named(self, reference: str) -> str:
        return f"{self.name}{'@' if reference.startswith('sha256:') else ':'}{reference}"


def checked(digest: str, chunks: Iterable[memoryview | bytes]) -> Iterator[memoryview | bytes]:
    """The chunks; at their end a TransientError where they were others than the digest's."""
    hasher = hashlib.sha256()
    for chunk in chunks:
        hasher.update(chunk)
        yield chunk
    if f"sha256:{hasher.hexdigest()}" != digest:
        raise TransientError(f"what was to be sent is not {digest[:19]}…")


def from_file(path: Path, digest: str, size: int, mounts: tuple[str, ...] = ()) -> Blob:
    """A blob that lies in a file."""

    def chunks() -> Iterator[memoryview]:
        view = memoryview(bytearray(CHUNK))
        with path.open("rb") as stream:
            while count := stream.readinto(view):
                yield view[:count]

    return Blob(digest, size, lambda: checked(digest, chunks()), mounts)


def document(body: bytes, media_type: str) -> Document:
    """A manifest or an index that is to be written."""
    return Document(body, media_type, sha256(body))


def from_bytes(body: bytes) -> Blob:
    """A small blob: a configuration."""
    return Blob(sha256(body), len(body), lambda: iter((body,)))


def sha256(body: bytes) -> str:
    """ "sha256:…" of bytes."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
