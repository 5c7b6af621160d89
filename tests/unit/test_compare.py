"""`bunnies diff`: the files of tests/cases/diff as JSON and as YAML, and files that are none."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler import cli, diff
from reconciler.canonical import given, normalised

CASES = YAML(typ="safe").load((Path(__file__).parents[1] / "cases/diff/files.yaml").read_text("utf-8"))


def as_json(document: Any) -> str:
    return json.dumps(document)


def as_yaml(document: Any) -> str:
    out = io.StringIO()
    YAML(typ="safe").dump(json.loads(json.dumps(document)), out)
    return out.getvalue()


@pytest.mark.parametrize("written", [as_json, as_yaml])
@pytest.mark.parametrize("case", CASES, ids=[case["it"] for case in CASES])
def test_two_files(
    case: dict[str, Any], written: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, right = tmp_path / "left", tmp_path / "right"
    left.write_text(written(case["left"]), "utf-8")
    right.write_text(written(case["right"]), "utf-8")
    code = cli.run(["diff", "--kind", case["kind"], str(left), str(right)])
    assert capsys.readouterr().out.splitlines() == case["says"]
    assert code == (2 if case["says"] else 0)


@pytest.mark.parametrize("case", CASES, ids=[case["it"] for case in CASES])
def test_what_was_normalised_away_is_told_with_its_rule(case: dict[str, Any]) -> None:
    one, other = given.BY_KIND[case["kind"]](case["left"], case["right"])
    found = normalised.between(one.body, other.body, diff.compare(one.spec, other.spec))
    rules = {item.path: item.rule for item in found}
    for path, words in case.get("normalised", {}).items():
        assert words in rules[path]
    if "normalised" in case:
        assert rules.keys() == case["normalised"].keys()


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("task-definition", None, "no such file"),
        ("task-definition", "a: [", "left"),
        ("task-definition", "3", "a task definition is a mapping"),
        ("task-definition", "", "0 documents"),
        ("task-definition", "{}", "no containerDefinitions"),
        ("task-definition", '{"containerDefinitions": "x"}', "list of mappings"),
        ("task-definition", '["x"]', "list of mappings"),
        ("lifecycle-policy", '{"Statement": []}', "no rules"),
        ("lifecycle-policy", '{"rules": 3}', "list of mappings"),
        ("lifecycle-policy", "[1]", "an object"),
        ("repository-policy", '{"Statement": ["x"]}', "list of mappings"),
        ("repository-policy", '{"policyText": "{"}', "not JSON"),
        ("lifecycle-policy", "[" * 5000, "left"),
    ],
)
def test_a_file_that_is_none_is_exit_1(
    kind: str, content: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = tmp_path / "left"
    if content is not None:
        left.write_text(content)
    assert cli.run(["diff", "--kind", kind, str(left), str(left)]) == 1
    told = capsys.readouterr().err
    assert words in told
    assert "defect" not in told


def test_verbose_shows_the_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left, right = tmp_path / "l.json", tmp_path / "r.json"
    left.write_text('[{"name": "a", "image": "x", "essential": true}]')
    right.write_text('[{"name": "a", "image": "x"}]')
    assert cli.run(["diff", "--kind", "task-definition", "-v", str(left), str(right)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "= containerDefinitions[a].essential: true, (none)  (the default, said or left out)\n"
    assert shown.err == "equivalent\n"


def test_wrong_usage_is_exit_1() -> None:
    assert cli.run(["diff", "--kind", "cluster", "a", "b"]) == 1
    assert cli.run(["diff", "a", "b"]) == 1
