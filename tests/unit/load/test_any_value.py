"""Whatever stands where a value is expected: manifests come out, or messages, and never anything else."""

from __future__ import annotations

import copy
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler import load
from reconciler.errors import ManifestError

PAGE = (Path(__file__).parents[3] / "docs" / "manifests.md").read_text()
BLOCK = re.compile(r"^```(\w+)(?: title=(\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
DOCUMENTS = [
    document
    for language, _, text in BLOCK.findall(PAGE)
    if language == "yaml"
    for document in YAML(typ="safe", pure=True).load_all(text)
]
FILES = {title: text for _, title, text in BLOCK.findall(PAGE) if title}
STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        float("inf"),
        "",
        " ",
        "x",
        "{{ item }}",
        "{{ nope }}",
        "{{ [1, {'a': none}] }}",
        "{{ {} }}",
        "${job.align[*].outputs.bam}",
        "${image.analytics}",
        "${job.}",
        "$${x}",
        "{input.r1}",
        "{input}",
        "s3://b/",
        "../x",
        "/x",
        "*",
        [],
        [[]],
        [None],
        ["x"],
        {},
        {"a": {}},
        {"file": "x"},
        {"file": None},
        {"from": []},
        {"path": "x"},
        {"name": 1},
        [{"key": "a"}],
    ]
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, entry in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from paths(entry, (*path, key))


PATHS = [path for path in paths(DOCUMENTS) if path]


def changed(path: tuple[Any, ...], value: Any) -> list[Any]:
    documents = copy.deepcopy(DOCUMENTS)
    holder: Any = documents
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return documents


def problems(folder: Path) -> list[str]:
    try:
        load.load([folder])
    except ManifestError as error:
        return [problem.what for problem in error.problems]
    return []


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PATHS), STRANGE)
def test_any_value_anywhere_gives_manifests_or_messages(path: tuple[Any, ...], value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in FILES.items():
            (Path(folder) / name).write_text(text)
        documents = [json.dumps(document).replace("Infinity", ".inf") for document in changed(path, value)]
        (Path(folder) / "m.yaml").write_text("\n---\n".join(documents))
        assert [what for what in problems(Path(folder)) if not what.endswith((".", "?"))] == []
