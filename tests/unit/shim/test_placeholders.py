from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.init import placeholders, spec
from shim.init.errors import ShimError


def job(**body: Any) -> spec.JobSpec:
    minimum = {
        "version": 1,
        "job_id": "0" * 64,
        "attempt": 1,
        "address": "job/a",
        "owner": "o",
        "region": "r",
        "attempt_url": "s3://b/a/",
        "outputs_url": "s3://b/o/",
        "work_root": "/",
        "environment": {},
        "inputs": {},
        "outputs": {},
    }
    body = body if "script" in body else {"command": [], **body}
    return spec.parse(json.dumps({**minimum, **body}).encode())


def objects(*paths: str) -> list[dict[str, Any]]:
    return [{"url": f"s3://b/{path}", "path": path, "size": 1} for path in paths]


FULL = placeholders.values(
    job(
        task={"threads": 4, "memory_mb": 2048},
        inputs={
            "r1": {"kind": "file", "path": "r1/a b.fq", "objects": objects("r1/a b.fq")},
            "reference": {
                "kind": "folder",
                "path": "reference",
                "objects": objects("reference/x", "reference/d/y"),
            },
            "bams": {"kind": "list", "path": "bams", "objects": objects("bams/0/a.bam", "bams/1/b.bam")},
        },
        outputs={
            "bam": {"kind": "file", "path": "s01/a.bam"},
            "index": {"kind": "folder", "path": "index"},
            "vcfs": {"kind": "glob", "path": "calls/*.vcf"},
        },
    )
)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("{input.r1}", ["/input/r1/a b.fq"]),
        ("--in={input.r1}", ["--in=/input/r1/a b.fq"]),
        ("{input.reference}/x", ["/input/reference/x"]),
        ("{input.bams}", ["/input/bams/0/a.bam", "/input/bams/1/b.bam"]),
        ("{input.bams:list}", ["/scratch/.bunnies/bams.list"]),
        ("@{input.reference:list}", ["@/scratch/.bunnies/reference.list"]),
        ("{output.bam}", ["/output/s01/a.bam"]),
        ("{output.index}", ["/output/index"]),
        ("{output.vcfs}", ["/output/calls"]),
        ("-t{task.threads}", ["-t4"]),
        ("{task.memory_mb}M", ["2048M"]),
        ("{task.scratch}", ["/scratch"]),
        ("${input.r1}", ["${input.r1}"]),
        ("{inputs.r1}", ["{inputs.r1}"]),
        ("{}", ["{}"]),
        ("awk '{print $1}'", ["awk '{print $1}'"]),
        ("", [""]),
    ],
)
def test_a_word_of_the_command_is_filled_in(word: str, words: list[str]) -> None:
    assert list(placeholders.fill_command((word,), FULL).words) == words


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("{input.r3}", "{input.r3} is not known; there are: input.bams, input.r1, input.reference"),
        ("{input}", "{input} alone needs exactly one input"),
        ("{output}", "{output} alone needs exactly one output"),
        ("{task.gpus}", "{task.gpus} is not known"),
        ("x{input.bams}", "{input.bams} is a list"),
        ("{output.bam:list}", "`:list` is for inputs"),
    ],
)
def test_what_cannot_be_filled_in_is_an_error_of_the_spec(word: str, message: str) -> None:
    with pytest.raises(ShimError) as caught:
        placeholders.fill_command((word,), FULL)
    assert message in str(caught.value)
    assert caught.value.kind == "spec"


def test_input_and_output_stand_alone_where_there_is_just_one() -> None:
    values = placeholders.values(
        job(
            work_root="/work",
            inputs={"a": {"kind": "file", "path": "a/x", "objects": objects("a/x")}},
            outputs={"b": {"kind": "file", "path": "y"}},
        )
    )
    assert placeholders.fill_command(("{input}", "{output}"), values).words == (
        "/work/input/a/x",
        "/work/output/y",
    )


def test_a_list_file_holds_one_path_a_line() -> None:
    filled = placeholders.fill_command(("{input.bams:list}",), FULL)
    assert filled.files == {"/scratch/.bunnies/bams.list": "/input/bams/0/a.bam\n/input/bams/1/b.bam\n"}


def test_a_script_takes_a_list_as_words() -> None:
    assert placeholders.fill_script("cat {input.bams} ${HOME}", FULL).words == (
        "cat /input/bams/0/a.bam /input/bams/1/b.bam ${HOME}",
    )


def test_a_path_that_a_shell_would_split_is_refused_in_a_script() -> None:
    with pytest.raises(ShimError, match=r'write "\$BUNNIES_INPUT_r1" instead of \{input\.r1\}'):
        placeholders.fill_script("cat {input.r1}", FULL)


@given(st.text().filter(lambda text: "{" not in text))
def test_text_without_a_brace_is_never_changed(text: str) -> None:
    assert placeholders.fill_command((text,), FULL).words == (text,)
    assert placeholders.fill_script(text, FULL).words == (text,)


@given(st.lists(st.text(), max_size=5))
def test_words_are_filled_one_for_one_or_refused(words: list[str]) -> None:
    try:
        filled = placeholders.fill_command(tuple(words), FULL)
    except ShimError:
        return
    assert len(filled.words) == len(words)


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [("*.vcf", ""), ("a/b/*.vcf", "a/b"), ("a/b*/c", "a"), ("a/[xy]/c", "a"), ("a/b", "a")],
)
def test_the_folder_of_a_glob_is_what_comes_before_its_first_wildcard(pattern: str, folder: str) -> None:
    assert placeholders.fixed_folder(pattern) == folder
