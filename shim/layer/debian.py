"""Debian packages by the machine's own apt configuration, into a private apt state.

Job: find, download and unpack packages of any architecture. Input: names. Output: .deb files, folders.
Must not: install anything, touch /var/lib/dpkg or /var/lib/apt, or need root.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shim.layer import recipe

Say = Callable[[str], None]

_URI = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) (?P<sum>\S*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Package:
    """One .deb as apt offers it: `file` is NAME_VERSION_ARCH.deb, `sum` as apt prints it (`SHA256:…`)."""

    name: str
    version: str
    file: str
    sum: str


class Apt:
    """apt-get and apt-cache for one architecture, with lists and caches of their own below `state`."""

    def __init__(self, state: Path, architecture: str) -> None:
        for tool in ("apt-get", "apt-cache", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise recipe.RecipeError(
                    f"{tool} is missing: the layer is made of Debian packages. Run it on Debian or Ubuntu, or in a container of debian:bookworm."
                )
        self.state = state
        for folder in ("lists/partial", "cache/archives/partial"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        self._options = [
            f"Dir::State::lists={state}/lists",
            f"Dir::State::status={state}/status",  # empty: the candidate must not depend on what is installed
            f"Dir::Cache={state}/cache",
            f"APT::Architecture={architecture}",
            f"APT::Architectures={architecture}",
            "APT::Sandbox::User=root",  # the user _apt cannot write below a home folder
            "Acquire::Languages=none",
        ]

    def update(self) -> None:
        """Fetches the lists; one source of the machine that does not answer is no reason to stop."""
        self._run("apt-get", "-q", "update", check=False)

    def dependencies(self, *names: str) -> tuple[str, ...]:
        """Every package that these need, themselves included, sorted; RecipeError where one is unknown."""
        without = [
            f"--no-{kind}"
            for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
        ]
        out = self._run("apt-cache", "depends", "--recurse", *without, *names)
        return tuple(
            sorted({line for line in out.splitlines() if re.fullmatch(r"[a-z0-9][a-z0-9+.-]*", line)})
        )

    def direct(self, name: str) -> tuple[str, ...]:
        """The packages that `name` itself depends on."""
        return tuple(re.findall(r"Depends: ([a-z0-9][a-z0-9+.-]*)", self._run("apt-cache", "depends", name)))

    def candidates(self, names: Iterable[str]) -> tuple[Package, ...]:
        """What apt would download for `names` today."""
        out = self._run("apt-get", "--print-uris", "download", *names)
        found = []
        for match in _URI.finditer(out):
            name, version, _ = match["file"].split("_", 2)
            found.append(Package(name, version.replace("%3a", ":"), match["file"], match["sum"]))
        return tuple(sorted(found, key=lambda package: package.name))

    def download(self, packages: Iterable[Package], cache: Path) -> Mapping[str, Path]:
        """The .deb of each, by name; those already in `cache` with the right sum are not fetched again."""
        cache.mkdir(parents=True, exist_ok=True)
        found = {}
        for package in packages:
            path = cache / package.file
            if not _matches(path, package.sum):
                self._run("apt-get", "-q", "download", f"{package.name}={package.version}", cwd=cache)
            if not _matches(path, package.sum):
                raise recipe.RecipeError(f"{package.file} did not arrive as apt announced it. Run it again.")
            found[package.name] = path
        return found

    def _run(self, *command: str, check: bool = True, cwd: Path | None = None) -> str:
        options = [part for option in self._options for part in ("-o", option)]
        done = subprocess.run(
            [command[0], *options, *command[1:]], capture_output=True, text=True, check=False, cwd=cwd
        )
        if check and done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise recipe.RecipeError(
                f"`{shlex.join(command)}` failed: {reason.rstrip('.')}. Look at this machine's apt sources."
            )
        return done.stdout


def unpack(debs: Iterable[Path], root: Path) -> None:
    """Every file of every package below `root`, owners and maintainer scripts left out."""
    for deb in debs:
        subprocess.run(["dpkg-deb", "--extract", str(deb), str(root)], check=True)


def _matches(path: Path, announced: str) -> bool:
    if not path.is_file():
        return False
    algorithm, _, value = announced.partition(":")
    name = algorithm.lower().removesuffix("sum")
    return (
        name not in hashlib.algorithms_available or hashlib.new(name, path.read_bytes()).hexdigest() == value
    )
