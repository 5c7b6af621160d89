"""What an engine keeps of an image, made into what a registry keeps.

Job: read the tar of `docker save` as it comes, and write each layer compressed to a file, the same bytes each time.
Input: a stream, a folder. Output: Saved. Must not: talk to an engine or a registry, hold a layer in memory, or hand
on a layer that is not the one that the image's configuration names.

Two forms: Docker's own (HASH.json, HASH/layer.tar) and OCI's (blobs/sha256/HASH), manifest.json beside either.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tarfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

from reconciler import media
from reconciler.errors import EngineError

BLOCK: Final = 1024 * 1024
LEVEL: Final = 4  # of zlib: less than half the time of 6 for one fortieth more bytes (a Debian root)
SMALL: Final = 8 * 1024 * 1024  # no configuration or manifest is longer
_WINDOW: Final = 32 * 1024  # what deflate looks back
_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # RFC 1952: no name, no time, unknown system
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class SavedLayer:
    """A compressed layer in a file; `digest` and `size` are the file's."""

    path: Path
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Saved:
    """An image out of an engine: its configuration byte for byte, its layers from the lowest up."""

    config: bytes
    layers: tuple[SavedLayer, ...]

    def descriptors(self) -> list[dict[str, Any]]:
        """The layers as a manifest of Docker's names them."""
        return [
            {"mediaType": media.DOCKER_LAYER, "size": layer.size, "digest": layer.digest}
            for layer in self.layers
        ]


@dataclass
class _Found:
    """What has come out of the tar so far, by name."""

    documents: dict[str, bytes] = field(default_factory=dict)
    layers: dict[str, SavedLayer] = field(default_factory=dict)
    diff_ids: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)


def read(chunks: Iterable[bytes], folder: Path) -> Saved:
    """The image in a `docker save` of one image, its layers below `folder`. Raises EngineError where it is damaged."""
    found = _Found()
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Reader(chunks)), mode="r|", bufsize=BLOCK) as archive:
            for member in archive:
                if member.issym() or member.islnk():
                    found.links[member.name] = _target(member)
                elif member.isfile():
                    stream = archive.extractfile(member)
                    assert stream is not None  # noqa: S101  it is a file
                    _keep(found, member, stream, folder)
    except (tarfile.TarError, OSError, zlib.error) as error:
        raise EngineError(f"what the engine saved of the image cannot be read: {error}") from None
    try:
        described = json.loads(found.documents["manifest.json"])[0]
        config = found.documents[described["Config"]]
        names = [found.links.get(name, name) for name in described["Layers"]]
        layers = tuple(found.layers[name] for name in names)
        diff_ids = json.loads(config)["rootfs"].get("diff_ids") or []
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise EngineError(f"what the engine saved of the image has no {error}") from None
    for name, wanted in zip(names, diff_ids, strict=False):
        if found.diff_ids.get(name) != wanted:
            raise EngineError(f"the engine saved a layer that is not the image's: {name} is not {wanted}")
    return Saved(config, layers)


def compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """gzip of the chunks: the same bytes for the same input, whatever the chunks' sizes and the number of cores.

    Blocks are compressed side by side, each with the end of the one before as its dictionary (as pigz does).
    """
    workers = os.cpu_count() or 1
    waiting: deque[Future[bytes]] = deque()
    crc = size = 0
    before = b""
    yield _HEADER
    with ThreadPoolExecutor(workers) as pool:
        for block, last in _blocks(chunks):
            crc, size = zlib.crc32(block, crc), size + len(block)
            waiting.append(pool.submit(_deflate, block, before, last))
            before = block[-_WINDOW:]
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        for one in waiting:
            yield one.result()
    yield struct.pack("<II", crc, size & 0xFFFFFFFF)


def _deflate(block: bytes, before: bytes, last: bool) -> bytes:
    if before:
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
    else:
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(block) + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The input in pieces of BLOCK bytes, and whether each is the last; one empty piece where there is nothing."""
    kept = bytearray()
    for chunk in chunks:
        kept += chunk
        while len(kept) > BLOCK:
            yield bytes(kept[:BLOCK]), False
            del kept[:BLOCK]
    yield bytes(kept), True


def _keep(found: _Found, member: tarfile.TarInfo, stream: IO[bytes], folder: Path) -> None:
    head = stream.read(min(member.size, 512))
    if member.name == "manifest.json" or (member.size <= SMALL and head.lstrip()[:1] in (b"{", b"[")):
        found.documents[member.name] = head + stream.read()
        return
    if not (member.name.endswith("/layer.tar") or member.name.startswith("blobs/")):
        return
    path = folder / f"layer{len(found.layers)}"
    hasher, size = hashlib.sha256(), 0
    plain = hashlib.sha256()
    with path.open("wb") as file:
        for piece in _packed(head, stream, plain):
            hasher.update(piece)
            size += len(piece)
            file.write(piece)
    found.layers[member.name] = SavedLayer(path, f"sha256:{hasher.hexdigest()}", size)
    found.diff_ids[member.name] = f"sha256:{plain.hexdigest()}"


def _packed(head: bytes, stream: IO[bytes], plain: Any) -> Iterator[bytes]:
    """The layer's compressed bytes; `plain` takes the uncompressed ones. An engine may keep them compressed already."""
    pieces = _pieces(head, stream)
    if not head.startswith(_GZIP):
        yield from compressed(_noted(pieces, plain))
        return
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for piece in pieces:
        rest = piece
        while rest:
            plain.update(unpacker.decompress(rest, BLOCK))
            rest = unpacker.unconsumed_tail
            if unpacker.eof and unpacker.unused_data:  # gzip files may follow one another
                rest, unpacker = unpacker.unused_data, zlib.decompressobj(zlib.MAX_WBITS | 16)
        yield piece


def _pieces(head: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    yield head
    while piece := stream.read(BLOCK):
        yield piece


def _noted(pieces: Iterable[bytes], plain: Any) -> Iterator[bytes]:
    for piece in pieces:
        plain.update(piece)
        yield piece


def _target(member: tarfile.TarInfo) -> str:
    """The name in the archive that a link means: `../HASH/layer.tar` where two layers are alike."""
    if member.islnk():
        return member.linkname
    parts: list[str] = []
    for part in (*PurePosixPath(member.name).parent.parts, *PurePosixPath(member.linkname).parts):
        if part == ".." and parts:
            parts.pop()
        elif part != "..":
            parts.append(part)
    return "/".join(parts)


class _Reader:
    """Chunks as tarfile reads them."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._kept = b""

    def read(self, size: int) -> bytes:
        while len(self._kept) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._kept += chunk
        found, self._kept = self._kept[:size], self._kept[size:]
        return found
