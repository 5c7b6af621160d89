"""docs/mistakes.md says what is printed: each of its commands is run, on moto.

`python -m tests.aws.test_docs_mistakes` writes what is printed now into the page.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from pathlib import Path

import moto
import pytest

from reconciler import cli
from reconciler.aws import Aws

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"
FILE = re.compile(r"^```\w+ title=(\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"(?<=^```console\n)(.*?)(?=^```)", re.MULTILINE | re.DOTALL)
LEFT_OUT = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY")


def sections() -> dict[str, str]:
    parts = re.split(r"^(?=## )", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return {part.partition("\n")[0]: part for part in parts}


def transcript(section: str, common: str) -> str:
    """What a terminal shows of the commands of a section, in an account and a folder of their own."""
    lines = []
    with moto.mock_aws(), tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        aws = Aws("us-east-1")
        aws.call("s3", "CreateBucket", Bucket="lab-bucket")
        for name, text in (*FILE.findall(common), *FILE.findall(section)):
            Path(name).write_text(text, "utf-8")
        found = CONSOLE.search(section)
        assert found
        for line in found[1].splitlines():
            if line.startswith("$ "):
                lines.append(line + "\n" + run(aws, shlex.split(line[2:])))
    return "".join(lines)


def shown(section: str, common: str) -> str:
    """The section with what its commands print now."""
    text = transcript(section, common)
    return CONSOLE.sub(lambda _: text, section)


def run(aws: Aws, words: list[str]) -> str:
    """What a command prints, and its exit code where that is not 0."""
    if words[0] == "aws":
        operation = "".join(part.capitalize() for part in words[2].split("-"))
        names = [re.sub("-(.)", lambda m: m[1].upper(), word[2:]) for word in words[3::2]]
        aws.call(words[1], operation, **dict(zip(names, words[4::2], strict=True)))
        return ""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = cli.run(words[1:])
    return printed.getvalue() + (f"(exit code {code})\n" if code else "")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LEFT_OUT:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("title", [title for title in sections() if title.startswith("## ")])
def test_the_page_says_what_is_printed(title: str) -> None:
    found = sections()
    stands = CONSOLE.search(found[title])
    assert stands
    common = next(text for name, text in found.items() if name.startswith("# "))
    assert stands[1] == transcript(found[title], common)


if __name__ == "__main__":
    for name in LEFT_OUT:
        os.environ.pop(name, None)
    parts = sections()
    head = next(text for name, text in parts.items() if name.startswith("# "))
    PAGE.write_text(
        "".join(shown(part, head) if title.startswith("## ") else part for title, part in parts.items()),
        "utf-8",
    )
