"""What a plan looks like in terminals of all kinds, and where there is none: real ones, made with pty."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

MANIFESTS = """\
kind: Settings
name: lab
region: us-east-1
cluster: lab
bucket: lab-bucket
---
kind: Repository
name: tools/with/a/name/that/is/as/long/as/the/names/of/repositories/tend/to/be/in/a/lab
imageTagMutability: IMMUTABLE
tags: {team: a team with a name of many words that goes on and on until the line of a narrow terminal is full}
"""
PLAIN = "from reconciler.cli import main; main()"
MOTO = """\
import sys, moto
from reconciler import cli
from reconciler.aws import Aws
with moto.mock_aws():
    aws = Aws("us-east-1")
    aws.call("s3", "CreateBucket", Bucket="lab-bucket")
    tags = [{"Key": "bunnies:owner", "Value": "lab"}, {"Key": "old", "Value": "x"}]
    name = "tools/with/a/name/that/is/as/long/as/the/names/of/repositories/tend/to/be/in/a/lab"
    aws.call("ecr", "CreateRepository", repositoryName=name, tags=tags)
    sys.exit(cli.run(sys.argv[1:]))
"""
LONG = "words that go on and on until a line of a narrow terminal is full, and the next one too"
DIFF = ("diff", "--kind", "task-definition", "one.json", "two.json")
FIELD = "containerDefinitions[main].environment[WORDS]: "
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lab.yaml").write_text(MANIFESTS)
    for name, value in (("one", "1"), ("two", LONG)):
        container = {"name": "main", "image": "busybox", "environment": [{"name": "WORDS", "value": value}]}
        document = json.dumps({"family": "task", "containerDefinitions": [container]})
        (tmp_path / f"{name}.json").write_text(document)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    left_out = (
        "NO_COLOR",
        "FORCE_COLOR",
        "GITHUB_ACTIONS",
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL",
        "PYTHONIOENCODING",
    )
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "TERM": "xterm-256color", "COLUMNS": "80", "PYTHONUTF8": "1", **more}


def in_terminal(folder: Path, *words: str, code: str = PLAIN, **more: str) -> str:
    """Everything that a terminal is sent."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env=environment(**more),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        sent = b""
        try:
            while data := os.read(ours, 4096):
                sent += data
        except OSError:  # the other end is closed
            pass
        os.close(ours)
    return sent.decode("utf-8", "replace").replace("\r\n", "\n")


def piped(folder: Path, *words: str, code: str = PLAIN, **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env=environment(**more),
        check=False,
        capture_output=True,
    )


@pytest.mark.parametrize("columns", ["80", "200"])
def test_lines_fit_the_terminal_and_lose_nothing(folder: Path, columns: str) -> None:
    sent = in_terminal(folder, *DIFF, COLUMNS=columns)
    assert COLOUR.search(sent)
    lines = CONTROL.sub("", sent).splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert " ".join(" ".join(lines).split()) == f'{FIELD}"1" → "{LONG}"'


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_goes_where_nobody_wants_it(folder: Path, more: dict[str, str]) -> None:
    sent = in_terminal(folder, *DIFF, **more)
    assert not COLOUR.search(sent)
    assert FIELD in sent


def test_off_a_terminal_nothing_is_folded_and_nothing_painted(folder: Path) -> None:
    done = piped(folder, *DIFF, COLUMNS="40")
    assert done.stdout.decode() == f'{FIELD}"1" → "{LONG}"\n'


def test_plain_ascii_where_a_stream_takes_no_more(folder: Path) -> None:
    ascii_only = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = piped(folder, *DIFF, **ascii_only)
    assert done.stdout.decode("ascii") == f'{FIELD}"1" -> "{LONG}"\n'
    assert piped(folder, "validate", **ascii_only).stderr == b"valid: 1 manifest of owner lab\n"


def test_what_is_going_on_is_shown_in_a_terminal_and_nowhere_else(folder: Path) -> None:
    sent = in_terminal(folder, "plan", code=MOTO)
    assert "reading repository" in sent
    assert "Plan: 1 to update, 0 unchanged." in sent
    dumb = in_terminal(folder, "plan", code=MOTO, TERM="dumb")
    assert not CONTROL.search(dumb)
    assert "reading" not in dumb
    done = piped(folder, "plan", code=MOTO)
    assert (done.stderr, done.stdout.splitlines()[-1]) == (b"", b"Plan: 1 to update, 0 unchanged.")
    assert b"\x1b" not in done.stdout


def test_without_a_terminal_there_is_no_question(folder: Path) -> None:
    done = piped(folder, "apply", code=MOTO)
    assert done.returncode == 1
    assert b"bunnies apply --yes" in done.stderr
