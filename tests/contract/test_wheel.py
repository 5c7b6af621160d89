"""The wheel that is released: built here, installed into a fresh environment, and run from somewhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import reconciler

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = """\
kind: Settings
name: lab
region: us-east-1
cluster: lab
bucket: lab-bucket
---
kind: Repository
name: tools
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without isolation and without an index: what builds it is in this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The `bunnies` of an environment that has the wheel, and this one's libraries, but not this checkout."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    site = next(home.glob("lib/python*/site-packages"))
    libraries = sysconfig.get_path("purelib")
    # appended after the wheel's own place; a .pth in that folder (the editable checkout's) is not followed
    (site / "libraries.pth").write_text(f"{libraries}\n")
    words = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run([*words, "--quiet"], check=True, capture_output=True)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "lab.yaml").write_text(MANIFESTS)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))
    }

    def run(*words: str, program: str = "bunnies") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [home / "bin" / program, *words],
            cwd=elsewhere,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )

    return run


def test_it_is_of_this_version_and_carries_what_runs_need(wheel: Path) -> None:
    assert wheel.name == f"bunnies-{reconciler.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    schemas = {f"reconciler/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    layers = {f"shim/layers/{path.name}" for path in (ROOT / "shim" / "layers").glob("linux-*")}
    assert schemas | {"shim/layers/linux-amd64.json", "shim/layers/linux-amd64.tar.gz"} <= names
    assert layers <= names
    assert {name.split("/")[0] for name in names} == {
        "reconciler",
        "shim",
        f"bunnies-{reconciler.__version__}.dist-info",
    }


def test_it_runs_by_itself_and_not_from_the_checkout(installed: Run) -> None:
    where = installed(
        "-c", "import reconciler, shim; print(reconciler.__file__, shim.__file__)", program="python"
    )
    assert str(ROOT / "reconciler") not in where.stdout
    assert where.stdout.count("environment") == 2, where.stderr
    assert installed("--version").stdout == f"bunnies {reconciler.__version__}\n"


def test_it_validates_with_the_schemas_that_it_carries(installed: Run) -> None:
    done = installed("validate")
    assert (done.returncode, done.stderr) == (0, "valid: 1 manifest of owner lab\n")
    printed = json.loads(installed("schema").stdout)
    assert printed == json.loads((ROOT / "schemas" / "manifest.schema.json").read_text("utf-8"))


def test_it_finds_the_layer_that_it_carries(installed: Run) -> None:
    code = "from reconciler import layer; print(layer.find('linux/amd64').digest)"
    done = installed("-c", code, program="python")
    stored = json.loads((ROOT / "shim" / "layers" / "linux-amd64.json").read_text())
    assert done.stdout.strip() in stored.values(), done.stderr


def test_it_writes_a_starter_that_it_finds_valid(installed: Run) -> None:
    assert installed("init", "starter").returncode == 0
    done = installed("validate", "starter/manifests", "--vars", "starter/env/dev.vars.yaml")
    assert done.returncode == 0, done.stderr
