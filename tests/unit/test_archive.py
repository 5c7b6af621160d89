"""What an engine saves of an image, in both forms that engines have, made into blobs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import archive, media
from reconciler.errors import EngineError

ONE, TWO = b"\0" * 10240, b"x" * 3_000_000


def digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


CONFIG = json.dumps({"rootfs": {"diff_ids": [digest(ONE), digest(TWO), digest(ONE)]}}).encode()


def saved(files: dict[str, bytes], links: dict[str, str] | None = None, size: int = 777) -> Iterator[bytes]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    body = stream.getvalue()
    yield from (body[start : start + size] for start in range(0, len(body), size))


def docker_form(**changes: bytes) -> dict[str, bytes]:
    listed = [{"Config": "c.json", "Layers": ["a/layer.tar", "b/layer.tar", "d/layer.tar"]}]
    files = {
        "a/VERSION": b"1.0",
        "a/json": b"{}",
        "a/layer.tar": ONE,
        "b/layer.tar": TWO,
        "c.json": CONFIG,
        "manifest.json": json.dumps(listed).encode(),
    }
    return files | changes


def test_the_configuration_is_kept_byte_for_byte_and_layers_in_order(tmp_path: Path) -> None:
    found = archive.read(saved(docker_form(), {"d/layer.tar": "../a/layer.tar"}), tmp_path)
    assert found.config == CONFIG
    assert [gzip.decompress(layer.path.read_bytes()) for layer in found.layers] == [ONE, TWO, ONE]
    assert found.descriptors() == [
        {
            "mediaType": media.DOCKER_LAYER,
            "size": layer.path.stat().st_size,
            "digest": digest(layer.path.read_bytes()),
        }
        for layer in found.layers
    ]


def test_layers_that_an_engine_keeps_compressed_stay_as_they_are(tmp_path: Path) -> None:
    one, two = gzip.compress(ONE, mtime=0), gzip.compress(TWO[:5], mtime=0) + gzip.compress(TWO[5:], mtime=0)
    names = [f"blobs/sha256/{name}" for name in ("1", "2", "1")]
    files = {
        "blobs/sha256/0": CONFIG,
        "blobs/sha256/1": one,
        "blobs/sha256/2": two,
        "index.json": b"{}",
        "manifest.json": json.dumps([{"Config": "blobs/sha256/0", "Layers": names}]).encode(),
        "oci-layout": b"{}",
    }
    found = archive.read(saved(files), tmp_path)
    assert [layer.path.read_bytes() for layer in found.layers] == [one, two, one]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (docker_form(**{"b/layer.tar": b"y"}), "a layer that is not the image's"),
        ({"x": b""}, "has no 'manifest.json'"),
        (docker_form(**{"manifest.json": b'[{"Config": "gone", "Layers": []}]'}), "has no 'gone'"),
    ],
)
def test_what_is_damaged_is_told(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    with pytest.raises(EngineError, match=words):
        archive.read(saved(files, {"d/layer.tar": "../a/layer.tar"}), tmp_path)


def test_what_is_cut_is_told(tmp_path: Path) -> None:
    body = b"".join(saved(docker_form()))
    with pytest.raises(EngineError, match="cannot be read"):
        archive.read(iter([body[:50_000]]), tmp_path)


@settings(max_examples=20)
@given(st.binary(max_size=3000), st.integers(1, 2_000_000), st.integers(0, 1500))
def test_compression_gives_the_same_bytes_however_the_input_comes(seed: bytes, size: int, times: int) -> None:
    body = seed * times
    found = b"".join(archive.compressed(body[at : at + size] for at in range(0, len(body), size)))
    assert gzip.decompress(found) == body
    assert found == b"".join(archive.compressed([body]))
    assert found[4:8] == b"\0\0\0\0"
