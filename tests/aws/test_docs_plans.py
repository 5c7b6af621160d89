"""docs/plans.md shows what plan and apply print: made anew here, on a strict AWS, and compared.

`python -m tests.aws.test_docs_plans` writes what is printed now into the page.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import moto
import pytest

from reconciler import load
from reconciler.model import Outcome, Status
from reconciler.render import data, markdown, text
from tests.aws.strict.bench import ALIGN, INDEX, LANES, MERGE, PLATFORM, Bench, Run

PAGE = Path(__file__).parents[2] / "docs" / "plans.md"
BLOCK = re.compile(r"(<!-- shown: (\w+) -->\n\n(`{3,})\w*\n)(.*?)(?=^\3$)", re.MULTILINE | re.DOTALL)
STAGES = ("repository", "image", "taskdefinition", "job/index", "job/align", "job/merge", "job/stats")


def printed() -> dict[str, str]:
    """Each transcript by its name on the page."""
    items = ", ".join(f"{{sample: {sample}, lane: {lane}}}" for sample, lane in LANES)
    with moto.mock_aws(), tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        place = Path("lab.yaml")
        place.write_text(PLATFORM + INDEX + ALIGN % items + MERGE % items, "utf-8")
        bench = Bench(load.load([place]))
        first = bench.plan()
        found = {
            "plan": lines(text.plan(first)),
            "markdown": markdown.plan(first),
            "json": json.dumps(brief(data.plan(first)), indent=1, ensure_ascii=False) + "\n",
            "apply": ended(bench.apply()),
            "nothing": lines(text.plan(bench.plan())),
        }
        place.write_text(place.read_text("utf-8").replace('value: "4"', 'value: "8"'), "utf-8")
        bench.wanted = load.load([place])
        bench.cloud.line("somebody").call(
            "ecr",
            "PutImageTagMutability",
            repositoryName="rieseberglab/analytics",
            imageTagMutability="MUTABLE",
        )
        found["change"] = lines(text.plan(bench.plan()))
        found["events"] = events(bench.apply())
    # digests say nothing to a reader, and change with every canonical form
    return {name: re.sub(r"\b[0-9a-f]{64}\b", "…", shown) for name, shown in found.items()}


def lines(shown: Iterable[text.Line]) -> str:
    return "".join("".join(words for words, _ in line) + "\n" for line in shown)


def brief(document: dict[str, Any]) -> dict[str, Any]:
    """A plan with one change of three, two fields of it, and two jobs of eight."""
    (change, *_), jobs = document["changes"], document["jobs"]
    return {**document, "changes": [{**change, "fields": change["fields"][:2]}], "jobs": jobs[:2]}


def in_order(run: Run) -> list[Outcome]:
    """Outcomes in the order of the graph: those of one array come in any order."""
    ranks = {status: number for number, status in enumerate((Status.LAUNCHED, Status.SUCCEEDED))}

    def place(outcome: Outcome) -> tuple[int, int, str, str]:
        stage = next(n for n, name in enumerate(STAGES) if outcome.address.startswith(name))
        return stage, ranks.get(outcome.status, 2), outcome.address, outcome.detail

    jobs = [outcome for outcome in run.outcomes if outcome.address.startswith("job/")]
    published = sorted((outcome for outcome in jobs if outcome.action == "publish"), key=place)
    others = sorted((outcome for outcome in run.outcomes if outcome.action != "publish"), key=place)
    return [*others, *published]


def ended(run: Run) -> str:
    recap = text.recap(text.counts(run.outcomes, 0))
    shown = lines([*(text.outcome(one) for one in in_order(run) if one.status != "unchanged"), recap])
    return re.sub(r", task [0-9a-f-]+", "", shown)


def events(run: Run) -> str:
    assert run.plan is not None
    told = [one for one in in_order(run) if not one.address.startswith(("job/merge", "job/align/s02"))]
    shown = [data.version(), data.planned(run.plan), *map(data.outcome, told)]
    shown.append(data.summary(text.counts(run.outcomes, 0), 0))
    written = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in shown)
    return re.sub(r", task [0-9a-f-]+", "", written)


def test_the_page_shows_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    stands = {name: content for _, name, _, content in BLOCK.findall(PAGE.read_text("utf-8"))}
    assert stands == printed()


if __name__ == "__main__":
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    made = printed()
    PAGE.write_text(BLOCK.sub(lambda found: found[1] + made[found[2]], PAGE.read_text("utf-8")), "utf-8")
