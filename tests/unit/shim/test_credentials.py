from __future__ import annotations

import pytest

from shim.init import credentials
from shim.init.errors import ShimError


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"}, "http://169.254.170.2/v2/x"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1"}, "http://169.254.170.23/v1"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://example.org/v1"}, "https://example.org/v1"),
        (
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://host:1/v1", "AWS_ENDPOINT_URL": "http://host:1"},
            "http://host:1/v1",
        ),
    ],
)
def test_the_endpoint_is_the_one_that_ecs_names(environ: dict[str, str], address: str) -> None:
    assert credentials.address(environ) == address


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "there are no AWS credentials in this container: set taskRoleArn"),
        (
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.org/v1"},
            "not fetched from example.org by plain HTTP",
        ),
    ],
)
def test_no_or_unsafe_credentials_are_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ShimError, match=message):
        credentials.address(environ)


def test_keys_in_the_environment_come_first() -> None:
    environ = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x",
    }
    assert credentials.provider(environ)() == {
        "access_key_id": "a",
        "secret_access_key": "s",
        "token": None,
        "expires_at": None,
    }
