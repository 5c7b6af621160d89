"""How references are read, and which host stands for ECR."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import registry
from reconciler.registry import reference

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "digest"),
    [
        ("debian", "docker.io", "library/debian", "latest", None),
        ("debian:bookworm-slim", "docker.io", "library/debian", "bookworm-slim", None),
        ("rieseberglab/analytics:3", "docker.io", "rieseberglab/analytics", "3", None),
        ("docker.io/debian", "docker.io", "library/debian", "latest", None),
        ("index.docker.io/library/debian", "docker.io", "library/debian", "latest", None),
        ("localhost/x", "localhost", "x", "latest", None),
        ("127.0.0.1:4566/team/x:1", "127.0.0.1:4566", "team/x", "1", None),
        ("registry:5000/x", "registry:5000", "x", "latest", None),
        (f"ghcr.io/a/b@{DIGEST}", "ghcr.io", "a/b", None, DIGEST),
        (f"ghcr.io/a/b:1.2@{DIGEST}", "ghcr.io", "a/b", "1.2", DIGEST),
        ("a/b__c/d-e--f:x_Y.z-1", "docker.io", "a/b__c/d-e--f", "x_Y.z-1", None),
    ],
)
def test_a_reference_is_read_as_docker_reads_it(
    text: str, host: str, path: str, tag: str | None, digest: str | None
) -> None:
    assert registry.parse(text) == registry.Reference(host, path, tag, digest)


@pytest.mark.parametrize(
    "text", ["", "UPPER", "a//b", "a:", "a:b c", "a@sha256:12", "a@", "-a", "a/", "ü", "a:b\n"]
)
def test_what_is_no_reference_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"tag|reference|digits"):
        registry.parse(text)


@given(st.text())
def test_any_text_is_a_reference_or_a_value_error(text: str) -> None:
    try:
        found = registry.parse(text)
    except ValueError:
        return
    assert registry.parse(str(found)).repository == found.repository


def test_a_digest_decides_over_a_tag() -> None:
    assert str(registry.parse(f"a/b:1@{DIGEST}")) == f"docker.io/a/b@{DIGEST}"
    assert str(registry.parse("a/b")) == "docker.io/a/b:latest"


@pytest.mark.parametrize(
    ("region", "environment", "host"),
    [
        ("us-east-1", {}, "123456789012.dkr.ecr.us-east-1.amazonaws.com"),
        ("cn-north-1", {}, "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"),
        ("us-east-1", {"BUNNIES_REGISTRY": "127.0.0.1:4566"}, "127.0.0.1:4566"),
        ("us-east-1", {"BUNNIES_REGISTRY": "http://127.0.0.1:4566/"}, "127.0.0.1:4566"),
        ("us-east-1", {"BUNNIES_REGISTRY": ""}, "123456789012.dkr.ecr.us-east-1.amazonaws.com"),
    ],
)
def test_ecr_has_one_host_for_an_account_and_region_and_the_environment_may_name_another(
    region: str, environment: dict[str, str], host: str
) -> None:
    assert registry.ecr_host("123456789012", region, environment) == host


@pytest.mark.parametrize(
    ("host", "insecure", "plain"),
    [
        ("localhost", "", True),
        ("127.0.0.1:5000", "", True),
        ("[::1]:5000", "", True),
        ("127.example.com", "", False),
        ("10.0.0.1:5000", "", False),
        ("10.0.0.1:5000", "other, 10.0.0.1:5000", True),
        ("10.0.0.1:5001", "10.0.0.1:5000", False),
    ],
)
def test_plain_http_is_for_loopback_and_for_what_is_asked_for(host: str, insecure: str, plain: bool) -> None:
    assert reference.plain(host, {"BUNNIES_INSECURE_REGISTRIES": insecure}) is plain


def test_ecr_is_known_by_its_host() -> None:
    assert reference.ecr_region("123456789012.dkr.ecr.eu-west-1.amazonaws.com") == "eu-west-1"
    assert reference.ecr_region("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn") == "cn-north-1"
    assert reference.ecr_region("public.ecr.aws") is None
