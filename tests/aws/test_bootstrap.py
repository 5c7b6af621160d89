"""bootstrap against moto: created once, there afterwards, private."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import moto
import pytest

from reconciler import bootstrap, errors
from reconciler.aws import Aws
from reconciler.bootstrap import Place

PLACES = (
    Place("bucket", "reprod-bucket"),
    Place("public access block", "reprod-bucket"),
    Place("encryption", "reprod-bucket"),
    Place("cluster", "reprod"),
    Place("log group", "/ecs/align"),
)


@pytest.fixture(autouse=True)
def cloud() -> Iterator[None]:
    with moto.mock_aws():
        yield


@pytest.fixture(params=["us-east-1", "eu-west-1"])
def aws(request: pytest.FixtureRequest) -> Aws:
    return Aws(request.param)


def test_what_is_created_is_there_and_the_bucket_is_private(aws: Aws) -> None:
    assert not any(place.there for place in bootstrap.survey(aws, PLACES))
    for place in PLACES:
        bootstrap.create(aws, place)
    assert all(place.there for place in bootstrap.survey(aws, PLACES))
    block = aws.call("s3", "GetPublicAccessBlock", Bucket="reprod-bucket")
    assert set(block["PublicAccessBlockConfiguration"].values()) == {True}
    assert "Status" not in aws.call("s3", "GetBucketVersioning", Bucket="reprod-bucket")


def test_creating_what_someone_made_meanwhile_is_no_error(aws: Aws) -> None:
    for place in (*PLACES, *PLACES):
        bootstrap.create(aws, place)


def test_after_a_crash_only_what_is_missing_is_left_to_do(aws: Aws) -> None:
    bootstrap.create(aws, PLACES[0])
    there = {place.kind: place.there for place in bootstrap.survey(aws, PLACES)}
    assert (there["bucket"], there["public access block"], there["cluster"]) == (True, False, False)


def test_a_log_group_with_a_longer_name_is_another_one(aws: Aws) -> None:
    bootstrap.create(aws, Place("log group", "/ecs/align-more"))
    assert not bootstrap.survey(aws, [Place("log group", "/ecs/align")])[0].there


def test_a_deleted_cluster_is_not_there(aws: Aws) -> None:
    bootstrap.create(aws, Place("cluster", "reprod"))
    aws.call("ecs", "DeleteCluster", cluster="reprod")
    assert not bootstrap.survey(aws, [Place("cluster", "reprod")])[0].there


class Theirs(Aws):
    """An Aws whose bucket belongs to someone else."""

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        raise errors.AwsError(operation, "403", "Forbidden", 403)


def test_a_bucket_of_another_account_is_told_and_not_taken_for_missing() -> None:
    with pytest.raises(errors.BunniesError, match=r"choose another Settings\.bucket"):
        bootstrap.survey(Theirs("us-east-1"), [Place("bucket", "taken")])
    with pytest.raises(errors.AwsError, match="403"):
        bootstrap.survey(Theirs("us-east-1"), [Place("encryption", "taken")])
