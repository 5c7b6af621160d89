"""Outputs of succeeded jobs at the places that manifests publish them to.

Job: compare each target with what a succeeded attempt made, and copy what is absent or differs, inside S3.
Input: Jobs, records of the ledger. Output: Copies that are due; Outcomes. Must not: delete anything at a target.

A copy carries where it came from in its metadata (x-amz-meta-bunnies-source), which names job and attempt: ETags
alone do not tell, since that of a copy in parts depends on the parts.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from reconciler import attempts, errors
from reconciler import aws as aws_
from reconciler.ledger import Records
from reconciler.model import Copy, Job, Outcome, Status

MOST_PARTS: Final = 10_000  # of one upload

SOURCE: Final = "bunnies-source"
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})


@dataclass(frozen=True, slots=True)
class Limits:
    """S3's own, in bytes: the largest `copy` that is one call, and the `part` that larger ones are cut into."""

    copy: int = 5 * 1024**3
    part: int = 1024**3


LIMITS: Final = Limits()


def pending(aws: aws_.Aws, jobs: Sequence[Job], records: Records) -> tuple[Copy, ...]:
    """The copies that are due: target absent, or not this attempt's. Reads only; one HEAD a file."""
    wanted = [
        copy
        for job in jobs
        if job.spec.get("publish") and (result := attempts.succeeded(records.get(job.job_id)))
        for copy in _copies(job, result)
    ]
    there = aws_.parallel(lambda copy: _is_there(aws, copy), wanted)
    return tuple(copy for copy, is_there in zip(wanted, there, strict=True) if not is_there)


def publish(aws: aws_.Aws, copies: Iterable[Copy], limits: Limits = LIMITS) -> Iterator[Outcome]:
    """Makes each copy, by the server; one that fails does not keep the others from being made."""

    def one(copy: Copy) -> Outcome:
        try:
            _copy(aws, copy, limits)
        except errors.AwsError as error:
            return Outcome(copy.address, "publish", Status.FAILED, f"{copy.target}: {_words(copy, error)}")
        return Outcome(copy.address, "publish", Status.CHANGED, copy.target)

    with ThreadPoolExecutor(max_workers=aws_.CONNECTIONS) as pool:
        yield from pool.map(one, copies)


def _words(copy: Copy, error: errors.AwsError) -> str:
    """What is wrong; of a source that is gone, what to do: nobody needs it but the target."""
    if error.code not in _ABSENT:
        return str(error)
    return f"{copy.source} is gone. Write another `generation:` in the manifest of {copy.address} to make it again."


def _copies(job: Job, result: Mapping[str, Any]) -> Iterator[Copy]:
    for name, target in sorted(job.spec["publish"].items()):
        kind = job.spec["jobspec"]["outputs"][name]["kind"]
        for file in (result.get("outputs") or {}).get(name, ()):
            exact = kind == "file" and not target.endswith("/")
            place = target if exact else f"{target.rstrip('/')}/{file['path']}"
            yield Copy(job.address, file["url"], place, int(file["size"]), file.get("etag"))


def _is_there(aws: aws_.Aws, copy: Copy) -> bool:
    bucket, key = _split(copy.target)
    try:
        answer = aws.call("s3", "HeadObject", Bucket=bucket, Key=key)
    except errors.AwsError as error:
        if error.code in _ABSENT:
            return False
        raise
    same_source = answer.get("Metadata", {}).get(SOURCE) == _metadata(copy)[SOURCE]
    same_bytes = copy.etag is not None and answer["ETag"].strip('"') == copy.etag
    return int(answer["ContentLength"]) == copy.size and (same_source or same_bytes)


def _copy(aws: aws_.Aws, copy: Copy, limits: Limits) -> None:
    bucket, key = _split(copy.target)
    source = dict(zip(("Bucket", "Key"), _split(copy.source), strict=True))
    pinned: dict[str, Any] = {"CopySource": source}
    if copy.etag:
        pinned["CopySourceIfMatch"] = copy.etag
    if copy.size > limits.copy:
        _copy_in_parts(aws, copy, pinned, limits)
        return
    aws.call(
        "s3",
        "CopyObject",
        Bucket=bucket,
        Key=key,
        Metadata=_metadata(copy),
        MetadataDirective="REPLACE",
        **pinned,
    )


def _copy_in_parts(aws: aws_.Aws, copy: Copy, pinned: Mapping[str, Any], limits: Limits) -> None:
    bucket, key = _split(copy.target)
    made = aws.call("s3", "CreateMultipartUpload", Bucket=bucket, Key=key, Metadata=_metadata(copy))
    upload = {"Bucket": bucket, "Key": key, "UploadId": made["UploadId"]}
    size = max(limits.part, -(-copy.size // MOST_PARTS))

    def part(number: int) -> dict[str, Any]:
        first = (number - 1) * size
        last = min(first + size, copy.size) - 1
        span = f"bytes={first}-{last}"
        answer = aws.call("s3", "UploadPartCopy", PartNumber=number, CopySourceRange=span, **upload, **pinned)
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    try:
        parts = aws_.parallel(part, range(1, -(-copy.size // size) + 1))
        aws.call("s3", "CompleteMultipartUpload", MultipartUpload={"Parts": parts}, **upload)
    except BaseException:
        aws.call("s3", "AbortMultipartUpload", **upload)  # parts that nobody completes are billed for ever
        raise


def _metadata(copy: Copy) -> dict[str, str]:
    return {SOURCE: urllib.parse.quote(copy.source, safe="/:")}  # a header: ASCII only


def _split(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key
