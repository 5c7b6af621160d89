"""What `bunnies init` writes works: its steps that need no AWS are run, its commands are held to the command line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

import reconciler
from reconciler import cli, load, starter
from reconciler.errors import ManifestError

ROOT = Path(__file__).resolve().parents[2]
FILES = {str(path): content.decode() for path, content in starter.files().items()}
WORKFLOWS = sorted(path for path in FILES if path.startswith(".github/workflows/"))
PLACES = ("dev", "prod")


def yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def steps(workflow: str) -> list[dict[str, Any]]:
    jobs = yaml(FILES[workflow])["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def commands(text: str) -> list[list[str]]:
    """The words of every `bunnies …` in a script, a page's `code` or a line of YAML, without redirections."""
    found = re.findall(r"^ *(?:- run: )?(bunnies .+)$|`(bunnies [^`]+)`", text, re.MULTILINE)
    lines = [re.sub(r" [>|].*", "", script or code) for script, code in found]
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    assert cli.run(["init", str(tmp_path)]) == 0
    return tmp_path


def test_it_writes_every_file_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["init", str(tmp_path / "new")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["written"] * len(FILES)
    assert {str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*.*")} >= set(FILES)


def test_it_leaves_alone_what_is_there_unless_it_is_told_to_and_then_says_so(tmp_path: Path) -> None:
    mine = tmp_path / "README.md"
    mine.write_text("mine")
    fates = dict(starter.write(tmp_path))
    assert fates[PurePosixPath("README.md")] == "left alone"
    assert mine.read_text() == "mine"
    assert dict(starter.write(tmp_path, force=True))[PurePosixPath("README.md")] == "overwritten"
    assert set(dict(starter.write(tmp_path)).values()) == {"unchanged"}


def test_a_place_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifests").write_text("a file where a folder should be")
    assert cli.run(["init", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("place", PLACES)
def test_its_manifests_are_valid_with_the_variables_of_each_place(place: str, repository: Path) -> None:
    found = load.load([repository / "manifests"], [repository / "env" / f"{place}.vars.yaml"])
    assert [one.address for one in found.of("Job")] == ["job/hello/world", "job/hello/rabbits", "job/letter"]


def test_both_places_differ_in_variables_alone_and_promotion_is_one_line(repository: Path) -> None:
    variables = [repository / "env" / f"{place}.vars.yaml" for place in PLACES]
    names = [set(yaml(path.read_text())) for path in variables]
    assert names[0] == names[1]
    text, count = re.subn(
        r"^image: .*", "image: debian@sha256:" + "2" * 64, variables[1].read_text(), flags=re.MULTILINE
    )
    assert count == 1
    variables[1].write_text(text)
    (image,) = load.load([repository / "manifests"], variables[1:]).of("Image")
    assert image.body["from"] == "debian@sha256:" + "2" * 64


def test_without_variables_it_says_what_is_missing(repository: Path) -> None:
    with pytest.raises(ManifestError, match="there is no 'owner'"):
        load.load([repository / "manifests"])


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_the_steps_of_a_workflow_that_need_no_aws_run(workflow: str, repository: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    offline = [step["run"] for step in steps(workflow) if "run" in step]
    offline = [run for run in offline if run.startswith("bunnies validate") or "bunnies" not in run]
    for run in offline:
        if not run.startswith(("pip ", "gh ")):
            words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", run]
            subprocess.run(words, cwd=repository, env=environment, check=True, capture_output=True)


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_holds_no_secret_and_hands_credentials_to_no_fork(workflow: str) -> None:
    text = FILES[workflow]
    document = yaml(text)
    assert "secrets." not in text
    assert "pull_request_target" not in text
    assert document["permissions"]["contents"] == "read"
    for job in document["jobs"].values():
        assumes = [step for step in job["steps"] if "configure-aws-credentials" in step.get("uses", "")]
        if assumes and "pull_request" in document.get("on", {}):
            assert "head.repo.full_name == github.repository" in job["if"]


def test_whatever_changes_production_waits_for_its_turn_and_merges_wait_for_the_gate() -> None:
    changing = [
        (workflow, job)
        for workflow in WORKFLOWS
        for job in yaml(FILES[workflow])["jobs"].values()
        if any("bunnies apply" in step.get("run", "") for step in job["steps"])
    ]
    assert len(changing) == 2
    for _, job in changing:
        (run,) = [step["run"] for step in job["steps"] if "bunnies apply" in step.get("run", "")]
        assert " --continue " in run or ' --expect "$DIGEST" ' in run
    for workflow, job in changing:
        assert job["concurrency"] == {"group": "bunnies-prod", "cancel-in-progress": False}
        assert workflow.endswith("continue.yaml") or job["environment"] == "production"


ALL = [(path, words) for path, text in FILES.items() for words in commands(text)]
DOCS = [
    (path.name, words)
    for path in [ROOT / "docs/gitops.md", ROOT / "docs/operations.md", ROOT / "docs/recipes.md"]
    for words in commands(path.read_text())
]


@pytest.mark.parametrize(
    ("path", "words"), ALL + DOCS, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_every_command_that_is_written_there_parses(path: str, words: list[str]) -> None:
    name, *arguments = words[1:]
    command = cli.bunnies.get_command(click.Context(cli.bunnies), name)
    assert command is not None, f"{path}: there is no command {name}"
    if arguments:  # a bare name in a page is the command itself
        command.make_context(name, arguments)


def test_the_wheel_that_it_asks_for_is_this_versions() -> None:
    assert f"/bunnies-{reconciler.__version__}-py3-none-any.whl\n" in FILES["requirements.txt"]
