"""Whole sets of manifests, as data: tests/cases/manifests/*.yaml.

A case has `files` (text, or {hex}, {size}, {link}), and either `errors`, the lines that a person reads, or `expect`:
addresses in order, each with the fields of its body that count. `platform: false` leaves out the manifests below.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler import load
from reconciler.errors import ManifestError
from reconciler.model import Ref

CASES = Path(__file__).parents[1] / "cases" / "manifests"

PLATFORM = """\
kind: Settings
name: lab
region: us-east-1
cluster: lab
bucket: lab-bucket
vars: {chroms: [chr1, chr2], n: 4}
---
kind: Repository
name: app
---
kind: Image
name: app
from: app:1
repository: app
---
kind: TaskDefinition
name: task
containerDefinitions:
  - {name: main, image: "${image.app}"}
  - {name: side, image: "busybox:1", essential: false}
"""


def case(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(path)
    return found


def write(folder: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_bytes(content.encode())
        elif "hex" in content:
            path.write_bytes(bytes.fromhex(content["hex"]))
        elif "size" in content:
            with path.open("wb") as file:
                file.truncate(content["size"])
        else:
            path.symlink_to(content["link"])


def plain(value: Any) -> Any:
    """Refs as people see them."""
    if isinstance(value, Ref):
        return f"-> {value.address} {value.attribute}"
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


def outcome(given: dict[str, Any]) -> dict[str, Any]:
    """What loading a case in the working directory comes to: `errors`, or `expect`."""
    write(Path(), {"0.yaml": PLATFORM} if given.get("platform", True) else {})
    write(Path(), given["files"])
    paths = [Path(path) for path in given.get("paths", ["."])]
    try:
        found = load.load(paths, [Path(path) for path in given.get("vars", ())], given.get("variables", {}))
    except ManifestError as error:
        return {"errors": [str(problem) for problem in error.problems]}
    wanted = given.get("expect", {})
    ours = [one for one in found.manifests if one.source.file != "0.yaml"]
    return {
        "expect": {
            one.address: {name: plain(one.body.get(name)) for name in wanted.get(one.address, ())}
            for one in ours
        }
    }


@pytest.mark.parametrize("path", sorted(CASES.glob("*.yaml")), ids=lambda path: path.stem)
def test_manifests_come_to_what_their_case_says(path: Path, tmp_path: Path) -> None:
    given = case(path)
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert outcome(given) == {key: given[key] for key in ("errors", "expect") if key in given}
    finally:
        os.chdir(before)


def test_path_is_manifests_where_it_is_there_and_else_the_folder_itself(tmp_path: Path) -> None:
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert load.default_paths() == [Path()]
        Path("manifests").mkdir()
        assert load.default_paths() == [Path("manifests")]
        assert load.default_paths([Path("x")]) == [Path("x")]
    finally:
        os.chdir(before)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.yaml")
    with pytest.raises(ManifestError, match="not a regular file"):
        load.load([tmp_path])


def test_one_mistake_in_every_element_is_told_once(tmp_path: Path) -> None:
    rows = "".join(f"s{number}\n" for number in range(500))
    job = 'kind: Job\nname: j\ntaskDefinition: task\nforeach: {file: s.csv}\nkey: "{{ item.a }}"\ncomand: [x]\nscript: x\n'
    write(tmp_path, {"0.yaml": PLATFORM, "m.yaml": job, "s.csv": f"a\n{rows}"})
    with pytest.raises(ManifestError) as raised:
        load.load([tmp_path])
    assert len(raised.value.problems) == 1
