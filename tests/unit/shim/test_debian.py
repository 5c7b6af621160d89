"""apt without apt: what the recipe understands of its output, by programs that answer as apt does."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from shim.layer import build, debian, recipe

DEB = b"a package"
SUM = hashlib.sha256(DEB).hexdigest()
PROGRAM = f"""#!/bin/sh
case "$*" in
  *print-uris*) echo "'http://deb.invalid/z/zlib1g_1%3a1.2_amd64.deb' zlib1g_1%3a1.2_amd64.deb 9 SHA256:{SUM}" ;;
  *download*) printf 'a package' > zlib1g_1%3a1.2_amd64.deb; echo fetched >> "$PWD/log" ;;
  *update*) exit 100 ;;
  *--recurse*) printf 'zlib1g\\n  Depends: libc6\\nlibc6\\n <virtual>\\n' ;;
  *"depends python3"*) printf 'python3\\n  PreDepends: python3-minimal\\n  Depends: python3.11\\n' ;;
  *) echo "E: Unable to locate package" >&2; exit 100 ;;
esac
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> debian.Apt:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "apt-cache", "dpkg-deb"):
        (programs / name).write_text(PROGRAM)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return debian.Apt(tmp_path / "state", "amd64")


def test_a_candidate_has_name_version_file_and_sum(apt: debian.Apt) -> None:
    assert apt.candidates(["zlib1g"]) == (
        debian.Package("zlib1g", "1:1.2", "zlib1g_1%3a1.2_amd64.deb", f"SHA256:{SUM}"),
    )


def test_what_is_in_the_cache_is_not_fetched_again_unless_it_is_damaged(
    apt: debian.Apt, tmp_path: Path
) -> None:
    packages, cache = apt.candidates(["zlib1g"]), tmp_path / "cache"
    for _ in range(2):
        found = apt.download(packages, cache)
    assert found["zlib1g"].read_bytes() == DEB
    assert (cache / "log").read_text() == "fetched\n"
    found["zlib1g"].write_bytes(b"cut")
    apt.download(packages, cache)
    assert (cache / "log").read_text() == "fetched\nfetched\n"


def test_dependencies_are_names_without_the_rest(apt: debian.Apt) -> None:
    assert apt.dependencies("zlib1g") == ("libc6", "zlib1g")
    assert apt.direct("python3") == ("python3-minimal", "python3.11")


def test_a_source_that_does_not_answer_is_no_reason_to_stop(apt: debian.Apt) -> None:
    apt.update()


def test_an_unknown_package_is_told_in_one_sentence(apt: debian.Apt) -> None:
    with pytest.raises(
        recipe.RecipeError, match=r"E: Unable to locate package. Look at this machine's apt sources"
    ):
        apt.direct("python4")


def test_without_apt_the_error_says_where_to_run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(recipe.RecipeError, match=r"apt-get is missing.*Run it on Debian or Ubuntu"):
        debian.Apt(tmp_path / "state", "amd64")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(recipe.RecipeError, match="Name another folder with --out"):
        build.build(
            recipe.PLATFORMS["linux/amd64"], tmp_path / "file/out", build.How(force=True), lambda _: None
        )
