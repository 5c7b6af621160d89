"""redact: which names look secret, and that no writing of a secret value passes."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.redact import HIDDEN, Redactor, looks_secret

SECRET = 'Gr33n "Tea"/pot'


@pytest.mark.parametrize(
    "name",
    [
        "PASSWORD",
        "DB_PASSWORD",
        "PGPASSWORD",
        "db_passwd",
        "GITHUB_TOKEN",
        "apiKey",
        "AWS_SECRET_ACCESS_KEY",
        "API_KEY",
        "SSH_PRIVATE_KEY",
        "ENCRYPTION_KEY",
        "splunk-token",
        "AUTH",
        "BASIC_AUTH",
        "SENTRY_DSN",
        "session-cookie",
    ],
)
def test_names_that_look_secret(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name", ["THREADS", "AUTHOR", "KEYBOARD", "SAMPLE", "PATH", "MONKEY", "COMPASS", "PASSES", "region"]
)
def test_names_that_do_not(name: str) -> None:
    assert not looks_secret(name)
    assert looks_secret(name, listed=[name.lower()])


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps({"a": SECRET}),
        repr(SECRET),
        f"https://x/?p={urllib.parse.quote(SECRET, safe='')}",
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_known_value_is_hidden_however_it_is_written(written: str) -> None:
    hidden = Redactor().knowing([SECRET]).text(f"before {written} after")
    assert HIDDEN in hidden
    assert SECRET not in hidden
    assert json.dumps(SECRET)[1:-1] not in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (
            "GET https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIDX%2Fx&X-Amz-Expires=60&X-Amz-Signature=abc123 failed",
            "GET https://b.s3.amazonaws.com/k?X-Amz-Credential=(hidden)&X-Amz-Expires=60&X-Amz-Signature=(hidden) failed",
        ),
        (
            "https://b/k?AWSAccessKeyId=AKX&Signature=s%3D&Expires=1",
            "https://b/k?AWSAccessKeyId=(hidden)&Signature=(hidden)&Expires=1",
        ),
        ("Authorization: Bearer abcdefghijklmnopqrst", "Authorization: Bearer (hidden)"),
        ("postgres://me:hunter2@db/x", "postgres://me:(hidden)@db/x"),
        ("key AKIAIOSFODNN7EXAMPLE is gone", "key (hidden) is gone"),
        (
            'environment.DB_PASSWORD "a" → "b"; environment.N "1" → "2"',
            'environment.DB_PASSWORD (hidden) → (hidden); environment.N "1" → "2"',
        ),
        ('environment.API_KEY (none) → "x;y"', "environment.API_KEY (hidden) → (hidden)"),
        ("s3://bucket/key:with@sign", "s3://bucket/key:with@sign"),
        ("host/i@sha256:00", "host/i@sha256:00"),
    ],
)
def test_shapes_of_secrets_are_hidden_and_nothing_else(text: str, hidden: str) -> None:
    assert Redactor().text(text) == hidden


@pytest.mark.parametrize(
    "value",
    ["true", "12345678", "arn:aws:secretsmanager:us-east-1:123456789012:secret:x", "short", "${image.x}"],
)
def test_innocent_values_are_not_looked_for(value: str) -> None:
    assert Redactor().knowing([value]).values == frozenset()


def test_fields_are_hidden_by_name_where_names_are_peoples_own() -> None:
    redactor = Redactor().knowing(listed=["LAB_LOGIN"])
    assert redactor.data("x", "containerDefinitions[a].environment[DB_PASSWORD]") == HIDDEN
    assert redactor.data("x", "containerDefinitions[a].environment[lab_login]") == HIDDEN
    assert redactor.data("x", "build.args.TOKEN") == HIDDEN
    assert redactor.data("x", "containerDefinitions[a].logConfiguration.options[splunk-token]") == HIDDEN
    assert redactor.data("arn:x", "containerDefinitions[a].secrets[DB_PASSWORD]") == "arn:x"
    assert redactor.data("x", "containerDefinitions[a].repositoryCredentials.credentialsParameter") == "x"
    assert redactor.data(None, "environment[TOKEN]") is None
    nested = {"environment": {"TOKEN": "x", "N": "1"}, "list": [{"name": "API_KEY", "value": "y"}]}
    assert redactor.data(nested) == {
        "environment": {"TOKEN": HIDDEN, "N": "1"},
        "list": [{"name": "API_KEY", "value": HIDDEN}],
    }


@given(st.binary(max_size=40), st.lists(st.integers(1, 9), max_size=20))
def test_a_stream_hides_a_secret_wherever_it_is_cut(noise: bytes, cuts: list[int]) -> None:
    whole = noise + b"hunter22" + noise
    pieces, start = [], 0
    for cut in [*cuts, len(whole)]:
        pieces.append(whole[start : start + cut])
        start += cut
    out = b"".join(Redactor().knowing(["hunter22"]).stream(pieces))
    assert b"hunter22" not in out
    assert out.replace(HIDDEN.encode(), b"hunter22") == whole.replace(HIDDEN.encode(), b"hunter22")
