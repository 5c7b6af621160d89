"""JSON documents in S3: read, written plainly, or written once and for all.

Job: the conditional write that the whole ledger stands on, and what its answers mean. Input: keys and documents.
Output: documents. Must not: know what a document is about.

A conditional write (If-None-Match: *) can succeed and its answer be lost; the next try then finds the object
there (412). So each document carries a random nonce: on 412 the object is read, our own nonce means that our
write arrived, another's that somebody was first. 409 means that two writes met: again. 403 is an error, never
"absent". https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler import aws as aws_
from reconciler import errors
from reconciler.clock import Clock

TRIES: Final = 6

_NO_ANSWER: Final = frozenset(  # botocore's names for "sent, perhaps done, never heard"
    {
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "HTTPClientError",
        "IncompleteReadError",
        "ReadTimeoutError",
        "ResponseStreamingError",
    }
)
_SLOW: Final = (
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
)


@dataclass(frozen=True, slots=True)
class Listed:
    """An object of a listing; `modified` orders two that were written under one number."""

    key: str
    size: int
    modified: str


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a conditional write: `ours`, or another's; `document` is what is there now."""

    ours: bool
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents of one bucket; may be used from several threads. Every method raises AwsError."""

    aws: aws_.Aws
    bucket: str
    clock: Clock

    def read(self, key: str) -> dict[str, Any] | None:
        """The document at `key`, None where there is none. Raises BunniesError where it is not JSON."""
        body = self.read_bytes(key)
        if body is None:
            return None
        try:
            document = json.loads(body)
        except ValueError as error:
            raise errors.BunniesError(
                f"s3://{self.bucket}/{key} is not JSON ({error}). Somebody wrote over it: restore it from a "
                "version of the object, or remove it."
            ) from error
        if not isinstance(document, dict):
            raise errors.BunniesError(f"s3://{self.bucket}/{key} is not a JSON object. Restore or remove it.")
        return document

    def read_bytes(self, key: str, **params: Any) -> bytes | None:
        """The object at `key`, None where there is none; `params` are further ones of GetObject."""
        for tried in range(TRIES):
            try:
                answer = self.aws.call("s3", "GetObject", Bucket=self.bucket, Key=key, **params)
                with aws_.translated("GetObject"):
                    body: bytes = answer["Body"].read()
                return body
            except errors.AwsError as error:
                if error.code == "NoSuchKey":
                    return None
                self._again(error, tried)
        raise AssertionError

    def write(self, key: str, document: Mapping[str, Any]) -> None:
        """Puts the document, over whatever is there: for documents whose content does not depend on the writer."""
        self.write_bytes(key, _text(document), "application/json")

    def write_bytes(self, key: str, body: bytes, kind: str = "application/octet-stream") -> None:
        """Puts the object, over whatever is there; `kind` is its Content-Type."""
        for tried in range(TRIES):
            try:
                self._put(key, body, ContentType=kind)
                return
            except errors.AwsError as error:
                self._again(error, tried)

    def write_once(self, key: str, document: Mapping[str, Any]) -> Written:
        """Puts the document, which has a `nonce`, unless there is one already."""
        for tried in range(TRIES):
            try:
                self._put(key, _text(document), ContentType="application/json", IfNoneMatch="*")
                return Written(ours=True, document=document)
            except errors.AwsError as error:
                if error.status != 412:
                    self._again(error, tried, also=409)
                    continue
            there = self.read(key)
            if there is not None:
                return Written(ours=there.get("nonce") == document["nonce"], document=there)
            self.clock.wait(tried)  # gone again between the two: a person cleans up
        raise errors.BunniesError(
            f"s3://{self.bucket}/{key} could not be written: it comes and goes. Is something deleting from the bucket?"
        )

    def list(self, prefix: str) -> Iterator[Listed]:
        """The objects below `prefix`, in the order of their keys."""
        try:
            pages = list(self.aws.pages("s3", "ListObjectsV2", Bucket=self.bucket, Prefix=prefix))
        except errors.AwsError as error:
            if error.code != "NoSuchBucket":
                raise
            what = f"there is no bucket {self.bucket}. Run `bunnies bootstrap`, or write another bucket in Settings."
            raise errors.BunniesError(what) from error
        for page in pages:
            for entry in page.get("Contents", ()):
                yield Listed(entry["Key"], int(entry["Size"]), str(entry["LastModified"]))

    def _put(self, key: str, body: bytes, **params: Any) -> None:
        self.aws.call("s3", "PutObject", Bucket=self.bucket, Key=key, Body=body, **params)

    def _again(self, error: errors.AwsError, tried: int, also: int = -1) -> None:
        """Waits where another try may help, else raises the error."""
        worth = unheard(error) or slow_down(error) or error.status == also
        if not worth or tried == TRIES - 1:
            raise error
        self.clock.wait(tried)


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1).encode()


def unheard(error: errors.AwsError) -> bool:
    """Whether the call may have been carried out although it failed: no answer, or the service's own failure."""
    return error.status >= 500 or (error.status == 0 and error.code in _NO_ANSWER)


def slow_down(error: errors.AwsError) -> bool:
    """Whether the service only asked us to come back later.

    ECS also says it inside other errors: `InvalidParameterException … Rate exceeded (ErrorCode: Throttling)`.
    """
    return error.code in _SLOW or "Rate exceeded" in error.message or "ErrorCode: Throttling" in error.message
