"""S3, as far as the shim needs it: the only module that imports obstore.

Job: read, create once, fetch parts pinned to an ETag, upload. Input: s3:// urls. Output: bytes, ETags.
Must not: know of jobs, or take a refusal (403) for an absence.
"""

from __future__ import annotations

import os
import pathlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import obstore
from obstore import exceptions
from obstore.store import S3Store

from shim.init import credentials, machine, signed
from shim.init.errors import ShimError
from shim.init.spec import Object

#: What one stream fetches of a large object, and what one request uploads.
PART_BYTES = 16 * 1024 * 1024
_UPLOAD_BYTES = 8 * 1024 * 1024
_PIECE = 1024 * 1024
_PARTS = 9_000  # S3 takes 10,000 at most
_LARGEST_PUT = 5 * 1024**3
_CREATE_ATTEMPTS = 6
_READ_ATTEMPTS = 3  # of ours, over those that obstore makes for each request
#: What S3 answers where a bucket lies in another region than the one that signed.
_ELSEWHERE = ("redirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint")

T = TypeVar("T")


class Local(NamedTuple):
    """A file to upload. `attributes`: Content-Type and the like; any other name is metadata, x-amz-meta-NAME.
    `sha256` (hex) is needed for keys that are not signed.plain.
    """

    path: str
    size: int
    attributes: Mapping[str, str]
    sha256: str = ""


class Store:
    """All buckets with one set of credentials. Every failure is a ShimError that names the object."""

    def __init__(self, environ: Mapping[str, str], region: str) -> None:
        self._provider = credentials.provider(environ)
        self._endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or ""
        self._region = region
        self._regions: dict[str, str] = {}
        self._stores: dict[tuple[str, str], S3Store] = {}
        self._lock = threading.Lock()

    def read(self, url: str) -> bytes | None:
        """The object's bytes, None where it is not there."""
        bucket, key = split(url)
        try:
            return bytes(self._get(bucket, key, {}).bytes())
        except (exceptions.NotFoundError, FileNotFoundError):
            return None
        except Exception as error:
            raise _failure("read", url, error) from error

    def create(self, url: str, data: bytes) -> bytes | None:
        """Writes the object unless it is there (If-None-Match: *): None when written, else what is there."""
        bucket, key = split(url)
        for attempt in range(_CREATE_ATTEMPTS):
            try:
                obstore.put(self._bucket(bucket), key, data, mode="create", use_multipart=False)
            except exceptions.AlreadyExistsError:
                # 412: someone's, perhaps ours with its answer lost. 409: two at once, then perhaps nobody's.
                if (there := self.read(url)) is not None:
                    return there
                _jitter(attempt)
            except Exception as error:
                raise _failure("write", url, error) from error
            else:
                return None
        raise ShimError(
            "infrastructure", f"{url} could not be written: the bucket kept answering with a conflict."
        )

    def fetch(self, item: Object, start: int, end: int, take: Callable[[int, Any], None]) -> None:
        """Hands bytes `start` to `end` of the object to `take(offset, bytes)`, in order, as they come.

        A stream that breaks off goes on where it broke. ShimError (input) where the object is not what was planned.
        """
        offset, attempt = start, 0
        chunks = self._chunks(item, offset, end)
        while True:
            try:
                data = next(chunks, None)
            except ShimError as error:
                attempt += 1
                if error.kind != "infrastructure" or attempt == _READ_ATTEMPTS:
                    raise
                _jitter(attempt)
                chunks = self._chunks(item, offset, end)
                continue
            if data is None:
                return
            take(offset, data)
            offset, attempt = offset + len(data), 0

    def upload(self, file: Local, url: str, streams: int = 4) -> str:
        """Uploads a file, in parts where it is large, `streams` at a time in memory; its ETag without quotes."""
        bucket, key = split(url)
        try:
            if not signed.plain(key):
                return self._put_odd(file, url)
            answer = obstore.put(
                self._bucket(bucket),
                key,
                pathlib.Path(file.path),
                chunk_size=max(_UPLOAD_BYTES, -(-file.size // _PARTS)),
                max_concurrency=streams,
                attributes=dict(file.attributes),
            )
        except OSError as error:
            raise ShimError("output", f"{file.path} cannot be uploaded to {url}: {error}") from error
        except Exception as error:
            raise _failure("write", url, error) from error
        return (answer["e_tag"] or "").strip('"')

    def _chunks(self, item: Object, start: int, end: int) -> Iterator[Any]:
        """The bytes in pieces, pinned to the ETag that was planned."""
        try:
            size, pieces = self._answer(item, start, end)
            if size != item.size:
                raise ShimError(
                    "input",
                    f"{item.url} has {size} bytes, not the {item.size} that were planned. Plan again.",
                )
            for piece in pieces:
                start += len(piece)
                yield piece
        except (exceptions.NotFoundError, FileNotFoundError) as error:
            raise ShimError("input", f"{item.url} is not there.") from error
        except exceptions.PreconditionError as error:
            raise ShimError("input", f"{item.url} has changed since it was planned. Plan again.") from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise ShimError("input", f"{item.url} may not be read by this task's role.") from error
        except Exception as error:
            raise _failure("read", item.url, error) from error
        if start != end:
            raise ShimError("infrastructure", f"could not read {item.url}: it broke off at byte {start}.")

    def _answer(self, item: Object, start: int, end: int) -> tuple[int, Iterable[Any]]:
        bucket, key = split(item.url)
        if not signed.plain(key):
            size, data = self._elsewhere(
                bucket, lambda: signed.get(self._place(bucket, key), item.etag, start, end)
            )
            return size, [data]
        options: dict[str, Any] = {"if_match": f'"{item.etag}"'} if item.etag else {}
        if end > start:
            options["range"] = (start, end)
        answer = self._get(bucket, key, options)
        # In small pieces: buffers of a whole part cost more time in page faults than the network does.
        pieces = [answer.bytes()] if end - start <= _PIECE else answer.stream(min_chunk_size=_PIECE)
        return answer.meta["size"], pieces

    def _put_odd(self, file: Local, url: str) -> str:
        if file.size > _LARGEST_PUT or not file.sha256:
            raise ShimError(
                "output", f"{url} is a key that can take 5 GiB at most. Give the file another name."
            )
        return signed.put(self._place(*split(url)), file.path, file.attributes, file.sha256)

    def _place(self, bucket: str, key: str) -> signed.Place:
        return signed.Place(self._base(bucket), key, self._region_of(bucket), self._provider())

    def _get(self, bucket: str, key: str, options: dict[str, Any]) -> Any:
        return self._elsewhere(bucket, lambda: obstore.get(self._bucket(bucket), key, options=options))  # type: ignore[arg-type]

    def _elsewhere(self, bucket: str, ask: Callable[[], T]) -> T:
        """What `ask` returns, asked once more where the bucket turns out to lie in another region."""
        before = self._region_of(bucket)
        try:
            return ask()
        except (exceptions.GenericError, signed.RefusedError) as error:
            if not any(mark in str(error) for mark in _ELSEWHERE):
                raise
            with self._lock:
                if self._region_of(bucket) == before:  # else another thread has found out
                    self._regions[bucket] = signed.region_of(self._base(bucket)) or before
            if self._region_of(bucket) == before:
                raise
        return ask()

    def _region_of(self, bucket: str) -> str:
        return self._regions.get(bucket, self._region)

    def _base(self, bucket: str) -> str:
        """The bucket's own address. Path-style for local clouds, and for names with a dot, which no certificate covers."""
        region = self._region_of(bucket)
        host = f"s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
        if self._endpoint or "." in bucket:
            return f"{self._endpoint.rstrip('/') or f'https://{host}'}/{bucket}"
        return f"https://{bucket}.{host}"

    def _bucket(self, bucket: str) -> S3Store:
        with self._lock:
            known = bucket, self._region_of(bucket)
            if known not in self._stores:
                self._stores[known] = self._open(*known)
            return self._stores[known]

    def _open(self, bucket: str, region: str) -> S3Store:
        client: dict[str, Any] = {
            "connect_timeout": "5s",
            "timeout": "300s",  # of a whole part, body included; the default of 30 s is short for 16 MiB
            "allow_http": bool(self._endpoint),
            "user_agent": "bunny-init",
        }
        if os.path.exists(machine.CA_BUNDLE):
            with open(machine.CA_BUNDLE, "rb") as file:
                client["root_certificate"] = file.read()
        return S3Store(
            bucket,
            region=region,
            endpoint=self._base(bucket),
            virtual_hosted_style_request=True,  # the address above is the bucket's own already
            checksum_algorithm="crc64nvme",  # S3 checks what arrives and keeps it with the object, whole, parts or not
            client_options=client,  # type: ignore[arg-type]
            retry_config={"max_retries": 8, "retry_timeout": timedelta(minutes=3)},
            credential_provider=self._provider,
        )


def split(url: str) -> tuple[str, str]:
    """Bucket and key of an s3:// url."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def _jitter(attempt: int) -> None:
    """Full jitter: anything up to 0.2 s, then up to twice as long each time."""
    time.sleep(random.random() * 0.2 * 2**attempt)  # noqa: S311 - jitter


def _failure(verb: str, url: str, error: Exception) -> ShimError:
    if isinstance(error, ShimError):
        return error
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return ShimError("infrastructure", f"this task's role may not {verb} {url}.")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ShimError("infrastructure", f"could not {verb} {url}: {reason[:300]}")
