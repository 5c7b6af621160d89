"""Calls to AWS: what comes back, and what is said when nothing does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import moto
import pytest
from botocore.exceptions import ClientError

from reconciler import clock
from reconciler.aws import READING, Aws, parallel, translated
from reconciler.errors import AwsError
from reconciler.pacing import Pace

DEAD = "http://127.0.0.1:1"


@pytest.fixture
def aws() -> Iterator[Aws]:
    with moto.mock_aws():
        yield Aws("us-east-1")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without credentials, region or profile."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def test_an_answer_is_plain_data_and_counted(aws: Aws) -> None:
    answer = aws.call("ecr", "CreateRepository", repositoryName="lab/analytics")
    assert answer["repository"]["repositoryName"] == "lab/analytics"
    assert "ResponseMetadata" not in answer
    assert aws.calls == {("ecr", "CreateRepository"): 1}


def test_the_account_is_asked_for_once(aws: Aws) -> None:
    assert (aws.account, aws.account, aws.region) == ("123456789012", "123456789012", "us-east-1")
    assert aws.calls["sts", "GetCallerIdentity"] == 1


def test_every_page_comes_and_counts(aws: Aws) -> None:
    aws.call("s3", "CreateBucket", Bucket="reads")
    for key in "abc":
        aws.call("s3", "PutObject", Bucket="reads", Key=key, Body=b"")
    pages = list(aws.pages("s3", "ListObjectsV2", Bucket="reads", PaginationConfig={"PageSize": 2}))
    assert [one["Key"] for page in pages for one in page["Contents"]] == ["a", "b", "c"]
    assert aws.calls["s3", "ListObjectsV2"] == len(pages) == 2


def test_what_has_no_pages_is_one(aws: Aws) -> None:
    assert len(list(aws.pages("sts", "GetCallerIdentity"))) == 1


def test_a_refusal_carries_code_message_and_status(aws: Aws) -> None:
    with pytest.raises(AwsError) as caught:
        aws.call("ecr", "DescribeRepositories", repositoryNames=["lab/none"])
    assert caught.value.code == "RepositoryNotFoundException"
    assert caught.value.status == 400
    assert "lab/none" in caught.value.message
    assert str(caught.value).startswith("DescribeRepositories: RepositoryNotFoundException: ")


def test_a_refusal_carries_its_further_fields() -> None:
    answer = {
        "Error": {"Code": "ConflictException", "Message": "m", "Condition": "If-None-Match"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
        "resourceIds": ["arn:aws:ecs:us-east-1:123456789012:task/reprod/1"],
    }
    with pytest.raises(AwsError) as caught, translated("RunTask"):
        raise ClientError(answer, "RunTask")  # type: ignore[arg-type]
    assert caught.value.details == {
        "resourceIds": ["arn:aws:ecs:us-east-1:123456789012:task/reprod/1"],
        "Condition": "If-None-Match",
    }


def test_an_ended_login_says_what_to_do() -> None:
    with pytest.raises(AwsError, match="Log in again"), translated("GetCallerIdentity"):
        raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "It expired."}}, "GetCallerIdentity")


def test_a_wrong_parameter_is_an_error_of_ours(aws: Aws) -> None:
    with pytest.raises(AwsError, match="ParamValidationError"):
        aws.call("ecr", "DescribeRepositories", repositories=["x"])


@pytest.mark.usefixtures("nobody")
def test_missing_credentials_name_three_ways_to_give_them() -> None:
    with pytest.raises(AwsError, match="AWS_PROFILE, use --profile, or export AWS_ACCESS_KEY_ID"):
        Aws("us-east-1", endpoint_url=DEAD).call("sts", "GetCallerIdentity")


@pytest.mark.usefixtures("nobody")
def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(AwsError, match=r"nope.*--profile"):
        Aws("us-east-1", profile="nope").call("sts", "GetCallerIdentity")


@pytest.mark.usefixtures("nobody")
def test_a_missing_region_says_where_to_write_it() -> None:
    with pytest.raises(AwsError, match="region:"):
        Aws(None).call("sts", "GetCallerIdentity")


@pytest.mark.parametrize(
    "endpoint", ["http://localhost:4566", "http://127.0.0.1:4566", "http://minio.example:9000"]
)
def test_s3_is_spoken_to_by_path_where_it_is_not_amazons(endpoint: str) -> None:
    class SeenError(Exception):
        pass

    def look(**kwargs: Any) -> None:
        raise SeenError(kwargs["request"].url)

    local = Aws("us-east-1", endpoint_url=endpoint)
    local.session.register("before-send.s3.HeadObject", look)
    with moto.mock_aws(), pytest.raises(SeenError, match=f"^{endpoint}/b/k$"):  # moto gives credentials
        local.call("s3", "HeadObject", Bucket="b", Key="k")


def test_parallel_keeps_the_order() -> None:
    assert parallel(lambda number: number * 2, range(50)) == [number * 2 for number in range(50)]


def test_parallel_raises_what_one_raised() -> None:
    def fail(number: int) -> int:
        raise AwsError("X", "Code", str(number))

    with pytest.raises(AwsError, match="Code: 0"):
        parallel(fail, range(3))


@pytest.mark.parametrize("operation", ["CreateRepository", "PutImage", "TagResource", "DeleteRepository"])
def test_a_client_that_only_reads_refuses_everything_else(operation: str) -> None:
    with moto.mock_aws():
        reader = Aws("us-east-1", readonly=True)
        with pytest.raises(AwsError, match="only reads"):
            reader.call("ecr", operation, repositoryName="lab/analytics")
        assert reader.call("ecr", "DescribeRepositories")["repositories"] == []
        assert reader.calls == {("ecr", "DescribeRepositories"): 1}


def test_no_operation_of_ours_that_reads_by_its_name_changes_anything() -> None:
    """The prefixes of the allow-list, against botocore's own lists of what these services can do."""
    known = set()
    for service in ("ecr", "ecs", "s3", "logs", "sts", "resourcegroupstaggingapi"):
        operations = Aws("us-east-1").service_model(service)["operations"]
        known |= {(service, name) for name in operations if name.startswith(READING)}
    changing = (
        "Create",
        "Delete",
        "Put",
        "Update",
        "Register",
        "Run",
        "Start",
        "Stop",
        "Tag",
        "Untag",
        "Set",
    )
    assert not [name for _, name in known if name.startswith(changing)]
    assert ("ecs", "RunTask") not in known
    assert ("ecr", "GetAuthorizationToken") in known


def test_calls_to_amazon_are_paced_and_others_not() -> None:
    waited: list[str] = []

    class Slow(Pace):
        def wait(self, service: str, operation: str) -> None:
            waited.append(operation)

    slow = Slow(clock.system())
    with moto.mock_aws():
        Aws("us-east-1", pace=slow).call("ecr", "DescribeRepositories")
        with pytest.raises(AwsError):
            Aws("us-east-1", endpoint_url=DEAD, pace=slow).call("ecr", "DescribeRepositories")
    assert waited == ["DescribeRepositories"]


def test_an_address_that_is_none_is_told_with_what_to_correct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    with pytest.raises(AwsError, match=r"Invalid endpoint.*Correct --endpoint-url or AWS_ENDPOINT_URL"):
        Aws("us-east-1").call("sts", "GetCallerIdentity")
