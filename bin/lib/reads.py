"""Cut the example's read pairs into the lanes of a sample sheet and bring them to S3.

Job: give the quickstart the data that a lab would already have. Input: the folder of Debian's bowtie2-examples, a
sample sheet (sample, lane, r1, r2), a place in S3. Output: PLACE/reads/… and PLACE/reference/…; an object that is there
with the same content stays as it is, so that no job runs again. Must not: start or stop anything.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import sys
from pathlib import Path

from reconciler import aws, errors

FASTQ_LINES = 4  # a record: name, bases, plus, qualities


def main() -> int:
    """Upload the reference and every lane of the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("examples", type=Path, help="folder with reads/ and reference/ of bowtie2-examples")
    parser.add_argument("sheet", type=Path, help="sample sheet: sample,lane,r1,r2")
    parser.add_argument("place", help="s3://BUCKET, made if it is not there")
    parser.add_argument("--region", default="us-east-1")
    arguments = parser.parse_args()
    bucket = arguments.place.removeprefix("s3://").strip("/")
    cloud = aws.Aws(arguments.region)
    try:
        make_bucket(cloud, bucket)
        for key, content in objects(arguments.examples, arguments.sheet):
            print(f"{put(cloud, bucket, key, content):>9}  s3://{bucket}/{key}  {len(content):,} bytes")
    except errors.BunniesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def objects(examples: Path, sheet: Path) -> list[tuple[str, bytes]]:
    """(key, content) of the reference and of each lane: contiguous blocks of pairs, in the sheet's order."""
    with sheet.open(newline="", encoding="utf-8") as lines:
        lanes = list(csv.DictReader(lines))
    reference = examples / "reference" / "lambda_virus.fa.gz"
    found = [(f"reference/{reference.name}", reference.read_bytes())]
    for column, mate in (("r1", 1), ("r2", 2)):
        with gzip.open(examples / "reads" / f"reads_{mate}.fq.gz", "rb") as reads:
            records = reads.read().splitlines(keepends=True)
        size = len(records) // FASTQ_LINES // len(lanes) * FASTQ_LINES
        for start, lane in zip(range(0, len(records), size), lanes, strict=True):
            block = b"".join(records[start : start + size])
            # No time stamp: the same reads give the same bytes, the same ETag and the same jobs.
            found.append((f"reads/{lane[column]}", gzip.compress(block, compresslevel=6, mtime=0)))
    return found


def make_bucket(cloud: aws.Aws, bucket: str) -> None:
    """Make the bucket unless it is ours already."""
    try:
        cloud.call("s3", "CreateBucket", Bucket=bucket)
    except errors.AwsError as error:
        if error.code != "BucketAlreadyOwnedByYou":
            raise


def put(cloud: aws.Aws, bucket: str, key: str, content: bytes) -> str:
    """Upload one object unless S3 has it: its ETag is the MD5 of what a single PutObject brought."""
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    try:
        if cloud.call("s3", "HeadObject", Bucket=bucket, Key=key)["ETag"].strip('"') == digest:
            return "unchanged"
    except errors.AwsError as error:
        if error.status != 404:
            raise
    cloud.call("s3", "PutObject", Bucket=bucket, Key=key, Body=content)
    return "uploaded"


if __name__ == "__main__":
    sys.exit(main())
