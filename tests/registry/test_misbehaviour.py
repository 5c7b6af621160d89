"""Registries that break, refuse, redirect and lie: what arrives is right, or nothing is published and the error says so."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler import registry
from reconciler.errors import RegistryError
from reconciler.registry import transfer
from tests.registry import server
from tests.registry.conftest import Time
from tests.registry.server import Registry, Rule, answer, cut_answer, cut_request, moved, wrong_body

BODY = bytes(range(256)) * 20_000  # five megabytes: several chunks, and more than a socket's buffers hold
PATH = "team/app"


def small(registries: registry.Registries, one: Registry, path: str = PATH) -> registry.Repository:
    return registries.repository(one.host, path)


def blob(body: bytes = BODY, *mounts: str) -> registry.Blob:
    def chunks() -> Iterator[bytes]:
        yield from (body[at : at + 100_000] for at in range(0, len(body), 100_000))

    return registry.Blob(server.digest(body), len(body), chunks, mounts)


def document(text: str = "{}") -> registry.Document:
    return registry.document(text.encode(), server.MANIFEST)


def remote(source: registry.Repository, body: bytes = BODY) -> registry.Blob:
    found = server.digest(body)
    return registry.Blob(found, len(body), lambda: source.blob(found, len(body)))


# Pushing


def test_a_blob_goes_up_in_one_streaming_patch(registries: registry.Registries, one: Registry) -> None:
    assert small(registries, one).push(blob()) == "pushed"
    assert one.blobs[PATH, server.digest(BODY)] == BODY
    assert [one.method for one in one.asked] == ["HEAD", "POST", "PATCH", "PUT"]
    assert one.asked[2].size == len(BODY)
    assert small(registries, one).push(blob()) == "there"


@pytest.mark.parametrize(
    "location",
    [
        "/v2/{path}/blobs/uploads/{id}",
        "/v2/{path}/blobs/uploads/{id}?state=a%2Fb",
        "http://127.0.0.1:{port}/v2/{path}/blobs/uploads/{id}",
        "https://127.0.0.1:{port}/v2/{path}/blobs/uploads/{id}",
        "{id}",
    ],
    ids=["no host", "a query", "absolute", "another scheme, behind a proxy", "relative"],
)
def test_a_location_comes_in_many_forms(
    registries: registry.Registries, one: Registry, location: str
) -> None:
    one.location = location
    small(registries, one).push(blob())
    assert one.blobs[PATH, server.digest(BODY)] == BODY
    if "?" in location:
        assert all("state=a%2Fb" in asked.target for asked in one.asked if asked.method in ("PATCH", "PUT"))


def test_a_blob_of_another_repository_is_mounted(registries: registry.Registries, one: Registry) -> None:
    found = one.hold("their/base", BODY)
    assert small(registries, one).push(blob(BODY, "their/base")) == "mounted"
    assert [asked.target for asked in one.asked] == [
        f"/v2/{PATH}/blobs/uploads/?mount={found.replace(':', '%3A')}&from=their%2Fbase"
    ]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 202])
def test_a_refused_mount_is_pushed_without(
    registries: registry.Registries, one: Registry, status: int
) -> None:
    if status != 202:
        one.rules.append(Rule("POST .*mount=", answer(status)))
    assert small(registries, one).push(blob(BODY, "not/there")) == "pushed"
    assert one.blobs[PATH, server.digest(BODY)] == BODY
    assert one.uploads == {}  # the upload that the mount began is ended


def test_what_this_run_pushed_is_mounted_into_the_next_repository(
    registries: registry.Registries, one: Registry
) -> None:
    assert small(registries, one, "first").push(blob()) == "pushed"
    assert small(registries, one, "second").push(blob()) == "mounted"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, len(BODY)), what=st.sampled_from(["POST", "PATCH", "PUT"]))
def test_an_upload_cut_at_any_byte_is_begun_again(
    registries: registry.Registries, one: Registry, at: int, what: str
) -> None:
    one.blobs.clear()
    one.asked.clear()
    one.rules[:] = [Rule(f"{what} ", cut_request(at))]
    assert small(registries, one).push(blob()) == "pushed"
    assert one.blobs == {(PATH, server.digest(BODY)): BODY}


def test_an_answer_in_the_middle_of_a_body_is_heard(registries: registry.Registries, one: Registry) -> None:
    def early(handler: server.Handler) -> None:
        handler.rfile.read(10)
        handler.refuse(413)
        handler.drop()

    one.rules.append(Rule("PATCH ", early))
    with pytest.raises(RegistryError, match=rf"{one.host}/{PATH}: .*(413|broke)"):
        small(registries, one).push(blob())


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_registry_that_does_not_take_the_bytes_gets_them_again(
    registries: registry.Registries, one: Registry, status: int
) -> None:
    one.rules.append(Rule("PUT .*uploads", answer(status)))
    small(registries, one).push(blob())
    assert [one.method for one in one.asked].count("PATCH") == 2
    assert one.blobs[PATH, server.digest(BODY)] == BODY


def test_a_registry_that_never_takes_the_bytes_is_named(
    registries: registry.Registries, one: Registry
) -> None:
    one.rules.append(Rule("PUT .*uploads", answer(400), times=99))
    with pytest.raises(RegistryError) as caught:
        small(registries, one).push(blob())
    assert str(caught.value).startswith(
        f"{one.host}/{PATH}@{server.digest(BODY)[:19]}…: {one.host} failed 6 times: "
    )
    assert str(caught.value).endswith("Try again later.")
    assert one.blobs == {}
    assert one.uploads == {}


def test_bytes_that_are_not_the_digests_are_never_finished(
    registries: registry.Registries, one: Registry
) -> None:
    wrong = registry.from_bytes(BODY)
    file = Path(os.devnull)
    lying = [
        registry.Blob(
            server.digest(b"else"),
            len(BODY),
            lambda: registry.repository.checked(server.digest(b"else"), [BODY]),
        ),
        registry.from_file(file, wrong.digest, wrong.size),
    ]
    for one_blob in lying:
        with pytest.raises(RegistryError, match="failed 6 times"):
            small(registries, one).push(one_blob)
    assert not [asked for asked in one.asked if asked.method == "PUT"]
    assert one.blobs == {}


def test_when_one_blob_fails_the_others_stop(registries: registry.Registries, one: Registry) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(10_000)

    def failing() -> Iterator[bytes]:
        yield b"1"
        raise RegistryError("the base's registry said no")

    blobs = [
        registry.Blob(server.digest(b"endless"), 2**60, endless),
        registry.Blob(server.digest(b"failing"), 5, failing),
        *(blob(BODY + bytes([number])) for number in range(8)),
    ]
    with pytest.raises(RegistryError, match="the base's registry said no"):
        transfer.push(small(registries, one), blobs, lambda _line: None)
    assert server.digest(b"endless") not in [digest for _, digest in one.blobs]


def test_what_is_moved_is_counted_and_told(registries: registry.Registries, one: Registry) -> None:
    mounted = one.hold("their/base", b"mounted")
    there = one.hold(PATH, b"there")
    told: list[str] = []
    moved = transfer.push(
        small(registries, one),
        [
            registry.Blob(mounted, 7, lambda: iter(()), ("their/base",)),
            registry.Blob(there, 5, lambda: iter(())),
            blob(BODY * 14),
            blob(BODY * 14),
        ],
        told.append,
    )
    assert moved == transfer.Moved(pushed=len(BODY) * 14, mounted=7, there=5)
    assert told == [f"pushing to {one.host}/{PATH}: 67.2 MB"]


def test_a_registry_that_sends_on_to_its_storage_has_the_blob(
    registries: registry.Registries, one: Registry
) -> None:
    one.rules.append(Rule("HEAD ", moved("http://storage.example/signed-for-get")))
    assert small(registries, one).push(blob()) == "there"


# Reading


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cuts=st.lists(st.integers(0, len(BODY)), min_size=1, max_size=4), ranges=st.booleans())
def test_a_download_cut_at_any_bytes_goes_on_from_there(
    registries: registry.Registries, one: Registry, cuts: list[int], ranges: bool
) -> None:
    found = one.hold(PATH, BODY)
    one.ranges = ranges  # without them the server begins again, and the first bytes are passed over
    one.rules[:] = [Rule("GET .*/blobs/", cut_answer(at)) for at in (cuts if ranges else cuts[:1])]
    assert b"".join(map(bytes, small(registries, one).blob(found, len(BODY)))) == BODY


def test_a_broken_download_asks_only_for_the_rest(registries: registry.Registries, one: Registry) -> None:
    found = one.hold(PATH, BODY)
    one.rules.append(Rule("GET ", cut_answer(3_000_000)))
    assert b"".join(map(bytes, small(registries, one).blob(found, len(BODY)))) == BODY
    assert [asked.headers.get("Range") for asked in one.asked] == [None, "bytes=3000000-"]


@pytest.mark.parametrize("status", [206, 416])
def test_a_range_that_is_not_the_one_asked_for_is_not_used(
    registries: registry.Registries, one: Registry, status: int
) -> None:
    found = one.hold(PATH, BODY)

    def wrong_range(handler: server.Handler) -> None:
        handler.reply(status, BODY, **{"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"})

    one.rules += [Rule("GET ", cut_answer(1000)), Rule("GET ", wrong_range)]
    assert b"".join(map(bytes, small(registries, one).blob(found, len(BODY)))) == BODY


@pytest.mark.parametrize("times", [1, 99])
@pytest.mark.parametrize("body", [BODY[:-1] + b"x", BODY[:-1], BODY + b"x"], ids=["changed", "short", "long"])
def test_a_copy_of_wrong_bytes_is_begun_again_and_never_published(
    registries: registry.Registries, one: Registry, other: Registry, times: int, body: bytes
) -> None:
    one.hold(PATH, BODY)
    one.rules.append(Rule("GET .*/blobs/", wrong_body(body), times))
    source, target = small(registries, one), small(registries, other, "copy")
    if times == 1:
        transfer.push(target, [remote(source)], lambda _line: None)
        assert other.blobs == {("copy", server.digest(BODY)): BODY}
        return
    with pytest.raises(RegistryError, match=rf"{other.host}/copy@sha256:.* failed 6 times: "):
        transfer.push(target, [remote(source)], lambda _line: None)
    assert other.blobs == {}
    assert other.uploads == {}
    assert "PUT" not in [asked.method for asked in other.asked]


def test_a_redirect_to_another_host_is_followed_without_the_token(
    registries: registry.Registries, one: Registry, other: Registry
) -> None:
    found = one.hold(PATH, BODY)
    other.hold("storage", BODY)
    one.challenge, one.tokens = 'Bearer realm="http://127.0.0.1:{port}/token"', ['{"token": "t"}']
    elsewhere = f"http://{other.host}/v2/storage/blobs/{found}?signature=x"

    def answered(handler: server.Handler) -> None:
        handler.refuse(401) if not handler.allowed() else moved(elsewhere)(handler)

    one.rules += [Rule("GET .*/blobs/", answered, 2), Rule("GET .*/blobs/", moved(elsewhere), 9)]
    other.rules.append(Rule("GET .*never", answer(500)))
    assert b"".join(map(bytes, small(registries, one).blob(found, len(BODY)))) == BODY
    assert one.asked[-1].headers["Authorization"] == "Bearer t"
    assert [asked.headers.get("Authorization") for asked in other.asked] == [None]


def test_a_redirect_within_the_host_keeps_the_token_and_a_circle_ends(
    registries: registry.Registries, one: Registry
) -> None:
    one.rules.append(Rule("HEAD ", moved("/v2/round/manifests/1"), 99))
    with pytest.raises(RegistryError, match="redirects more than 5 times"):
        small(registries, one).head("1")


@pytest.mark.parametrize("where", ["redirect", "realm", "location"])
def test_plain_http_to_a_host_that_was_not_allowed_is_refused(
    registries: registry.Registries, one: Registry, where: str
) -> None:
    elsewhere = "http://registry.example"
    if where == "redirect":
        one.rules.append(Rule("HEAD ", moved(f"{elsewhere}/x")))
    elif where == "realm":
        one.challenge = f'Bearer realm="{elsewhere}/token"'
    else:
        one.location = elsewhere + "/{path}/{id}"
    target = small(registries, one)
    ask = target.push if where == "location" else lambda _blob: target.head("1")
    words = r"registry.example asks for plain HTTP.*BUNNIES_INSECURE_REGISTRIES"
    with pytest.raises(RegistryError, match=words):
        ask(blob())


def test_a_manifest_is_known_by_its_bytes(registries: registry.Registries, one: Registry) -> None:
    target = small(registries, one)
    target.put("1", document())
    assert target.head("1") == (document().digest, server.MANIFEST)
    assert target.manifest("1") == target.manifest(document().digest) == document()
    one.rules.append(Rule("GET .*/manifests/", wrong_body(b"[]"), 99))
    with pytest.raises(RegistryError, match=rf"{one.host}/{PATH}@sha256:.*the manifest that came is"):
        target.manifest(document().digest)


def test_a_registry_that_changes_manifests_is_told(registries: registry.Registries, one: Registry) -> None:
    def changed(handler: server.Handler) -> None:
        handler.read_body()
        handler.reply(201, b"", **{"Docker-Content-Digest": server.digest(b"other")})

    one.rules.append(Rule("PUT ", changed))
    with pytest.raises(RegistryError, match="Something on the way changes manifests"):
        small(registries, one).put("1", document())


def test_a_head_without_a_digest_is_asked_with_get(registries: registry.Registries, one: Registry) -> None:
    small(registries, one).put("1", document())
    one.rules.append(Rule("HEAD ", wrong_body(b"")))
    assert small(registries, one).head("1")[0] == document().digest


# Waiting and giving up


@pytest.mark.parametrize(
    ("status", "header", "slept"),
    [
        (429, "7", 7.0),
        (503, "Sat, 31 Jan 2026 12:00:30 GMT", 30.0),
        (429, "soon", 0.0),
        (500, "", 0.0),
        (502, "", 0.0),
    ],
)
def test_it_waits_as_the_registry_asks(
    registries: registry.Registries, one: Registry, time: Time, status: int, header: str, slept: float
) -> None:
    small(registries, one).put("1", document())
    one.rules.append(Rule("HEAD ", answer(status, **({"Retry_After": header} if header else {}))))
    assert small(registries, one).head("1")[0] == document().digest
    assert time.slept == [slept]


def test_a_wait_that_is_too_long_is_told_instead(
    registries: registry.Registries, one: Registry, time: Time
) -> None:
    one.rules.append(Rule("HEAD ", answer(429, Retry_After="3600")))
    with pytest.raises(RegistryError, match=rf"{one.host}/{PATH}:1: .*429.* It asks to wait 3600 s"):
        small(registries, one).head("1")
    assert time.slept == []


def test_a_registry_that_always_fails_is_named_with_what_it_said(
    registries: registry.Registries, one: Registry
) -> None:
    one.rules.append(Rule("GET ", answer(500), 99))
    with pytest.raises(RegistryError) as caught:
        small(registries, one).manifest("1")
    assert str(caught.value) == (
        f"{one.host}/{PATH}:1: {one.host} failed 6 times: 500 NO not so. Try again later."
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "no such image or repository"),
        (403, "it is private, or it does not exist"),
        (401, "it is private, or it does not exist"),
        (400, "the registry refused"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(
    registries: registry.Registries, one: Registry, status: int, words: str
) -> None:
    one.rules.append(Rule("GET ", answer(status), 9))
    with pytest.raises(RegistryError) as caught:
        small(registries, one).manifest("1")
    text = str(caught.value)
    assert text.startswith(f"{one.host}/{PATH}:1: ")
    assert words in text
    assert "\n" not in text
    assert one.host in text
    assert caught.value.status == status


def test_a_host_that_nobody_listens_on_is_told_at_once(registries: registry.Registries, time: Time) -> None:
    with pytest.raises(RegistryError, match=r"127.0.0.1:1/a/b:1: its registry 127.0.0.1:1 cannot be reached"):
        registries.repository("127.0.0.1:1", "a/b").head("1")
    assert len(time.slept) == 1


def test_what_is_no_http_is_told(registries: registry.Registries, one: Registry) -> None:
    def garbage(handler: server.Handler) -> None:
        handler.wfile.write(b"SSH-2.0\r\n\r\n")
        handler.drop()

    one.rules.append(Rule("HEAD ", garbage, 99))
    with pytest.raises(RegistryError, match=f"{one.host} failed 6 times: the connection broke"):
        small(registries, one).head("1")


def test_an_idle_connection_that_ended_is_no_failure(
    registries: registry.Registries, one: Registry, time: Time
) -> None:
    target = small(registries, one)
    target.put("1", document())

    def ends(handler: server.Handler) -> None:
        handler.drop()

    one.rules.append(Rule("HEAD ", ends))
    assert target.head("1")[0] == document().digest
    assert time.slept == []


# Proxies


@pytest.fixture
def behind(time: Time, one: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[registry.Registries]:
    """Our client where everything goes through a proxy, but for loopback."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:p%40ss@{one.host}")
    monkeypatch.setenv("no_proxy", "inside.example")
    found = registry.Registries(
        {"HOME": "/nonexistent", "BUNNIES_INSECURE_REGISTRIES": "plain.example"}, time.clock()
    )
    yield found
    found.close()


PROXY_LOGIN = "Basic " + base64.b64encode(b"me:p@ss").decode()


def test_a_proxy_is_asked_with_the_whole_address(behind: registry.Registries, one: Registry) -> None:
    one.rules.append(Rule("HEAD http://plain.example/v2/a/b/manifests/1", wrong_body(b"")))
    one.rules.append(Rule("GET http://plain.example/v2/a/b/manifests/1", wrong_body(b"{}")))
    assert behind.repository("plain.example", "a/b").head("1") == (server.digest(b"{}"), server.MANIFEST)
    assert {asked.headers["Proxy-Authorization"] for asked in one.asked} == {PROXY_LOGIN}
    assert {asked.headers["Host"] for asked in one.asked} == {"plain.example"}


def test_tls_goes_through_a_tunnel_and_a_proxy_that_refuses_is_told(
    behind: registry.Registries, one: Registry
) -> None:
    with pytest.raises(
        RegistryError, match=r"secure.example cannot be reached \(Tunnel connection failed: 407"
    ):
        behind.repository("secure.example", "a/b").head("1")
    assert [(asked.method, asked.target) for asked in one.asked] == [("CONNECT", "secure.example:443")] * 2
    assert one.asked[0].headers["Proxy-Authorization"] == PROXY_LOGIN


def test_loopback_is_never_proxied(behind: registry.Registries, one: Registry, other: Registry) -> None:
    small(behind, other).put("1", document())
    assert (len(one.asked), len(other.asked)) == (0, 1)


# Size

MEASURE = """
import json, resource, sys
from reconciler import clock, registry
from reconciler.registry import transfer
source, target, digest, size = sys.argv[1:]
found = registry.Registries({"HOME": "/nonexistent"}, clock.system())
here, there = found.repository(source, "a"), found.repository(target, "b")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
blob = registry.Blob(digest, int(size), lambda: here.blob(digest, int(size)))
transfer.push(there, [blob], lambda line: None)
print(json.dumps([before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def test_memory_does_not_grow_with_a_blob(one: Registry, other: Registry) -> None:
    one.big = other.big = 256 * 1024 * 1024
    found = server.digest_of_zeros(one.big)
    other.rules.append(Rule("HEAD ", answer(404)))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, one.host, other.host, found, str(one.big)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert after - before < 16 * 1024
    assert next(asked.size for asked in other.asked if asked.method == "PATCH") == one.big
