"""The command line: what it says and how it leaves, without AWS."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler import cli
from reconciler.cli import reconcile
from reconciler.model import Decision, Job, JobDecision, Outcome, Status
from reconciler.render import text

SETTINGS = "kind: Settings\nname: lab\nregion: us-east-1\ncluster: lab\nbucket: lab-bucket\n"


def test_the_version_needs_neither_boto3_nor_docker_nor_rich() -> None:
    code = (
        "import sys; from reconciler import cli; assert cli.run(['--version']) == 0; "
        "print(sorted({'boto3', 'botocore', 'docker', 'rich', 'jinja2', 'ruamel', 'jsonschema', 'deepdiff'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"bunnies \d+\.\d+\.\d+\n\[\]\n", done.stdout)


@pytest.mark.parametrize(
    "command", ["validate", "plan", "apply", "status", "outputs", "get", "logs", "stop", "retry"]
)
def test_every_command_has_help_that_ends_well(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--vars FILE" in shown
    assert "Usage: bunnies" in shown


@pytest.mark.parametrize(
    "words", [["frob"], ["plan", "--frob"], ["plan", "-e", "novalue"], ["logs"], ["schema", "Nope"]]
)
def test_wrong_usage_is_exit_1(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(words) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_mistakes_in_manifests_are_told_with_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(SETTINGS + "---\nkind: Repository\nname: rr\ncolour: red\n")
    (tmp_path / "b.yaml").write_text("kind: Image\nname: i\nfrom: x\nrepository: nope\n")
    monkeypatch.chdir(tmp_path)
    assert cli.run(["validate"]) == 1
    told = capsys.readouterr().err
    assert re.search(r"^a\.yaml:9:\d+: repository/rr: .*colour", told, re.MULTILINE)
    assert re.search(r"^b\.yaml:4:\d+: image/i: .*nope", told, re.MULTILINE)
    assert told.endswith("2 problems in the manifests\n")


def test_manifests_in_order_are_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(SETTINGS + "---\nkind: Repository\nname: rr\n")
    monkeypatch.chdir(tmp_path)
    assert cli.run(["validate"]) == 0
    assert capsys.readouterr().err == "valid: 1 manifest of owner lab\n"


def test_a_defect_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BUNNIES_TRACEBACK", raising=False)
    assert cli.refused(ZeroDivisionError("division by zero")) == 1
    assert "this is a defect in bunnies: ZeroDivisionError" in capsys.readouterr().err
    monkeypatch.setenv("BUNNIES_TRACEBACK", "1")
    assert cli.refused(ZeroDivisionError()) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def outcome(status: Status, action: str = "create") -> Outcome:
    return Outcome("repository/r", action, status)


FAILED_JOB = (JobDecision(Job("job/j", "0" * 64, {}, {}), Decision.FAILED, "", 1),)


@pytest.mark.parametrize(
    ("told", "failed", "wait", "code"),
    [
        ([outcome(Status.CHANGED)], (), True, 0),
        ([outcome(Status.CHANGED), outcome(Status.FAILED)], (), True, 3),
        ([outcome(Status.UNCHANGED), outcome(Status.FAILED)], (), True, 1),
        ([outcome(Status.LAUNCHED), outcome(Status.FAILED, "finish")], FAILED_JOB, True, 7),
        ([outcome(Status.LAUNCHED), outcome(Status.FAILED, "finish")], FAILED_JOB, False, 0),
        ([outcome(Status.CHANGED), outcome(Status.SKIPPED)], FAILED_JOB, True, 3),
        ([outcome(Status.FAILED)], FAILED_JOB, True, 1),
        (
            [outcome(Status.LAUNCHED), outcome(Status.FAILED, "finish"), outcome(Status.SUCCEEDED, "finish")],
            (),
            True,
            0,
        ),
    ],
)
def test_exit_code_of_an_apply(
    told: list[Outcome], failed: tuple[JobDecision, ...], wait: bool, code: int
) -> None:
    assert reconcile.exit_code(told, failed, wait=wait) == code


def test_secrets_in_clear_are_noted_without_their_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = "kind: TaskDefinition\nname: t\ncontainerDefinitions:\n"
    task += "  - {name: m, image: 'b:1', memory: 8, environment: [{name: DB_PASSWORD, value: hunter22}]}\n"
    (tmp_path / "a.yaml").write_text(f"{SETTINGS}---\n{task}")
    monkeypatch.chdir(tmp_path)
    assert cli.run(["validate"]) == 0
    told = capsys.readouterr().err
    assert told.startswith(
        "note: a.yaml:7:1: taskdefinition/t: DB_PASSWORD looks secret and stands in clear in ECS."
    )
    assert "hunter22" not in told


def run_in_shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`line` in a shell where `$BUNNIES` is the command."""
    bunnies = f"{shlex.quote(sys.executable)} -c 'from reconciler.cli import main; main()'"
    return subprocess.run(
        ["/bin/sh", "-c", line.replace("$BUNNIES", bunnies)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("$BUNNIES schema >/dev/full", 1, "error: standard output: No space left on device\n"),
        ("$BUNNIES schema >&-", 0, ""),
        ("$BUNNIES schema 2>&- >/dev/null", 0, ""),
        ("$BUNNIES schema | true", 0, ""),
    ],
)
def test_streams_that_take_nothing_leave_no_traceback(
    tmp_path: Path, line: str, code: int, told: str
) -> None:
    done = run_in_shell(line, tmp_path)
    assert (done.returncode, done.stderr) == (code, told)


def test_the_folder_that_one_stands_in_is_no_secret(tmp_path: Path) -> None:
    folder = tmp_path / "a folder of some length"
    folder.mkdir()
    (folder / "a.yaml").write_text("kind: Nope\n")
    done = run_in_shell('PWD="$(pwd)" $BUNNIES validate "$(pwd)/a.yaml"', folder)
    assert done.returncode == 1
    assert f"{folder}/a.yaml:1:7: Nope is not a kind" in done.stderr


def test_of_a_jobs_attempts_the_last_one_counts_in_the_recap() -> None:
    told = [
        Outcome("job/a", "launch", Status.LAUNCHED),
        Outcome("job/a", "finish", Status.FAILED),
        Outcome("job/a", "launch", Status.LAUNCHED),
        Outcome("job/a", "finish", Status.SUCCEEDED),
        Outcome("job/b", "finish", Status.FAILED),
    ]
    counts = text.counts(told, 0)
    assert (counts["launched"], counts["succeeded"], counts["failed"]) == (2, 1, 1)
