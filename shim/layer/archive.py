"""A folder as a tar.gz whose bytes depend on nothing but the folder's content.

Job: pack. Input: a folder, modes by path. Output: a file, its digests.
Must not: carry times, owners, names of users, or the order of a file system.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast


@dataclass(frozen=True, slots=True)
class Packed:
    """`digest` is of the compressed bytes, `diff_id` of the tar in them, as OCI has it; sizes in bytes."""

    digest: str
    diff_id: str
    size: int
    unpacked: int


class _Tee:
    """Hands bytes on and digests them on the way."""

    def __init__(self, target: BinaryIO) -> None:
        self.target = target
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self.target.write(data)

    def flush(self) -> None:
        self.target.flush()

    @property
    def digest(self) -> str:
        return f"sha256:{self.hash.hexdigest()}"


def pack(root: Path, target: Path, modes: Mapping[str, int]) -> Packed:
    """Packs all below `root`: sorted, uid and gid 0, mtime 0; mode 0755 for folders and programs, else 0644.

    `modes` names the exceptions by path relative to `root`. Written under another name, then moved to `target`.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")  # two builds at once do not meet
    with partial.open("wb") as file:
        blob = _Tee(file)
        # mtime=0 and no file name in the header; level 9 of the same zlib gives the same bytes.
        with gzip.GzipFile(
            filename="", mode="wb", compresslevel=9, fileobj=cast(BinaryIO, blob), mtime=0
        ) as packed:
            plain = _Tee(cast(BinaryIO, packed))
            with tarfile.open(fileobj=cast(BinaryIO, plain), mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).parts):
                    _add(tar, path, path.relative_to(root).as_posix(), modes)
    partial.replace(target)
    return Packed(blob.digest, plain.digest, blob.size, plain.size)


def _add(tar: tarfile.TarFile, path: Path, name: str, modes: Mapping[str, int]) -> None:
    member = tarfile.TarInfo(name)
    member.mtime = 0
    if path.is_symlink():
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        tar.addfile(member)
    elif path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, modes.get(name, 0o755)
        tar.addfile(member)
    else:
        state = path.stat()
        member.size = state.st_size
        member.mode = modes.get(name, 0o755 if state.st_mode & 0o100 else 0o644)
        with path.open("rb") as file:
            tar.addfile(member, file)
