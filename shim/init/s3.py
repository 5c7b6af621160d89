"""S3, as far as the shim needs it: the only module that imports obstore.

Job: read, create once, fetch parts pinned to an ETag, upload. Input: s3:// urls. Output: bytes, ETags.
Must not: know of jobs, or take a refusal (403) for an absence.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import S3Store

from shim.init import credentials, machine
from shim.init.errors import ShimError
from shim.init.spec import Object

_PART_BYTES = 16 * 1024 * 1024
_PARTS = 9_000  # S3 takes 10,000 at most
_CREATE_ATTEMPTS = 6


class Store:
    """All buckets with one set of credentials. Every failure is a ShimError that names the object."""

    def __init__(self, environ: Mapping[str, str], region: str) -> None:
        self._provider = credentials.provider(environ)
        self._endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or ""
        self._region = region
        self._stores: dict[str, S3Store] = {}

    def read(self, url: str) -> bytes | None:
        """The object's bytes, None where it is not there."""
        bucket, key = split(url)
        try:
            return bytes(obstore.get(self._bucket(bucket), key).bytes())
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
                time.sleep(random.random() * 0.2 * 2**attempt)  # noqa: S311 - jitter
            except Exception as error:
                raise _failure("write", url, error) from error
            else:
                return None
        raise ShimError(
            "infrastructure", f"{url} could not be written: the bucket kept answering with a conflict."
        )

    def put(self, url: str, data: bytes) -> None:
        """Writes a small object, whatever is there."""
        bucket, key = split(url)
        try:
            obstore.put(self._bucket(bucket), key, data, use_multipart=False)
        except Exception as error:
            raise _failure("write", url, error) from error

    def part(self, item: Object, start: int, end: int) -> Any:
        """Bytes `start` to `end` of the object (a buffer); ShimError (input) where it is not what was planned."""
        bucket, key = split(item.url)
        if "//" in f"/{key}/":  # object_store would take such a key for another one
            raise ShimError("input", f"{item.url} has an empty part in its key, which this shim cannot read.")
        options: dict[str, Any] = {"if_match": f'"{item.etag}"'} if item.etag else {}
        if end > start:
            options["range"] = (start, end)
        try:
            answer = obstore.get(self._bucket(bucket), key, options=options)  # type: ignore[arg-type]
            size, data = answer.meta["size"], answer.bytes()
        except (exceptions.NotFoundError, FileNotFoundError) as error:
            raise ShimError("input", f"{item.url} is not there.") from error
        except exceptions.PreconditionError as error:
            raise ShimError("input", f"{item.url} has changed since it was planned. Plan again.") from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise ShimError("input", f"{item.url} may not be read by this task's role.") from error
        except Exception as error:
            raise _failure("read", item.url, error) from error
        if size != item.size or len(data) != end - start:
            raise ShimError(
                "input", f"{item.url} has {size} bytes, not the {item.size} that were planned. Plan again."
            )
        return data

    def upload(self, path: str, size: int, url: str, streams: int = 4) -> str:
        """Uploads a file, in parts where it is large, `streams` at a time in memory; its ETag without quotes."""
        bucket, key = split(url)
        part = max(_PART_BYTES, -(-size // _PARTS))
        try:
            with open(path, "rb") as file:
                answer = obstore.put(
                    self._bucket(bucket), key, file, chunk_size=part, max_concurrency=streams
                )
        except OSError as error:
            raise ShimError("output", f"{path} cannot be uploaded to {url}: {error}") from error
        except Exception as error:
            raise _failure("write", url, error) from error
        return (answer["e_tag"] or "").strip('"')

    def _bucket(self, bucket: str) -> S3Store:
        if bucket not in self._stores:
            self._stores[bucket] = self._open(bucket)
        return self._stores[bucket]

    def _open(self, bucket: str) -> S3Store:
        client: dict[str, Any] = {
            "connect_timeout": "5s",
            "timeout": "300s",  # of a whole part, body included; the default of 30 s is short for 16 MiB
            "allow_http": bool(self._endpoint),
            "user_agent": "bunny-init",
        }
        if os.path.exists(machine.CA_BUNDLE):
            with open(machine.CA_BUNDLE, "rb") as file:
                client["root_certificate"] = file.read()
        config: dict[str, Any] = {"endpoint": self._endpoint} if self._endpoint else {}
        # Path-style for local clouds, and for names with a dot, which no certificate of S3 covers.
        virtual = not self._endpoint and "." not in bucket
        return S3Store(
            bucket,
            region=self._region,
            virtual_hosted_style_request=virtual,
            client_options=client,  # type: ignore[arg-type]
            retry_config={"max_retries": 8, "retry_timeout": timedelta(minutes=5)},
            credential_provider=self._provider,
            **config,
        )


def split(url: str) -> tuple[str, str]:
    """Bucket and key of an s3:// url."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def _failure(verb: str, url: str, error: Exception) -> ShimError:
    if isinstance(error, ShimError):
        return error
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return ShimError("infrastructure", f"this task's role may not {verb} {url}.")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ShimError("infrastructure", f"could not {verb} {url}: {reason[:300]}")
