"""bin/engine, in a folder of its own: it starts a dockerd where it can, and says what is missing where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import engine

SCRIPT = Path(__file__).parent.parent.parent / "bin" / "engine"


class Checkout:
    """A copy of bin/engine whose DOCKER_HOST is its own socket, so that no other engine will do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir(parents=True)
        shutil.copy(SCRIPT, root / "bin" / "engine")
        mark = subprocess.run(["cksum"], input=str(root), capture_output=True, text=True, check=True)
        self.run_folder = Path(f"/run/bunnies-{mark.stdout.split()[0]}")
        self.host = f"unix://{self.run_folder}/docker.sock"

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "bin" / "engine"), command],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "DOCKER_HOST": self.host},
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout((tmp_path / "check out").resolve())
    yield made
    made.run("down")


def test_up_starts_one_that_down_takes_away_again_or_says_what_to_do(checkout: Checkout) -> None:
    assert checkout.run("status").returncode == 1
    up = checkout.run("up")
    if up.returncode:
        advice = (
            "apt-get install docker.io",
            "dockerd does not start here",
            "set DOCKER_HOST",
            "Docker Desktop",
        )
        assert any(words in up.stderr for words in advice), up.stderr
        return
    again = checkout.run("up")
    assert again.stderr == f"Docker engine: {checkout.host}\n"
    assert checkout.run("status").stdout == f"{checkout.host} (started by bin/engine)\n"
    assert checkout.run("env").stdout == f"export DOCKER_HOST='{checkout.host}'\n"
    found = engine.connect({}, checkout.root) if not Path("/var/run/docker.sock").exists() else None
    if found is not None:
        assert found.host == checkout.host
        found.close()
    down = checkout.run("down")
    assert "stopped" in down.stderr
    assert not checkout.run_folder.exists()
    assert str(checkout.run_folder) not in Path("/proc/mounts").read_text()
    assert checkout.run("down").returncode == 0


def test_a_wrong_word_and_none_are_told_how_to_use_it(checkout: Checkout) -> None:
    for word in ("", "start"):
        done = checkout.run(word)
        assert (done.returncode, done.stderr) == (1, "bin/engine: usage: bin/engine up|down|status|env\n")


def test_an_engine_that_is_named_and_does_not_answer_is_not_replaced() -> None:
    done = subprocess.run(
        [str(SCRIPT), "up"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
    )
    assert done.returncode == 1
    assert "Start it, or unset DOCKER_HOST" in done.stderr
