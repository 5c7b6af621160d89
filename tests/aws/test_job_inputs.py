from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from reconciler.aws import Aws
from reconciler.errors import AwsError
from reconciler.kinds import World, job
from reconciler.model import Manifest, Ref, S3Object, Settings, Source

BUCKET = "reads"


def unused(*_: Any) -> Any:
    raise AssertionError("facts of jobs need nothing but S3")


@pytest.fixture
def aws() -> Iterator[Aws]:
    with mock_aws():
        reached = Aws("us-east-1")
        reached.call("s3", "CreateBucket", Bucket=BUCKET)
        yield reached


def put(aws: Aws, key: str, body: bytes = b"x") -> str:
    etag: str = aws.call("s3", "PutObject", Bucket=BUCKET, Key=key, Body=body)["ETag"]
    return etag.strip('"')


def facts(aws: Aws, *sources: Any) -> dict[str, tuple[S3Object, ...]]:
    settings = Settings("reprod", "us-east-1", "reprod", "reprod-bucket", "bunnies/reprod")
    world = World(settings, aws, unused, unused, unused, unused, {})
    inputs = {f"i{number}": {"from": source, "as": None} for number, source in enumerate(sources)}
    aws.calls.clear()
    return dict(job.facts(world, [Manifest("Job", "j", {"inputs": inputs}, Source("m.yaml", 1, 1))]))


def calls(aws: Aws) -> dict[str, int]:
    return {operation: count for (_, operation), count in aws.calls.items() if count}


def test_one_object_is_asked_for_by_itself(aws: Aws) -> None:
    etag = put(aws, "run/a b+é.fq", b"ACGT")
    url = "s3://reads/run/a b+é.fq"
    assert facts(aws, url) == {url: (S3Object(url, etag, 4, "a b+é.fq"),)}
    assert calls(aws) == {"HeadObject": 1}


def test_what_is_not_there_stands_for_nothing(aws: Aws) -> None:
    put(aws, "folder/")
    aws.call("s3", "PutObject", Bucket=BUCKET, Key="marked/", Body=b"")
    urls = [
        "s3://reads/none",
        "s3://reads/none/",
        "s3://no-such-bucket/x",
        "s3://no-such-bucket/x/",
        "s3://reads/marked/",
    ]
    assert facts(aws, *urls) == dict.fromkeys(urls, ())


def test_a_prefix_stands_for_all_below_it_but_folder_markers(aws: Aws) -> None:
    for key in ("ref/", "ref/sub/"):
        aws.call("s3", "PutObject", Bucket=BUCKET, Key=key, Body=b"")
    put(aws, "ref/g.fa")
    put(aws, "ref/sub/empty", b"")
    put(aws, "ref/sub/g.bwt")
    put(aws, "reference/other")
    found = facts(aws, "s3://reads/ref/")["s3://reads/ref/"]
    assert [(one.url, one.path, one.size) for one in found] == [
        ("s3://reads/ref/g.fa", "g.fa", 1),
        ("s3://reads/ref/sub/empty", "sub/empty", 0),
        ("s3://reads/ref/sub/g.bwt", "sub/g.bwt", 1),
    ]


def test_objects_of_one_folder_are_listed_together(aws: Aws) -> None:
    etags = {key: put(aws, key, key.encode()) for key in ("run/l1.fq", "run/l2.fq", "run/l3.fq")}
    put(aws, "run/l0/deep")
    urls = [f"s3://reads/{key}" for key in etags] + ["s3://reads/run/l4.fq"]
    found = facts(aws, urls[:2], *urls[2:], Ref("job/up", "outputs.o"))
    assert calls(aws) == {"ListObjectsV2": 1}
    assert found["s3://reads/run/l4.fq"] == ()
    assert facts(aws, *(f"s3://reads/run/z{number}" for number in range(3))) == {
        f"s3://reads/run/z{number}": () for number in range(3)
    }
    assert found["s3://reads/run/l2.fq"] == (
        S3Object("s3://reads/run/l2.fq", etags["run/l2.fq"], 9, "l2.fq"),
    )


def test_a_prefix_is_read_to_its_last_page_and_a_group_to_its_last_member(aws: Aws) -> None:
    wanted = [f"run/a{number}" for number in range(4)]
    for key in [*wanted, *(f"run/b{number:04d}" for number in range(1000))]:
        put(aws, key)
    assert len(facts(aws, "s3://reads/run/")["s3://reads/run/"]) == 1004
    assert calls(aws) == {"ListObjectsV2": 2}
    found = facts(aws, *(f"s3://reads/{key}" for key in wanted))
    assert all(len(objects) == 1 for objects in found.values())
    assert calls(aws) == {"ListObjectsV2": 1}


def test_the_same_content_has_the_same_etag_and_other_content_another(aws: Aws) -> None:
    put(aws, "a", b"one")
    before = facts(aws, "s3://reads/a")["s3://reads/a"]
    put(aws, "a", b"one")
    again = facts(aws, "s3://reads/a")["s3://reads/a"]
    put(aws, "a", b"two")
    after = facts(aws, "s3://reads/a")["s3://reads/a"]
    assert before == again != after


def test_being_refused_is_an_error_and_not_absence(aws: Aws) -> None:
    class Refusing(Aws):
        """S3 without permission to list: it answers 403 for what it will not tell."""

        def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
            raise AwsError(operation, "403", "Forbidden", 403)

        def pages(self, service: str, operation: str, /, **params: Any) -> Iterator[dict[str, Any]]:
            raise AwsError(operation, "AccessDenied", "Access Denied", 403)

    with pytest.raises(AwsError, match="Forbidden"):
        facts(Refusing("us-east-1"), "s3://reads/a")
    with pytest.raises(AwsError, match="Access Denied"):
        facts(Refusing("us-east-1"), "s3://reads/a/")


def test_facts_are_plain_frozen_data(aws: Aws) -> None:
    put(aws, "a")
    (found,) = facts(aws, "s3://reads/a")["s3://reads/a"]
    assert dataclasses.astuple(found)[0] == "s3://reads/a"
