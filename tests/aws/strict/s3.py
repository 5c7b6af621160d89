"""S3 in memory: what the product asks of it, with its conditions, strongly consistent as S3 is.

Job: objects, conditional writes, listings in pages, copies. Input: parameters of the API. Output: answers in
botocore's form, or Refusal. Must not: know what an object is about. moto's own takes ten times as long, and a proof
over every call of an apply is thousands of calls.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import hashlib
import io
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.response import StreamingBody

from tests.aws.strict.answers import Refusal


@dataclass(frozen=True)
class Stored:
    """An object: its bytes, metadata and moment."""

    body: bytes
    modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        """With its quotes, as S3 gives it."""
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


class S3:
    """Buckets by name; `races` makes so many next conditional writes answer 409."""

    PAGE = 1000

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.buckets: dict[str, dict[str, Stored]] = {}
        self.races = 0
        self._now = now

    def call(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """One call of the API."""
        handler: Callable[[Mapping[str, Any]], dict[str, Any]] = getattr(self, f"_{operation}")
        return handler(params)

    def put(self, url: str, body: bytes, *, once: bool = False) -> bool:
        """For programs inside containers; False where `once` finds an object there."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        if once and key in self.buckets[bucket]:
            return False
        self.buckets[bucket][key] = Stored(body, self._now())
        return True

    def get(self, url: str) -> Stored | None:
        """The object at an s3 url."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        return self.buckets[bucket].get(key)

    def _bucket(self, params: Mapping[str, Any]) -> dict[str, Stored]:
        try:
            return self.buckets[params["Bucket"]]
        except KeyError:
            raise Refusal("NoSuchBucket", "The specified bucket does not exist", 404) from None

    def _CreateBucket(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self.buckets.setdefault(params["Bucket"], {})
        return {}

    def _PutObject(self, params: Mapping[str, Any]) -> dict[str, Any]:
        objects, key = self._bucket(params), params["Key"]
        if params.get("IfNoneMatch") == "*":
            if self.races:
                self.races -= 1
                raise Refusal("ConditionalRequestConflict", "A conflicting operation is under way", 409)
            if key in objects:
                raise _precondition("If-None-Match")
        if "IfMatch" in params and (key not in objects or objects[key].etag != params["IfMatch"]):
            raise _precondition("If-Match")
        body = params.get("Body", b"")
        content = body if isinstance(body, bytes) else body.read()  # botocore may have made a file of it
        objects[key] = Stored(content, self._now(), dict(params.get("Metadata", {})))
        return {"ETag": objects[key].etag}

    def _GetObject(self, params: Mapping[str, Any]) -> dict[str, Any]:
        found = self._bucket(params).get(params["Key"])
        if found is None:
            raise Refusal("NoSuchKey", "The specified key does not exist.", 404)
        if "IfMatch" in params and params["IfMatch"].strip('"') != found.etag.strip('"'):
            raise _precondition("If-Match")
        body = found.body
        if "Range" in params:
            first, _, last = params["Range"].removeprefix("bytes=").partition("-")
            body = body[int(first) : int(last) + 1 if last else None]
        return {
            **_head(found),
            "Body": StreamingBody(io.BytesIO(body), len(body)),
            "ContentLength": len(body),
        }

    def _HeadObject(self, params: Mapping[str, Any]) -> dict[str, Any]:
        found = self._bucket(params).get(params["Key"])
        if found is None:
            raise Refusal("404", "Not Found", 404)  # a HEAD has no body to say more in
        return _head(found)

    def _DeleteObject(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._bucket(params).pop(params["Key"], None)
        return {}

    def _DeleteObjects(self, params: Mapping[str, Any]) -> dict[str, Any]:
        for one in params["Delete"]["Objects"]:
            self._bucket(params).pop(one["Key"], None)
        return {}

    def _CopyObject(self, params: Mapping[str, Any]) -> dict[str, Any]:
        source = params["CopySource"]
        if isinstance(source, str):
            bucket, _, key = urllib.parse.unquote(source.lstrip("/")).partition("/")
            source = {"Bucket": bucket, "Key": key}
        found = self._bucket(source).get(source["Key"])
        if found is None:
            raise Refusal("NoSuchKey", "The specified key does not exist.", 404)
        pinned = params.get("CopySourceIfMatch")
        if pinned and pinned.strip('"') != found.etag.strip('"'):
            raise _precondition("x-amz-copy-source-If-Match")
        replaced = params.get("MetadataDirective") == "REPLACE"
        metadata = dict(params.get("Metadata", {})) if replaced else found.metadata
        self._bucket(params)[params["Key"]] = Stored(found.body, self._now(), metadata)
        return {"CopyObjectResult": {"ETag": found.etag, "LastModified": self._now()}}

    def _ListObjectsV2(self, params: Mapping[str, Any]) -> dict[str, Any]:
        objects, prefix = self._bucket(params), params.get("Prefix", "")
        after = params.get("ContinuationToken") or params.get("StartAfter") or ""
        delimiter = params.get("Delimiter")
        most = min(int(params.get("MaxKeys", self.PAGE)), self.PAGE)
        contents: list[dict[str, Any]] = []
        folders: dict[str, None] = {}
        last, more = "", False
        keys = (key for key in objects if key.startswith(prefix) and key.encode() > after.encode())
        for key in sorted(keys, key=str.encode):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            folder = key[: end + 1] if end >= 0 else None
            if folder not in folders and len(contents) + len(folders) >= most:
                more = True
                break
            last = key
            if folder is not None:
                folders[folder] = None
                continue
            found = objects[key]
            contents.append(
                {"Key": key, "ETag": found.etag, "Size": len(found.body), "LastModified": found.modified}
            )
        answer: dict[str, Any] = {"IsTruncated": more, "KeyCount": len(contents) + len(folders)}
        if contents:
            answer["Contents"] = contents
        if folders:
            answer["CommonPrefixes"] = [{"Prefix": folder} for folder in folders]
        return answer | ({"NextContinuationToken": last} if more else {})


def _head(found: Stored) -> dict[str, Any]:
    return {
        "ETag": found.etag,
        "ContentLength": len(found.body),
        "LastModified": found.modified,
        "Metadata": dict(found.metadata),
    }


def _precondition(condition: str) -> Refusal:
    return Refusal(
        "PreconditionFailed",
        f"At least one of the pre-conditions you specified did not hold: {condition}",
        412,
    )
