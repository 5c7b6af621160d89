"""How registries ask who we are, and what they are told."""

from __future__ import annotations

import base64
import urllib.parse
from pathlib import Path

import pytest

from reconciler import registry
from reconciler.engine import Credentials
from reconciler.errors import RegistryError
from tests.registry import server
from tests.registry.conftest import Time, login
from tests.registry.server import Registry, Rule, answer

BASIC = "Basic " + base64.b64encode(b"user:pass").decode()
BEARER = 'Bearer realm="http://127.0.0.1:{port}/token",service="small",scope="repository:a/b:pull"'
BODY = b"body" * 1000


@pytest.fixture
def held(one: Registry) -> str:
    """A blob of a/b, whose registry asks who we are."""
    return one.hold("a/b", BODY)


def read(registries: registry.Registries, one: Registry, digest: str) -> bytes:
    return b"".join(map(bytes, registries.repository(one.host, "a/b").blob(digest, len(BODY))))


def given(one: Registry, target: str = "") -> list[str | None]:
    return [asked.headers.get("Authorization") for asked in one.asked if target in asked.target]


@pytest.mark.parametrize("answered", ['{"token": "t"}', '{"access_token": "t", "expires_in": 300}'])
@pytest.mark.parametrize(
    "challenge",
    [BEARER, 'Basic realm="x", ' + BEARER, BEARER.replace(",", " , "), BEARER + ', error="invalid_token"'],
)
def test_a_token_is_fetched_once_with_dockers_password(
    registries: registry.Registries, one: Registry, held: str, tmp_path: Path, answered: str, challenge: str
) -> None:
    login(tmp_path, one.host)
    one.challenge, one.tokens = challenge, [answered]
    assert read(registries, one, held) == read(registries, one, held) == BODY
    token = next(asked for asked in one.asked if asked.target.startswith("/token"))
    assert token.headers["Authorization"] == BASIC
    assert urllib.parse.parse_qsl(token.target.partition("?")[2]) == [
        ("service", "small"),
        ("scope", "repository:a/b:pull"),
    ]
    assert given(one, "/blobs/") == ["Bearer t", "Bearer t"]


def test_without_a_password_a_token_is_asked_for_anonymously(
    registries: registry.Registries, one: Registry, held: str
) -> None:
    one.challenge, one.tokens = BEARER, ['{"token": "t"}']
    assert read(registries, one, held) == BODY
    assert given(one, "/token") == [None]


def test_an_identity_token_is_exchanged(
    registries: registry.Registries, one: Registry, held: str, tmp_path: Path
) -> None:
    login(tmp_path, one.host, identitytoken="idt")
    one.challenge, one.tokens = BEARER, ['{"access_token": "t"}']
    assert read(registries, one, held) == BODY
    asked = next(asked for asked in one.asked if asked.target.startswith("/token"))
    assert (asked.method, asked.headers.get("Authorization")) == ("POST", None)
    assert "idt" not in asked.target


def test_a_registry_that_wants_basic_gets_it(
    registries: registry.Registries, one: Registry, held: str, tmp_path: Path
) -> None:
    login(tmp_path, one.host)
    one.challenge, one.valid = 'Basic realm="ecr"', {BASIC}
    assert read(registries, one, held) == read(registries, one, held) == BODY
    assert given(one) == [BASIC, BASIC]


@pytest.mark.parametrize("challenge", ['Basic realm="x"', "", 'Negotiate realm="x"'])
def test_without_anything_to_log_in_with_the_way_to_is_told(
    registries: registry.Registries, one: Registry, held: str, challenge: str
) -> None:
    one.challenge = challenge or "x"
    with pytest.raises(RegistryError, match=f"Log in with `docker login {one.host}`"):
        read(registries, one, held)


def test_a_wrong_password_is_told_and_not_shown(
    registries: registry.Registries, one: Registry, held: str, tmp_path: Path
) -> None:
    login(tmp_path, one.host)
    one.challenge = BEARER
    one.rules.append(Rule("/token", answer(401), 9))
    with pytest.raises(RegistryError, match="it is private, or it does not exist") as caught:
        read(registries, one, held)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize("answered", ["{}", "[]", "no json"])
def test_a_login_that_gives_no_token_is_told(
    registries: registry.Registries, one: Registry, held: str, answered: str
) -> None:
    one.challenge = BEARER
    one.rules.append(Rule("/token", lambda handler: handler.reply(200, answered.encode()), 9))
    with pytest.raises(RegistryError, match="something that holds no token"):
        read(registries, one, held)


def test_a_token_is_renewed_before_it_ends(
    registries: registry.Registries, one: Registry, held: str, time: Time
) -> None:
    one.challenge = BEARER
    one.tokens = ['{"token": "one", "expires_in": 300}', '{"token": "two", "expires_in": 300}']
    read(registries, one, held)
    time.sleep(280)
    read(registries, one, held)
    assert len(one.tokens) == 1
    time.sleep(15)
    read(registries, one, held)
    assert given(one, "/blobs/")[-1] == "Bearer two"


@pytest.mark.parametrize("what", ["POST", "PATCH", "PUT"])
def test_a_401_in_the_middle_of_a_push_is_answered_with_a_new_token(
    registries: registry.Registries, one: Registry, what: str
) -> None:
    one.challenge, one.tokens = BEARER, ['{"token": "one"}', '{"token": "two"}', '{"token": "three"}']

    def ended(handler: server.Handler) -> None:
        one.valid.clear()
        handler.read_body(keep=False)
        handler.refuse(401)

    one.rules.append(Rule(f"{what} .*uploads", ended))
    target = registries.repository(one.host, "a/b")
    target.push(registry.from_bytes(BODY))
    assert one.blobs == {("a/b", server.digest(BODY)): BODY}


def test_a_401_in_the_middle_of_a_download_is_answered_with_a_new_token(
    registries: registry.Registries, one: Registry, held: str
) -> None:
    one.challenge, one.tokens = BEARER, ['{"token": "one"}', '{"token": "two"}']

    def cut(handler: server.Handler) -> None:
        if not handler.allowed():
            one.rules.append(Rule("GET .*/blobs/", cut))
            handler.refuse(401)
            return
        one.valid.clear()
        server.cut_answer(1000)(handler)

    one.rules.append(Rule("GET .*/blobs/", cut))
    assert read(registries, one, held) == BODY
    assert given(one, "/blobs/")[-1] == "Bearer two"


def test_a_mount_asks_for_both_repositories(
    registries: registry.Registries, one: Registry, held: str
) -> None:
    one.challenge, one.tokens = BEARER, ['{"token": "t"}']
    target = registries.repository(one.host, "c/d")
    assert target.push(registry.Blob(held, len(BODY), lambda: iter(()), ("a/b",))) == "mounted"
    token = next(asked for asked in one.asked if asked.target.startswith("/token"))
    scopes = [v for k, v in urllib.parse.parse_qsl(token.target.partition("?")[2]) if k == "scope"]
    assert scopes == ["repository:a/b:pull", "repository:c/d:pull,push"]


def test_an_upload_that_leads_to_another_host_does_not_take_the_token_there(
    registries: registry.Registries, one: Registry, other: Registry
) -> None:
    one.challenge, one.tokens = BEARER, ['{"token": "t"}', '{"token": "u"}']
    other.uploads["there"] = bytearray()
    one.location = f"http://{other.host}/v2/a/b/blobs/uploads/there"
    registries.repository(one.host, "a/b").push(registry.from_bytes(BODY))
    assert other.blobs == {("a/b", server.digest(BODY)): BODY}
    assert given(other) == [None, None]


def test_ecrs_password_is_asked_for_again_each_time(one: Registry, held: str, time: Time) -> None:
    passwords = iter(["one", "one", "two"])
    found = registry.Registries(
        {"HOME": "/nonexistent"}, time.clock(), lambda host: Credentials("AWS", next(passwords))
    )
    one.challenge = 'Basic realm="ecr"'
    one.valid = {"Basic " + base64.b64encode(f"AWS:{word}".encode()).decode() for word in ("one", "two")}
    read(found, one, held)
    read(found, one, held)
    read(found, one, held)
    assert len(set(given(one)) - {None}) == 2
    found.close()
