"""Builds the layer of one platform, unless it is there already.

Job: order the steps, keep the caches, describe the result. Input: platform, folder. Output: two files.
Must not: know how any step is done.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shim.layer import archive, debian, recipe, tree, wheel

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class How:
    """`update`: ask apt for today's versions first. `force`: build in any case. `wheel`: obstore's, instead of pip's."""

    update: bool = False
    force: bool = False
    wheel: Path | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """The layer's two files, and whether this run made them."""

    blob: Path
    description: Path
    fresh: bool


def build(platform: recipe.Platform, out: Path, how: How, say: Say) -> Built:
    """Makes `out`/SLUG.tar.gz and .json. Up to date: the sources and the packages' versions in the .json still hold.

    RecipeError says what to install or where it failed.
    """
    built = Built(out / f"{platform.slug}.tar.gz", out / f"{platform.slug}.json", fresh=False)
    known = _known(built, platform)
    if known is not None and not (how.update or how.force or how.wheel):
        say(f"{platform.name}: up to date, {known['digest']} ({known['size'] / 1e6:.1f} MB)")
        return built
    begun = time.monotonic()
    _writable(out)
    cache = _cache()
    apt = debian.Apt(cache / f"apt-{platform.debian}", platform.debian)
    say(f"{platform.name}: reading the package lists")
    apt.update()
    python, packages = _choose(apt)
    versions = {package.name: package.version for package in packages}
    if known is not None and how == How(update=True) and known["recipe"] == recipe.digest(platform, versions):
        say(f"{platform.name}: up to date, {known['digest']} ({known['size'] / 1e6:.1f} MB)")
        return built
    say(f"{platform.name}: {len(packages)} packages, python {python}")
    debs = apt.download(packages, cache / "debs")
    with tempfile.TemporaryDirectory(prefix="bunnies-layer-") as folder:
        work = Path(folder)
        parts = tree.Parts(work / "packages", work / "wheel", python, tuple(versions))
        debian.unpack(debs.values(), parts.packages)
        say(f"{platform.name}: {how.wheel.name if how.wheel else f'obstore {recipe.OBSTORE_VERSION}'}")
        if how.wheel:
            wheel.given(platform, how.wheel, parts.wheel)
        else:
            wheel.obstore(platform, python, cache / "wheels", parts.wheel)
        say(f"{platform.name}: putting it together")
        tree.assemble(platform, parts, work / "root")
        packed = archive.pack(work / "root", built.blob, tree.MODES)
    _describe(built.description, platform, packed, versions)
    took = time.monotonic() - begun
    say(
        f"{platform.name}: {packed.digest}, {packed.size / 1e6:.1f} MB ({packed.unpacked / 1e6:.1f} unpacked), {took:.0f} s"
    )
    return Built(built.blob, built.description, fresh=True)


def _choose(apt: debian.Apt) -> tuple[str, tuple[debian.Package, ...]]:
    """The python of this Debian ("3.11") and the packages of the layer, at today's versions."""
    direct = apt.direct("python3")
    python = next(
        (name.removeprefix("python") for name in direct if re.fullmatch(r"python3\.\d+", name)), None
    )
    if python is None:
        raise recipe.RecipeError(
            "apt knows no python3. Look at this machine's apt sources, then run it again."
        )
    own = {f"python{python}-minimal", f"libpython{python}-minimal", f"libpython{python}-stdlib"}
    known = apt.dependencies(*sorted(own), "libgcc-s1", recipe.CERTIFICATES)
    prefixes = recipe.LIBRARIES + recipe.COPYRIGHTS
    names = [name for name in known if name in own | {recipe.CERTIFICATES} or name.startswith(prefixes)]
    return python, apt.candidates(names)


def _known(built: Built, platform: recipe.Platform) -> dict[str, Any] | None:
    """The description of the layer that is there, None where it is missing, damaged or of another recipe."""
    try:
        known: dict[str, Any] = json.loads(built.description.read_text(encoding="utf-8"))
        if (
            known["recipe"] != recipe.digest(platform, known["packages"])
            or built.blob.stat().st_size != known["size"]
        ):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known


def _describe(
    path: Path, platform: recipe.Platform, packed: archive.Packed, versions: Mapping[str, str]
) -> None:
    description = {
        "platform": platform.name,
        "digest": packed.digest,
        "diff_id": packed.diff_id,
        "size": packed.size,
        "unpacked": packed.unpacked,
        "version": recipe.CONTRACT_VERSION,
        "recipe": recipe.digest(platform, versions),
        "packages": dict(sorted(versions.items())),
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise recipe.RecipeError(
            f"cannot make {out}: {error.strerror}. Name another folder with --out."
        ) from error
    if not os.access(out, os.W_OK):
        raise recipe.RecipeError(f"cannot write to {out}. Name another folder with --out.")


def _cache() -> Path:
    """.bunnies/shim beside the packages where that can be written, else ~/.cache/bunnies/shim."""
    project = Path(__file__).resolve().parents[2]
    base = project / ".bunnies"
    if not (os.access(project, os.W_OK) and (project / "pyproject.toml").exists()):
        base = Path.home() / ".cache/bunnies"
    cache = base / "shim"
    cache.mkdir(parents=True, exist_ok=True)
    return cache
