"""Credentials: Docker's config.json as people's machines have it, and ECR's tokens."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler.aws import Aws
from reconciler.engine import Credentials
from reconciler.errors import RegistryError
from reconciler.registry import keys

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def encoded(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def keychain(folder: Path, config: object, **environment: str) -> keys.Keychain:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return keys.Keychain({"DOCKER_CONFIG": str(folder), **environment})


def helper(folder: Path, name: str, script: str) -> str:
    """A credential helper of this name; the PATH that has it."""
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\nread server\n{script}\n")
    path.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("ghcr.io", "ghcr.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("r:5000", "https://r:5000/v2/"),
        ("docker.io", "https://index.docker.io/v1/"),
        ("docker.io", "docker.io"),
        ("docker.io", "registry-1.docker.io"),
    ],
)
def test_docker_login_writes_hosts_in_many_ways(tmp_path: Path, host: str, key: str) -> None:
    found = keychain(tmp_path, {"auths": {key: {"auth": encoded("user:pa:ss")}}})
    assert found.find(host) == Credentials("user", "pa:ss")
    assert found.find("elsewhere") is None


@pytest.mark.parametrize(
    ("entry", "credentials"),
    [
        ({"username": "u", "password": "p"}, Credentials("u", "p")),
        ({"auth": encoded("u:x"), "identitytoken": "idt"}, Credentials("<token>", "idt")),
        ({}, None),
    ],
)
def test_an_entry_may_hold_a_password_an_identity_token_or_nothing(
    tmp_path: Path, entry: dict[str, str], credentials: Credentials | None
) -> None:
    assert keychain(tmp_path, {"auths": {"r": entry}}).find("r") == credentials


def test_without_docker_there_are_no_credentials(tmp_path: Path) -> None:
    assert keys.Keychain({"HOME": str(tmp_path)}).find("r") is None


@pytest.mark.parametrize(
    "config", ["{", {"auths": {"r": {"auth": "!"}}}, {"auths": {"r": {"auth": encoded("u")}}}]
)
def test_what_cannot_be_read_is_told(tmp_path: Path, config: object) -> None:
    with pytest.raises(RegistryError, match=r"config.json (cannot be read|holds no user)"):
        keychain(tmp_path, config).find("r")


def test_a_helper_of_the_host_comes_before_the_store_and_is_asked_once(tmp_path: Path) -> None:
    log = tmp_path / "asked"
    path = helper(tmp_path, "own", f'echo $server >> {log}; echo \'{{"Username": "u", "Secret": "s"}}\'')
    found = keychain(tmp_path, {"credHelpers": {"r": "own"}, "credsStore": "gone"}, PATH=path)
    assert found.find("r") == found.find("r") == Credentials("u", "s")
    assert log.read_text() == "r\n"


def test_a_store_that_keeps_nothing_leaves_the_word_to_auths(tmp_path: Path) -> None:
    path = helper(tmp_path, "store", "echo credentials not found in native keychain; exit 1")
    config = {"credsStore": "store", "auths": {"r": {"auth": encoded("u:p")}}}
    assert keychain(tmp_path, config, PATH=path).find("r") == Credentials("u", "p")


def test_a_store_hands_over_identity_tokens(tmp_path: Path) -> None:
    path = helper(tmp_path, "store", 'echo \'{"Username": "<token>", "Secret": "idt"}\'')
    assert keychain(tmp_path, {"credsStore": "store"}, PATH=path).find("r") == Credentials("<token>", "idt")


@pytest.mark.parametrize(
    ("script", "words"),
    [("echo locked >&2; exit 1", "refused to give credentials for r: locked"), ("echo x", "no credentials")],
)
def test_a_helper_that_fails_is_named(tmp_path: Path, script: str, words: str) -> None:
    path = helper(tmp_path, "bad", script)
    with pytest.raises(RegistryError, match=f"docker-credential-bad .*{words}"):
        keychain(tmp_path, {"credHelpers": {"r": "bad"}}, PATH=path).find("r")


def test_a_helper_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"docker-credential-none, .* cannot be run: .*Install it"):
        keychain(tmp_path, {"credHelpers": {"r": "none"}}).find("r")


class Tokens:
    """An Aws that hands out tokens for 12 hours, and counts them."""

    region = "us-east-1"

    def __init__(self) -> None:
        self.count = 0
        self.now = NOW

    def call(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        assert (service, operation, params) == ("ecr", "GetAuthorizationToken", {})
        self.count += 1
        token = {
            "authorizationToken": encoded(f"AWS:to:{self.count}"),
            "expiresAt": self.now + timedelta(hours=12),
        }
        return {"authorizationData": [token]}


def test_ecrs_token_is_asked_once_and_again_before_its_twelve_hours_end() -> None:
    aws = Tokens()
    ecr = keys.Ecr(cast(Aws, aws), lambda: ECR, lambda: aws.now)
    assert ecr(ECR) == ecr(ECR) == Credentials("AWS", "to:1")
    aws.now += timedelta(hours=11, minutes=44)
    assert ecr(ECR) == Credentials("AWS", "to:1")
    aws.now += timedelta(minutes=2)
    assert ecr(ECR) == Credentials("AWS", "to:2")
    assert "to:2" not in repr(ecr(ECR))


def test_only_ecr_of_this_region_and_what_stands_for_it_gets_ecrs_token() -> None:
    aws = Tokens()
    ecr = keys.Ecr(cast(Aws, aws), lambda: "127.0.0.1:4566", lambda: NOW)
    assert ecr("ghcr.io") is None
    assert ecr("210987654321.dkr.ecr.eu-west-1.amazonaws.com") is None
    assert aws.count == 0
    assert ecr("127.0.0.1:4566") == Credentials("AWS", "to:1")
    assert ecr("210987654321.dkr.ecr.us-east-1.amazonaws.com") == Credentials("AWS", "to:1")
