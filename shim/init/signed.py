"""Requests for the few keys that obstore takes for others: an empty part (`a//b`), `.`, `..`, a control character.

Job: sign (Signature Version 4) and send one request. Input: a place, what to do. Output: bytes, an ETag.
Must not: be used where obstore can: no parts in parallel, one connection each.
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote, urlsplit

from shim.init import machine
from shim.init.errors import ShimError

_SECONDS = 300.0
_EMPTY = hashlib.sha256(b"").hexdigest()


class Place(NamedTuple):
    """A key of the bucket at `base`, the region that signs, and credentials as credentials.provider gives them."""

    base: str
    key: str
    region: str
    keys: Mapping[str, Any]


class RefusedError(Exception):
    """S3 answered with a status that is none of the expected; `str()` begins with it."""


def plain(key: str) -> bool:
    """Whether object_store's notion of a path leaves the key as it is."""
    parts = key.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not re.search(r"[\0-\x1f\x7f]", key)


def get(place: Place, etag: str, start: int, end: int) -> tuple[int, bytes]:
    """The object's size and its bytes `start` to `end`; ShimError (input) where it is missing, changed or refused."""
    headers = {"if-match": f'"{etag}"'} if etag else {}
    if end > start:
        headers["range"] = f"bytes={start}-{end - 1}"
    answer = _send("GET", place, headers, None, _EMPTY)
    said = {404: "is not there", 412: "has changed since it was planned", 403: "may not be read by this role"}
    if answer.status in said:
        raise ShimError("input", f"{place.base}/{place.key} {said[answer.status]}.")
    if answer.status not in (200, 206):
        raise RefusedError(f"{answer.status} {answer.body[:500].decode(errors='replace')}")
    whole = answer.headers.get("content-range", "").rpartition("/")[2]
    return int(whole) if whole else len(answer.body), answer.body


def put(place: Place, path: str, attributes: Mapping[str, str], sha256: str) -> str:
    """Uploads a file in one request, checked against its digest on the way; the ETag without quotes."""
    headers = {
        name.lower() if name.lower().startswith("content-") else f"x-amz-meta-{name}": value
        for name, value in attributes.items()
    }
    headers["content-length"] = str(os.path.getsize(path))
    with open(path, "rb") as file:
        answer = _send("PUT", place, headers, file, sha256)
    if answer.status != 200:
        raise RefusedError(f"{answer.status} {answer.body[:500].decode(errors='replace')}")
    return answer.headers.get("etag", "").strip('"')


def region_of(base: str) -> str:
    """The region that a bucket says it is in, "" where it does not; no credentials are needed.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
    """
    try:
        return machine.ask("HEAD", base, {}, None, 10).headers.get("x-amz-bucket-region", "")
    except OSError:
        return ""


def _send(
    method: str, place: Place, headers: Mapping[str, str], body: BinaryIO | None, digest: str
) -> machine.Answer:
    url = f"{place.base}/{quote(place.key, safe='/~')}"
    return machine.ask(method, url, _sign(method, url, place, headers, digest), body, _SECONDS)


def _sign(method: str, url: str, place: Place, headers: Mapping[str, str], digest: str) -> dict[str, str]:
    parts, at = urlsplit(url), datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    whole = {**headers, "host": parts.netloc, "x-amz-date": at, "x-amz-content-sha256": digest}
    if token := place.keys.get("token"):
        whole["x-amz-security-token"] = str(token)
    names = ";".join(sorted(whole))
    lines = "".join(f"{name}:{whole[name].strip()}\n" for name in sorted(whole))
    request = f"{method}\n{parts.path}\n\n{lines}\n{names}\n{digest}"
    scope = f"{at[:8]}/{place.region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{place.keys['secret_access_key']}".encode()
    for word in (*scope.split("/"), text):
        key = hmac.digest(key, word.encode(), "sha256")
    credential = f"{place.keys['access_key_id']}/{scope}"
    whole["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}"
    )
    return whole
