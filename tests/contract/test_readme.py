"""What people read and type first: README, bin/, the lock files."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from reconciler import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("**/*.md")])
LOCKS = {"requirements.lock": ("local", "shim"), "requirements-dev.lock": ("local", "shim", "dev")}
OURS = {"localhost", "127.0.0.1"}


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    paths = (ROOT / name.decode() for name in listed.stdout.split(b"\0") if name)
    return [path for path in paths if path.is_file()]


def shell_scripts() -> list[Path]:
    return [path for path in tracked() if path.read_bytes().startswith(b"#!/usr/bin/env bash")]


def package_hosts() -> set[str]:
    """Hosts that this machine's pip and apt fetch from: the places that a committed file must not name."""
    pip = subprocess.run(
        ["python3", "-m", "pip", "config", "list"], check=False, capture_output=True, text=True
    )
    texts = [pip.stdout]
    apt = Path("/etc/apt")
    for pattern in ("sources.list", "sources.list.d/*"):
        texts += [file.read_text(errors="replace") for file in apt.glob(pattern) if file.is_file()]
    return set(re.findall(r"https?://([\w.-]+)", "\n".join(texts))) - OURS


def requirements(extras: Iterable[str]) -> Iterator[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = [project["project"]["dependencies"], project["dependency-groups"]["build"]]
    lists += [project["project"]["optional-dependencies"][extra] for extra in extras]
    for wanted in lists:
        yield from map(Requirement, wanted)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_bunnies_command_that_a_page_names_exists(page: Path) -> None:
    known = set(cli.bunnies.list_commands(click.Context(cli.bunnies)))
    named = set(re.findall(r"(?:`|\$ )bunnies ([a-z]+(?:-[a-z]+)*)", page.read_text()))
    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_script_that_a_page_names_is_there_and_may_be_run(page: Path) -> None:
    for name in set(re.findall(r"(?<![\w/])(?:\./)?(bin/[a-z]+)\b", page.read_text())):
        path = ROOT / name
        assert path.is_file(), name
        assert path.stat().st_mode & 0o111, name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_the_readme_shows_the_quickstarts_own_manifest() -> None:
    shown = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert shown
    without_comments = re.sub(r" +#.*", "", shown[1])
    assert without_comments in (ROOT / "manifests/quickstart/jobs.yaml").read_text()


def test_no_file_names_the_place_that_packages_come_from() -> None:
    hosts = {host.encode() for host in package_hosts()}
    contents = {path.relative_to(ROOT): path.read_bytes() for path in tracked()}
    named = [(path, host) for path, text in contents.items() for host in hosts if host in text]
    assert not named


@pytest.mark.parametrize("script", shell_scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shell_script_parses(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_holds_what_pyproject_asks_for_with_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    locked = {
        canonicalize_name(key): version for key, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.M)
    }
    for wanted in requirements(LOCKS[name]):
        version = locked.get(canonicalize_name(wanted.name), "missing")
        assert version in wanted.specifier, f"{wanted}: the lock has {version}; run bin/lock"
    pins = re.findall(r"^[\w.-]+==.*(?:\n +.*)*", text, re.M)
    assert all("--hash=sha256:" in pin for pin in pins)


def test_the_development_lock_agrees_with_the_products() -> None:
    pins = [set(re.findall(r"^[\w.-]+==[^\s;]+", (ROOT / name).read_text(), re.M)) for name in LOCKS]
    assert pins[0] <= pins[1]
