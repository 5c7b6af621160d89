"""Keys that object_store takes for others, and the signature for them."""

from __future__ import annotations

import pytest

from shim.init import signed


@pytest.mark.parametrize("key", ["a", "a/b.txt", ".a/b..c", "é/日本", "a b+c%20#?&=*[]{}~^|<>\"'\\"])
def test_most_keys_are_plain(key: str) -> None:
    assert signed.plain(key)


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", "a/./b", "../a", "a\nb", "a\x7f"])
def test_keys_with_empty_or_dotted_parts_or_control_characters_are_not(key: str) -> None:
    assert not signed.plain(key)


def test_a_request_is_signed_with_all_its_headers() -> None:
    keys = {"access_key_id": "AKID", "secret_access_key": "secret", "token": "session"}
    place = signed.Place("https://b.s3.eu-west-1.amazonaws.com", "a//b", "eu-west-1", keys)
    headers = signed._sign("GET", f"{place.base}/{place.key}", place, {"range": "bytes=0-1"}, signed._EMPTY)
    assert headers["host"] == "b.s3.eu-west-1.amazonaws.com"
    assert headers["x-amz-security-token"] == "session"
    names = "host;range;x-amz-content-sha256;x-amz-date;x-amz-security-token"
    assert f"SignedHeaders={names}, Signature=" in headers["authorization"]
    assert "/eu-west-1/s3/aws4_request" in headers["authorization"]
