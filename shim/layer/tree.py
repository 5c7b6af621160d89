"""Puts the layer's tree together: unpacked Debian packages and a wheel in, `bunnies/` out.

Job: choose by allow-list, move under /bunnies, patch, compile, prove by importing. Input: folders. Output: a folder.
Must not: fetch anything, or write outside `root`.
"""

from __future__ import annotations

import platform as host
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from shim.layer import elf, recipe

#: Modes that are not 0755 or 0644.
MODES = dict.fromkeys(recipe.WORK_FOLDERS, 1023)

_COMPILE = """
import py_compile, sys
from pathlib import Path
root = Path(sys.argv[1])
for path in sorted(root.rglob("*.py")):
    py_compile.compile(str(path), dfile="/" + path.relative_to(root).as_posix(), doraise=True,
                       invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""

#: Imports all that bunny-init can import; a module missing from the allow-list fails the build, not a job.
_PROVE = """
import importlib, os, shim.init
for name in sorted(os.listdir(shim.init.__path__[0])):
    if name.endswith(".py"):
        importlib.import_module("shim.init." + name.removesuffix(".py"))
import obstore, obstore.store, ssl, hashlib, http.client, ctypes, json, concurrent.futures, encodings.idna
obstore.store.S3Store("b", region="us-east-1", access_key_id="x", secret_access_key="x")
hashlib.sha256(b"")
supervisor = shim.init.supervise.Supervisor()
assert supervisor.wait(supervisor.spawn(["/bin/true"], {})).exit_code == 0
assert hashlib.sha256.__module__ == "_hashlib", hashlib.sha256
"""

#: Where libc and its loader look in the image, and where they shall look instead: paths of the same length. The image's
#: name services, preloaded libraries and cache are for its own libc. Only the first is there, with _NSS in it.
_OWN_PLACES = {
    b"/etc/nsswitch.conf\0": b"/bunnies/etc/nsswc\0",
    b"/etc/ld.so.preload\0": b"/bunnies/etc/ldpre\0",
    b"/etc/ld.so.cache\0": b"/bunnies/ldcache\0",
}
_NSS = "passwd: files\ngroup: files\nhosts: files dns\n"

_START = """#!{prefix}/bin/python3 -ISBXutf8
import sys
from shim.init import main
sys.exit(main.main(sys.argv[1:]))
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a tree is made of: unpacked packages, the unpacked wheel, python's version ("3.11")."""

    packages: Path
    wheel: Path
    python: str
    names: tuple[str, ...]


def assemble(platform: recipe.Platform, parts: Parts, root: Path) -> None:
    """Fills `root` (empty) with `bunnies/`, `input/`, `output/` and `scratch/`."""
    bunnies = root / recipe.PREFIX.lstrip("/")
    library = bunnies / "lib" / f"python{parts.python}"
    (bunnies / "bin").mkdir(parents=True)
    _copy(parts.packages / f"usr/bin/python{parts.python}", bunnies / "bin/python3")
    _standard_library(parts.packages / f"usr/lib/python{parts.python}", library)
    for name in recipe.OBSTORE_FILES:
        _copy(parts.wheel / "obstore" / name, library / "obstore" / name)
    for path in recipe.init_files():
        _copy(path, library / "shim" / path.relative_to(recipe.init_files()[0].parent))
    start = bunnies / "bin/bunny-init"
    start.write_text(_START.format(prefix=recipe.PREFIX), encoding="utf-8")
    start.chmod(0o755)
    _shared_libraries(platform, parts.packages, bunnies)
    _certificates(parts.packages, bunnies / "etc/ca-certificates.crt")
    _copyrights(parts, bunnies / "share/doc")
    compiler = _python(platform, parts)
    subprocess.run([*compiler, "-c", _COMPILE, str(root)], check=True)
    _patch(platform, bunnies)
    for name in recipe.WORK_FOLDERS:
        (root / name).mkdir()
    _prove(platform, bunnies)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def _standard_library(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        place = path.relative_to(source)
        within = place.as_posix()
        wanted = place.parts[0].removesuffix(".py") in recipe.STDLIB and path.suffix == ".py"
        wanted = wanted and not any(within.startswith(without) for without in recipe.STDLIB_WITHOUT)
        compiled = place.parts[0] == "lib-dynload" and path.name.split(".")[0] in recipe.DYNLOAD
        if path.is_file() and (wanted or compiled):
            _copy(path, target / place)
    (target / "lib-dynload").mkdir(exist_ok=True)  # without it python warns of a missing exec_prefix


def _shared_libraries(platform: recipe.Platform, packages: Path, bunnies: Path) -> None:
    target = bunnies / "lib"
    waiting = [path for path in sorted(bunnies.rglob("*")) if elf.is_elf(path)]
    while waiting:
        for name in elf.needed(waiting.pop()):
            if not (target / name).exists():
                _copy(_find(platform, packages, name), target / name)
                waiting.append(target / name)
    (target / platform.loader).chmod(0o755)


def _find(platform: recipe.Platform, packages: Path, name: str) -> Path:
    for folder in ("lib", "usr/lib"):
        path = packages / folder / platform.triplet / name
        if path.exists():
            return path.resolve()
    raise recipe.RecipeError(f"{name} is in none of the packages: add its package to shim/layer/recipe.py.")


def _certificates(packages: Path, target: Path) -> None:
    files = sorted((packages / "usr/share/ca-certificates").rglob("*.crt"))
    target.parent.mkdir(parents=True)
    target.write_text(
        "".join(path.read_text(encoding="ascii").strip() + "\n" for path in files), encoding="ascii"
    )


def _copyrights(parts: Parts, target: Path) -> None:
    for name in parts.names:
        _copy(parts.packages / "usr/share/doc" / name / "copyright", target / name / "copyright")
    info = next(parts.wheel.glob("obstore-*.dist-info"))
    for path in sorted(info.rglob("*")):
        if path.is_file() and path.name not in {"RECORD", "WHEEL"}:
            _copy(path, target / "obstore" / path.relative_to(info))


def _patch(platform: recipe.Platform, bunnies: Path) -> None:
    rpath, loader = f"{recipe.PREFIX}/lib", f"{recipe.PREFIX}/lib/{platform.loader}"
    for path in sorted(bunnies.rglob("*")):
        # libc and the loader find each other by name; patchelf must leave them as they are.
        if elf.is_elf(path) and path.name not in {platform.loader, "libc.so.6"}:
            program = path.parent.name == "bin"
            elf.point(path, rpath, platform.page_size, interpreter=loader if program else None)
    _look_elsewhere([bunnies / "lib" / name for name in (platform.loader, "libc.so.6")])
    (bunnies / "etc/nsswc").write_text(_NSS, encoding="ascii")


def _look_elsewhere(paths: list[Path]) -> None:
    missing = set(_OWN_PLACES)
    for path in paths:
        data = path.read_bytes()
        for theirs, ours in _OWN_PLACES.items():
            if theirs in data:
                missing.discard(theirs)
                data = data.replace(theirs, ours)
        path.write_bytes(data)
    if missing:
        names = ", ".join(theirs.rstrip(b"\0").decode() for theirs in sorted(missing))
        raise recipe.RecipeError(
            f"this libc does not name {names}: look again at _OWN_PLACES in shim/layer/tree.py."
        )


def _python(platform: recipe.Platform, parts: Parts) -> list[str]:
    """How to run a python of the layer's version here: the unpacked one, or ours where the machine is of another kind."""
    if host.machine() == platform.machine:
        folders = [parts.packages / folder / platform.triplet for folder in ("lib", "usr/lib")]
        loader = _find(platform, parts.packages, platform.loader)
        program = parts.packages / f"usr/bin/python{parts.python}"
        return [str(loader), "--library-path", ":".join(map(str, folders)), str(program), "-ISB"]
    if f"{sys.version_info.major}.{sys.version_info.minor}" == parts.python:
        return [sys.executable, "-ISB"]
    raise recipe.RecipeError(
        f"byte-code for {platform.name} needs python {parts.python} on this machine. Run bunnies with that version."
    )


def _prove(platform: recipe.Platform, bunnies: Path) -> None:
    """Imports everything; a layer for another kind of machine under qemu-user-static where that is, else not at all."""
    emulator = [] if host.machine() == platform.machine else [shutil.which(f"qemu-{platform.machine}-static")]
    if emulator == [None]:
        return
    library = str(bunnies / "lib")
    command = [
        *(str(program) for program in emulator),
        f"{library}/{platform.loader}",
        "--library-path",
        library,
        f"{bunnies}/bin/python3",
        "-ISBXutf8",
    ]
    done = subprocess.run([*command, "-c", _PROVE], capture_output=True, text=True, check=False, env={})
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise recipe.RecipeError(
            f"the layer does not work: {reason}. Complete the allow-lists in shim/layer/recipe.py."
        )
