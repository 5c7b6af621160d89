"""plan and apply through the command line, on moto: what binds one to the other, and what they leave behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import moto
import pytest
from jsonschema import Draft202012Validator

from reconciler import cli, schema
from reconciler.aws import Aws

SETTINGS = """\
kind: Settings
name: lab
region: us-east-1
account: "123456789012"
cluster: lab
bucket: lab-bucket
"""
TOOLS = """\
---
kind: Repository
name: tools
imageTagMutability: IMMUTABLE
"""
TASK = """\
---
kind: TaskDefinition
name: task
cpu: 256
memory: 512
containerDefinitions:
  - name: main
    image: busybox:1
    environment: [{name: THREADS, value: "4"}]
"""
MORE = "---\nkind: Repository\nname: more\n"


@dataclass(frozen=True)
class Desk:
    """A folder of manifests, an account of moto's, and the command line between them."""

    folder: Path
    aws: Aws
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = cli.run(list(words))
        out, err = self.capture.readouterr()
        assert "Traceback" not in err
        return code, out, err

    def write(self, text: str, name: str = "lab.yaml") -> None:
        (self.folder / name).write_text(text)

    def plan(self, *words: str) -> dict[str, Any]:
        code, out, err = self("plan", "--json", *words)
        assert code == 0, err
        made: dict[str, Any] = json.loads(out)
        return made

    def repositories(self) -> set[str]:
        answer = self.aws.call("ecr", "DescribeRepositories")
        return {one["repositoryName"] for one in answer["repositories"]}

    def set_mutability(self, name: str, word: str) -> None:
        self.aws.call("ecr", "PutImageTagMutability", repositoryName=name, imageTagMutability=word)


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.chdir(tmp_path)
    with moto.mock_aws():
        aws = Aws("us-east-1")
        aws.call("s3", "CreateBucket", Bucket="lab-bucket")
        aws.call("ecs", "CreateCluster", clusterName="lab")
        yield Desk(tmp_path, aws, capsys)


def matches(document: Any, definition: str = "") -> list[str]:
    whole = schema.document("plan")
    wanted = {"$defs": whole["$defs"], **(whole["$defs"][definition] if definition else whole)}
    return [error.message for error in Draft202012Validator(wanted).iter_errors(document)]


def test_a_plan_in_a_file_is_applied_and_then_nothing_is_left_to_do(desk: Desk) -> None:
    desk.write(SETTINGS + TOOLS + TASK)
    code, out, err = desk("plan", "--out", "plan.json", "--detailed-exitcode")
    assert (code, out.splitlines()[-1]) == (2, "Plan: 2 to create, 0 unchanged.")
    assert "bunnies apply plan.json" in err
    document = json.loads((desk.folder / "plan.json").read_text())
    assert matches(document) == []
    assert document["complete"] is True
    assert document["made_from"]["paths"] == []
    assert document["plan_digest"] == desk.plan()["plan_digest"]
    code, out, err = desk("apply", "plan.json", "--yes")
    assert code == 0, err
    assert re.search(r"^changed   repository/tools  created  123456789012\.dkr\.ecr", out, re.MULTILINE)
    assert out.endswith(
        "RECAP ok=2 changed=2 unchanged=0 skipped=0 failed=0 | launched=0 adopted=0 cached=0 succeeded=0\n"
    )
    assert desk("plan", "--detailed-exitcode")[:2] == (0, "Nothing to do: 2 resources unchanged.\n")
    assert desk("apply", "plan.json", "--yes")[0] == 0  # what is done stays done


def test_what_moved_since_the_plan_is_refused_and_the_rest_goes_on(desk: Desk) -> None:
    desk.write(SETTINGS + TOOLS)
    assert desk("apply", "--yes")[0] == 0
    desk.write(SETTINGS + TOOLS.replace("IMMUTABLE", "IMMUTABLE\ntags: {team: genomics}") + MORE)
    assert desk("plan", "--out", "plan.json")[0] == 0
    desk.set_mutability("tools", "MUTABLE")
    code, out, err = desk("apply", "plan.json", "--yes")
    assert code == 4, err
    assert re.search(
        r"^failed +repository/tools .*changed since the plan was made: imageTagMutability", out, re.MULTILINE
    )
    assert "more" in desk.repositories()
    assert "changed=1" in out
    assert "1 refused" in err
    (change,) = desk.plan()["changes"]
    assert {field["path"] for field in change["fields"]} == {"imageTagMutability", "tags[team]"}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda plan: plan | {"plan_digest": "sha256:" + "0" * 64}, "has been edited"),
        (lambda plan: {key: value for key, value in plan.items() if key != "plan_digest"}, "is missing"),
        (lambda plan: plan | {"plan_digest": "yes"}, "is not the digest of a plan"),
        (lambda plan: plan | {"changes": []}, "has been edited"),
        (lambda plan: {key: value for key, value in plan.items() if key != "changes"}, "cannot be verified"),
        (lambda plan: plan | {"owner": "other"}, "has been edited"),
    ],
)
def test_a_plan_whose_digest_does_not_fit_is_refused(
    desk: Desk, edit: Callable[[dict[str, Any]], dict[str, Any]], words: str
) -> None:
    desk.write(SETTINGS + TOOLS)
    desk("plan", "--out", "plan.json")
    path = desk.folder / "plan.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    code, _, err = desk("apply", "plan.json", "--yes")
    assert (code, desk.repositories()) == (4, set())
    assert words in err


@pytest.mark.parametrize("digest", ["", "yes", "sha256:" + "0" * 64])
def test_a_digest_that_is_missing_or_another_is_refused(desk: Desk, digest: str) -> None:
    desk.write(SETTINGS + TOOLS)
    code, _, err = desk("apply", "--yes", "--expect", digest)
    assert (code, desk.repositories()) == (4, set())
    assert "digest" in err or digest in err


def test_the_digest_that_was_approved_lets_its_plan_through_and_no_other(desk: Desk) -> None:
    desk.write(SETTINGS + TOOLS)
    digest = desk.plan()["plan_digest"]
    desk.write(SETTINGS + TOOLS + MORE)
    assert desk("apply", "--yes", "--expect", digest)[0] == 4
    desk.write(SETTINGS + TOOLS)
    assert desk("apply", "--yes", "--expect", digest)[0] == 0
    assert desk.repositories() == {"tools"}


def test_what_the_manifests_want_otherwise_by_now_is_not_what_was_approved(desk: Desk) -> None:
    desk.write(SETTINGS + TOOLS)
    desk("plan", "--out", "plan.json")
    desk.write(SETTINGS + TOOLS.replace("IMMUTABLE", "MUTABLE") + MORE)
    code, out, _ = desk("apply", "plan.json", "--yes")
    assert (code, desk.repositories()) == (4, set())
    assert "the manifests want it otherwise" in out
    assert re.search("failed +repository/more .*in the approved plan", out)


def test_a_plan_file_stands_alone(desk: Desk) -> None:
    desk.write(SETTINGS + TOOLS)
    desk("plan", "--out", "plan.json")
    assert desk("apply", "plan.json", "--yes", "--prune")[0] == 1
    assert desk("apply", "plan.json", "lab.yaml", "--yes")[0] == 1
    assert desk("apply", "lab.json", "--yes")[0] == 1
    assert desk("plan", "--fast", "--out", "plan.json")[0] == 1


def test_a_limited_plan_says_so_and_does_no_more(desk: Desk) -> None:
    desk.write(SETTINGS + TOOLS + MORE + TASK)
    made = desk.plan("--limit", "repository/*", "--exclude", "repository/more")
    assert (made["complete"], made["limit"], made["exclude"]) == (
        False,
        ["repository/*"],
        ["repository/more"],
    )
    assert [change["address"] for change in made["changes"]] == ["repository/tools"]
    assert matches(made) == []
    _, out, _ = desk("plan", "--limit", "repository/*", "--exclude", "repository/more", "--out", "plan.json")
    assert out.endswith("0 unchanged. Not complete: --limit repository/* --exclude repository/more.\n")
    assert desk("apply", "plan.json", "--yes")[0] == 0
    assert desk.repositories() == {"tools"}
    assert desk("apply", "--yes", "--limit", "taskdefinition/task")[0] == 0
    assert desk.repositories() == {"tools"}


def test_a_limit_that_matches_nothing_is_a_mistake(desk: Desk) -> None:
    desk.write(SETTINGS + TOOLS)
    code, _, err = desk("plan", "--limit", "repository/tool")
    assert code == 1
    assert "Did you mean repository/tools?" in err


def test_apply_tells_machines_one_event_a_line(desk: Desk) -> None:
    desk.write(SETTINGS + TOOLS + TASK)
    code, out, _ = desk("apply", "--yes", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [wrong for event in events for wrong in matches(event, "event")] == []
    kinds = [event["type"] for event in events]
    assert (kinds[:2], kinds[-1]) == (["version", "planned"], "summary")
    begun = [event["address"] for event in events if event["type"] == "start"]
    ended = [event["address"] for event in events if event["type"] == "complete"]
    assert begun == ended == ["repository/tools", "taskdefinition/task"]
    assert events[-1]["changed"] == 2


def test_several_reports_come_of_one_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = desk.folder / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    desk.aws.call("ecr", "CreateRepository", repositoryName="tools")
    desk.write(SETTINGS + TOOLS + MORE)
    (desk.folder / "out").mkdir()
    words = ("--markdown", "out/plan.md", "--junit", "out/plan.xml", "--out", "out/plan.json")
    made = desk.plan(*words)
    digest = made["plan_digest"]
    page = (desk.folder / "out/plan.md").read_text()
    assert page.startswith(f"<!-- bunnies plan owner=lab digest={digest} -->\n")
    assert "<details open><summary>In conflict: 1</summary>" in page
    assert summary.read_text() == page
    cases = ElementTree.parse(desk.folder / "out/plan.xml").getroot().iter("testcase")
    assert {case.get("name"): case.find("failure") is not None for case in cases} == {
        "repository/tools": True,
        "repository/more": False,
    }
    assert json.loads((desk.folder / "out/plan.json").read_text()) == made
    _, out, err = desk("plan")
    assert re.search(
        r"^::error file=lab\.yaml,line=8,col=1,title=repository/tools%3A conflict::", err, re.MULTILINE
    )
    assert "::" not in out
    code, _, err = desk("apply", "--yes", "--markdown", "out/apply.md", "--junit", "out/apply.xml")
    assert code == 3
    assert "::error file=lab.yaml,line=8" in err
    assert "Failed or skipped: 1" in (desk.folder / "out/apply.md").read_text()
    assert 'failures="1"' in (desk.folder / "out/apply.xml").read_text()


def test_mistakes_in_manifests_are_annotated_on_github(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    desk.write(
        SETTINGS + "".join(f"---\nkind: Repository\nname: r{number}\ncolour: red\n" for number in range(12))
    )
    code, _, err = desk("validate")
    assert code == 1
    assert len(re.findall(r"^::error file=lab\.yaml,line=\d+", err, re.MULTILINE)) == 10
    assert err.endswith("12 problems in the manifests\n")
