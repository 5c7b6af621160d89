"""What goes into the layer, and the digest of that list.

Job: the allow-lists, the versions and the platforms. Input and output: data.
Must not: fetch or run anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: The version of the contract between reconciler and shim; part of every job's identity (docs/jobs.md).
CONTRACT_VERSION: Final = "1"
OBSTORE_VERSION: Final = "0.12.1"
#: Where the layer lies in every image. Loader and rpath are absolute: `$ORIGIN` would need /proc.
PREFIX: Final = "/bunnies"
#: Made in every image, so that one with another USER works.
WORK_FOLDERS: Final = ("input", "output", "scratch")


class RecipeError(Exception):
    """The layer cannot be built; `str()` is one sentence with what to do."""


@dataclass(frozen=True, slots=True)
class Platform:
    """One platform as Docker, Debian, ELF and wheels each name it; `page_size` is what patchelf aligns to."""

    name: str
    debian: str
    triplet: str
    loader: str
    machine: str
    wheels: tuple[str, ...]
    page_size: int

    @property
    def slug(self) -> str:
        """`linux-amd64`: the stem of the layer's two files."""
        return self.name.replace("/", "-")


PLATFORMS: Final[Mapping[str, Platform]] = {
    "linux/amd64": Platform(
        name="linux/amd64",
        debian="amd64",
        triplet="x86_64-linux-gnu",
        loader="ld-linux-x86-64.so.2",
        machine="x86_64",
        wheels=("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
        page_size=4096,
    ),
    "linux/arm64": Platform(
        name="linux/arm64",
        debian="arm64",
        triplet="aarch64-linux-gnu",
        loader="ld-linux-aarch64.so.1",
        machine="aarch64",
        wheels=("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
        page_size=65536,  # aarch64 kernels may have pages of 64 KiB
    ),
}

#: Debian packages beside python's own, by the beginning of their name: libssl3 and libffi8 carry their ABI in it,
#: libssl3t64 an ending. gcc-*-base and the *-common ones hold the copyright files that others link to.
LIBRARIES: Final = ("libc6", "libgcc-s1", "libssl3", "libexpat1", "zlib1g", "libffi")
COPYRIGHTS: Final = ("gcc-",)
CERTIFICATES: Final = "ca-certificates"

#: Top-level modules and packages of the standard library that go in; `tree` proves by importing that they suffice.
STDLIB: Final = frozenset(
    """
    __future__ _collections_abc _compat_pickle _compression _sitebuiltins _weakrefset _threading_local abc base64
    bisect calendar codecs collections concurrent contextlib contextvars copy copyreg ctypes dataclasses
    datetime email encodings enum fnmatch functools genericpath glob hashlib heapq hmac http importlib inspect io
    ipaddress json keyword linecache locale logging numbers opcode operator os pathlib posixpath queue quopri
    random re reprlib selectors shlex shutil signal socket ssl stat string stringprep struct subprocess
    tempfile textwrap threading token tokenize traceback types typing urllib uu warnings weakref
    ast dis bz2 lzma
    """.split()  # noqa: SIM905 - a list of a hundred lines would hide what it says
)

#: Compiled modules of the standard library that go in; os.wait4 imports `resource` behind our back.
DYNLOAD: Final = frozenset(
    ("_contextvars", "_ctypes", "_hashlib", "_json", "_opcode", "_queue", "_ssl", "_typing", "resource")
)

#: Folders within those packages that are never imported here.
STDLIB_WITHOUT: Final = frozenset({"concurrent/futures/process.py", "ctypes/macholib", "ctypes/test"})

#: Files of the obstore wheel that go in; fsspec.py and auth/ serve other callers.
OBSTORE_FILES: Final = ("__init__.py", "store.py", "_obstore.abi3.so")


def source_files() -> tuple[Path, ...]:
    """The files of this package that decide what the layer holds, sorted: bunny-init and this recipe."""
    package = Path(__file__).resolve().parent.parent
    return (
        package / "__init__.py",
        *sorted((package / "init").glob("*.py")),
        *sorted((package / "layer").glob("*.py")),
    )


def init_files() -> tuple[Path, ...]:
    """What of this package goes into the layer: shim/__init__.py and shim/init/*.py."""
    package = Path(__file__).resolve().parent.parent
    return (package / "__init__.py", *sorted((package / "init").glob("*.py")))


def digest(platform: Platform, packages: Mapping[str, str]) -> str:
    """`sha256:…` over the platform, our sources and the packages' versions: the same digest, the same layer."""
    total = hashlib.sha256(f"{platform.name} obstore {OBSTORE_VERSION}\n".encode())
    for path in source_files():
        total.update(
            f"{path.parent.name}/{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    for name, version in sorted(packages.items()):
        total.update(f"{name} {version}\n".encode())
    return f"sha256:{total.hexdigest()}"
