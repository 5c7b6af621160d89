"""The inputs of jobs: the S3 objects that they stand for.

Job: ask S3 what is behind the urls of Job manifests, in few calls. Input: Job manifests. Output: S3Objects by url.
Must not: decide what runs, or where an object goes (layout does).
"""

from __future__ import annotations

import os.path
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler import aws as aws_
from reconciler import kinds
from reconciler.errors import AwsError
from reconciler.model import Manifest, Ref, S3Object

_LISTED_TOGETHER: Final = 3  # from so many urls in one folder on, one listing is cheaper than a HEAD each
_NOT_THERE: Final = frozenset({"NoSuchKey", "NoSuchBucket", "NotFound", "404"})


@dataclass(frozen=True, slots=True)
class Wish:
    """An input as its manifest gives it; `many` where `from` is a list; `place` is its `as:`."""

    name: str
    sources: tuple[str | Ref, ...]
    many: bool
    place: str | None


def wishes(body: Mapping[str, Any]) -> Iterator[Wish]:
    """The inputs of a Job's body, in order."""
    for name, given in (body.get("inputs") or {}).items():
        wanted = given if isinstance(given, Mapping) else {"from": given}
        source = wanted["from"]
        many = isinstance(source, (list, tuple))
        yield Wish(name, tuple(source) if many else (source,), many, wanted.get("as"))


def facts(world: kinds.World, manifests: Iterable[Manifest]) -> Mapping[str, tuple[S3Object, ...]]:
    """The objects that each s3 url among the inputs stands for, by url; none where nothing is there.

    A url that ends in `/` stands for every object below it but the empty ones that consoles make for folders: so
    an empty folder is not there. Urls that share a folder are listed together. Raises AwsError; 403 is an error.
    """
    urls = {
        source
        for manifest in manifests
        for wish in wishes(manifest.body)
        for source in wish.sources
        if isinstance(source, str)
    }
    found: dict[str, tuple[S3Object, ...]] = {}
    for answer in aws_.parallel(lambda batch: _ask(world.aws, batch), _batches(urls)):
        found |= answer
    return found


def split(url: str) -> tuple[str, str] | None:
    """Bucket and key of an s3 url; None where it is none. A key that is empty or ends in `/` is a prefix."""
    scheme, slashes, rest = url.partition("://")
    bucket, slash, key = rest.partition("/")
    return (bucket, key) if scheme == "s3" and slashes and bucket and slash else None


def is_prefix(url: str) -> bool:
    """Whether the url stands for everything below it."""
    return url.endswith("/")


def _batches(urls: Iterable[str]) -> list[tuple[str, ...]]:
    """The urls in groups, each asked for at once."""
    together: dict[str, list[str]] = defaultdict(list)
    alone: list[tuple[str, ...]] = []
    for url in sorted(urls):
        if is_prefix(url):
            alone.append((url,))
        else:
            together[posixpath.dirname(url)].append(url)
    for group in together.values():
        alone += [tuple(group)] if len(group) >= _LISTED_TOGETHER else [(url,) for url in group]
    return alone


def _ask(aws: aws_.Aws, urls: tuple[str, ...]) -> dict[str, tuple[S3Object, ...]]:
    if len(urls) > 1:
        return _siblings(aws, urls)
    return {urls[0]: _below(aws, urls[0]) if is_prefix(urls[0]) else _head(aws, urls[0])}


def _head(aws: aws_.Aws, url: str) -> tuple[S3Object, ...]:
    bucket, key = split(url) or ("", "")
    try:
        answer = aws.call("s3", "HeadObject", Bucket=bucket, Key=key)
    except AwsError as error:
        if error.code in _NOT_THERE or error.status == 404:
            return ()
        raise
    return (S3Object(url, answer["ETag"].strip('"'), answer["ContentLength"], posixpath.basename(key)),)


def _below(aws: aws_.Aws, url: str) -> tuple[S3Object, ...]:
    bucket, prefix = split(url) or ("", "")
    return tuple(
        S3Object(
            f"s3://{bucket}/{found['Key']}",
            found["ETag"].strip('"'),
            found["Size"],
            found["Key"][len(prefix) :],
        )
        for found in _listed(aws, bucket, prefix)
        if found["Size"] or not found["Key"].endswith("/")
    )


def _siblings(aws: aws_.Aws, urls: tuple[str, ...]) -> dict[str, tuple[S3Object, ...]]:
    """Objects of one folder, from the listing of what their names begin with; folders inside it are not entered."""
    found: dict[str, tuple[S3Object, ...]] = dict.fromkeys(urls, ())
    keys = {(split(url) or ("", ""))[1]: url for url in urls}
    bucket, _ = split(urls[0]) or ("", "")
    prefix = os.path.commonprefix(list(keys))  # noqa: RUF071 - S3's prefixes are strings, not paths
    last = max(key.encode() for key in keys)
    for listed in _listed(aws, bucket, prefix, Delimiter="/"):
        key = listed["Key"]
        if url := keys.get(key):
            name = posixpath.basename(key)
            found[url] = (S3Object(url, listed["ETag"].strip('"'), listed["Size"], name),)
        if key.encode() >= last:  # S3 lists in the order of UTF-8 bytes
            break
    return found


def _listed(aws: aws_.Aws, bucket: str, prefix: str, **params: Any) -> Iterator[dict[str, Any]]:
    try:
        for page in aws.pages("s3", "ListObjectsV2", Bucket=bucket, Prefix=prefix, **params):
            yield from page.get("Contents", ())
    except AwsError as error:
        if error.code not in _NOT_THERE:
            raise
