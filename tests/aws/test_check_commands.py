"""verify and iam-policy as a person or a script meets them: words, JSON, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import moto
import pytest

from reconciler import cli

SETTINGS = """\
kind: Settings
name: lab
region: us-east-1
account: "123456789012"
cluster: lab
bucket: lab-bucket
"""


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    with moto.mock_aws():
        yield


def test_each_finding_is_a_line_with_what_to_do_and_the_count_is_talk(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["verify"]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "ok    account: 123456789012",
        "fail  cluster lab: is not there. Run `bunnies bootstrap`.",
        "fail  bucket lab-bucket: is not there. Run `bunnies bootstrap`.",
    ]
    assert told.err == "1 ok, 0 to look at, 2 that would fail\n"


def test_once_all_is_there_it_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bootstrap", "--yes"]) == 0
    capsys.readouterr()
    assert cli.run(["verify"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {"ok"}


def test_json_has_the_findings_and_their_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["verify", "--json", "-e", "x=1"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["summary"] == {"ok": 1, "warn": 0, "fail": 2}
    assert document["findings"][1] == {
        "level": "fail",
        "about": "cluster lab",
        "what": "is not there",
        "do": "Run `bunnies bootstrap`.",
    }


def test_another_account_is_a_finding_and_nothing_else_is_looked_at(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("settings.yaml").write_text(SETTINGS.replace("123456789012", "210987654321"))
    assert cli.run(["verify"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "fail  account: the credentials are for 123456789012, Settings.account is 210987654321."
    )


def test_a_policy_is_json_on_stdout_and_asks_nothing_of_aws(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["iam-policy", "plan"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["Version"] == "2012-10-17"
    assert told.err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobody"], "is not one of"),
        (["plan", "--role", "x"], "--role goes with task and execution"),
        (["task", "--role", "x"], "the manifests name no task role x"),
    ],
)
def test_wrong_usage_of_iam_policy_is_one_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["iam-policy", *words]) == 1
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
