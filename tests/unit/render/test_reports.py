"""Markdown, JUnit and annotations: what CI shows of a plan, whatever stands in it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from reconciler.model import (
    Action,
    Change,
    Decision,
    FieldDiff,
    Job,
    JobDecision,
    Outcome,
    Plan,
    Source,
    Status,
)
from reconciler.redact import Redactor
from reconciler.render import github, junit, markdown, text

DIGEST = "sha256:" + "1" * 64
NASTY = "</details><script>alert(1)</script> ``` ~~~ @everyone\x00\x1b[31m %0A::error::x ]]> & \"'"


def change(address: str, action: Action = Action.CREATE, why: str = "", value: str = "v") -> Change:
    return Change(
        address, action, None, None, (FieldDiff("tags[x]", "", value),), why, Source("a, b:c.yaml", 3, 1)
    )


def decision(address: str, made: Decision, why: str = "new") -> JobDecision:
    return JobDecision(Job(address, "0" * 64, {}, {}, source=Source("j.yaml", 9, 1)), made, why, 1)


def plan(*changes: Change, jobs: tuple[JobDecision, ...] = ()) -> Plan:
    return Plan("lab", changes, jobs, DIGEST)


def test_the_marker_comes_first_and_the_summary_before_all_details() -> None:
    page = markdown.plan(plan(change("repository/r"), jobs=(decision("job/j", Decision.RUN),)))
    lines = page.splitlines()
    assert lines[0] == f"<!-- bunnies plan owner=lab digest={DIGEST} -->"
    assert lines[3] == "**Plan: 1 to create, 0 unchanged; jobs: 1 RUN.**"
    assert re.findall(r"<summary>(.*)</summary>", page) == ["To create: 1", "Jobs: 1"]


def test_what_stands_in_a_manifest_stays_text() -> None:
    page = markdown.plan(plan(change("repository/r", Action.UPDATE, value=NASTY)))
    fence = re.search(r"^(`{4,})diff\n.*^\1$", page, re.MULTILINE | re.DOTALL)
    assert fence
    assert "<script>" not in page.replace(fence[0], "")


@pytest.mark.parametrize("sections", [1, 2])
def test_a_page_is_cut_by_section_and_keeps_its_summary(sections: int) -> None:
    changes = [change(f"repository/{n}", Action.UPDATE, value="x" * 90) for n in range(2000)]
    changes += [change(f"repository/c{n}", Action.CONFLICT, "theirs") for n in range(9 * (sections - 1))]
    page = markdown.plan(plan(*changes, jobs=(decision("job/j", Decision.RUN),)))
    assert 40_000 < len(page) <= markdown.LARGEST
    assert "**Plan: 2000 to update" in page
    assert page.count("<details") == page.count("</details>") == sections + 1
    assert re.search(r"… and \d+ more lines", page)
    assert page.rstrip().endswith("and nothing else.")
    assert page.count("theirs") == 9 * (sections - 1)


def test_a_page_hides_what_it_is_told() -> None:
    page = markdown.plan(
        plan(change("repository/r", Action.UPDATE, value="hunter22")), (), Redactor().knowing(["hunter22"])
    )
    assert "hunter22" not in page


def test_what_failed_in_an_apply_stands_open() -> None:
    told = [
        Outcome("repository/r", "create", Status.FAILED, "no"),
        Outcome("repository/s", "create", Status.CHANGED),
    ]
    page = markdown.apply(plan(), told, "RECAP ok=1")
    assert "<details open><summary>Failed or skipped: 1</summary>" in page
    assert "<details><summary>Done: 1</summary>" in page


def test_junit_is_xml_whatever_it_says() -> None:
    made = plan(
        change("repository/r", Action.CONFLICT, NASTY),
        jobs=(
            decision("job/a", Decision.FAILED, NASTY),
            decision("job/b", Decision.BLOCKED),
            decision("job/c", Decision.RUN),
        ),
    )
    root = ElementTree.fromstring(junit.plan(made))
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("4", "2", "1")
    failure = root.find(".//testcase[@name='repository/r']/failure")
    assert failure is not None
    assert "<script>" in str(failure.get("message"))


def test_of_several_outcomes_of_a_job_the_last_counts() -> None:
    told = [
        Outcome("job/a", "finish", Status.FAILED, "attempt 1"),
        Outcome("job/a", "finish", Status.SUCCEEDED),
    ]
    assert 'tests="1" failures="0"' in junit.apply("lab", told)


def test_annotations_are_ten_at_most_one_line_each_and_errors_come_first() -> None:
    changes = [change(f"repository/{n}", Action.DELETE) for n in range(20)]
    changes.append(change("repository/c", Action.CONFLICT, "two\nlines 100%"))
    commands = github.plan(plan(*changes, jobs=(decision("job/j", Decision.FAILED, "exit code 3"),)))
    assert len(commands) == 10
    assert commands[0] == (
        "::error file=a%2C b%3Ac.yaml,line=3,col=1,title=repository/c%3A conflict::two%0Alines 100%25"
    )
    assert commands[1].startswith("::error file=j.yaml,line=9,col=1,title=job/j%3A failed::exit code 3")
    assert all(command.startswith("::warning") for command in commands[2:])


def test_an_apply_annotates_what_failed_at_its_manifest() -> None:
    made = plan(change("repository/r"))
    (command,) = github.apply(made, [Outcome("repository/r", "create", Status.FAILED, "no")])
    assert command == "::error file=a%2C b%3Ac.yaml,line=3,col=1,title=repository/r::no"


def test_jobs_of_one_fate_are_one_line_wherever_they_stand() -> None:
    jobs = [decision(f"job/align/s{n:02}", Decision.RUN, "new" if n % 2 else "late") for n in range(48)]
    lines = ["".join(words for words, _ in line) for line in text.jobs(jobs)]
    assert lines == [
        "> job/align[s00, s02, s04, … s46]  24 RUN  late",
        "> job/align[s01, s03, s05, … s47]  24 RUN  new",
    ]


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (
            Outcome("repository/r", "create", Status.CHANGED, "not there", {"uri": "host/r"}),
            "changed   repository/r  created  host/r",
        ),
        (
            Outcome("taskdefinition/t", "revise", Status.CHANGED, "cpu", {"revision": 4}),
            "changed   taskdefinition/t  revised  revision 4: cpu",
        ),
        (
            Outcome("repository/r", "update", Status.CHANGED, "tags[x]"),
            "changed   repository/r  updated  tags[x]",
        ),
        (Outcome("job/j", "launch", Status.LAUNCHED, "attempt 1"), "launched  job/j  attempt 1"),
        (Outcome("job/j", "finish", Status.FAILED, "attempt 1 failed"), "failed    job/j  attempt 1 failed"),
        (Outcome("repository/r", "create", Status.FAILED, "no"), "failed    repository/r  create  no"),
        (Outcome("job/j", "publish", Status.CHANGED, "s3://b/k"), "changed   job/j  published  s3://b/k"),
    ],
)
def test_an_outcome_says_what_there_is_now(outcome: Outcome, line: str) -> None:
    assert "".join(words for words, _ in text.outcome(outcome)) == line
