from __future__ import annotations

import os
from pathlib import Path

import pytest

from shim.init import outputs
from shim.init.errors import ShimError
from shim.init.spec import Output


def output(kind: str, path: str, optional: bool = False) -> Output:
    return Output("o", kind, path, optional)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.bam", "calls/x.vcf", "calls/y.vcf", "calls/.hidden.vcf", "index/d/e", "index/f"):
        path = tmp_path / "output" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside").write_text("secret")
    return tmp_path / "output"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (output("file", "a.bam"), [("a.bam", "a.bam")]),
        (output("file", "calls/x.vcf"), [("calls/x.vcf", "x.vcf")]),
        (output("file", "b.bam", optional=True), []),
        (output("glob", "calls/*.vcf"), [("calls/x.vcf", "x.vcf"), ("calls/y.vcf", "y.vcf")]),
        (output("glob", "**/f"), [("index/f", "index/f")]),
        (output("folder", "index"), [("index/d/e", "d/e"), ("index/f", "f")]),
    ],
)
def test_what_an_output_names_is_found(folder: Path, wanted: Output, found: list[tuple[str, str]]) -> None:
    files = outputs.collect([wanted], str(folder))["o"]
    assert [(file.place, file.path) for file in files] == sorted(found)


@pytest.mark.parametrize(
    "wanted", [output("file", "b"), output("glob", "*.cram"), output("folder", "nothing")]
)
def test_a_required_output_that_is_missing_is_a_failure(folder: Path, wanted: Output) -> None:
    with pytest.raises(ShimError, match=r"did not write o \(") as caught:
        outputs.collect([wanted], str(folder))
    assert caught.value.exit_code == 66


@pytest.mark.parametrize("wanted", [output("file", "link"), output("glob", "li*"), output("folder", "index")])
def test_a_link_that_leaves_the_folder_is_refused(folder: Path, wanted: Output) -> None:
    (folder / "link").symlink_to("../outside")
    (folder / "index/link").symlink_to("../../outside")
    with pytest.raises(ShimError, match="is a link that leaves"):
        outputs.collect([wanted], str(folder))


def test_a_link_within_the_folder_is_the_file_that_it_points_to(folder: Path) -> None:
    (folder / "link").symlink_to("a.bam")
    (file,) = outputs.collect([output("file", "link")], str(folder))["o"]
    assert (file.local, file.place) == (str(folder / "a.bam"), "link")


def test_what_is_no_regular_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for path in ("pipe", "calls"):
        with pytest.raises(ShimError, match="is not a regular file"):
            outputs.collect([output("file", path)], str(folder))


def test_a_name_that_is_not_utf_8_is_refused(folder: Path) -> None:
    Path(os.fsdecode(bytes(folder) + b"/\xff.vcf")).touch()
    with pytest.raises(ShimError, match="is not UTF-8"):
        outputs.collect([output("glob", "*.vcf")], str(folder))


def test_the_folders_of_outputs_are_made_beforehand(tmp_path: Path) -> None:
    outputs.make_folders(
        [output("file", "a/b/c.bam"), output("folder", "d/e"), output("glob", "f/*.x")], str(tmp_path)
    )
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "a",
        "a/b",
        "d",
        "d/e",
        "f",
    ]
