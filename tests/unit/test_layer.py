"""What an image becomes with the platform layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler import errors, layer

FACTS = {
    "platform": "linux/amd64",
    "digest": "sha256:aa",
    "diff_id": "sha256:bb",
    "size": 4,
    "version": "1",
    "more": {},
}


def write(folder: Path, facts: object = FACTS, blob: bytes = b"blob") -> None:
    (folder / "linux-amd64.json").write_text(facts if isinstance(facts, str) else json.dumps(facts))
    (folder / "linux-amd64.tar.gz").write_bytes(blob)


def test_a_layer_is_found_beside_the_package(tmp_path: Path) -> None:
    write(tmp_path)
    found = layer.find("linux/amd64", tmp_path)
    assert found == layer.Layer(
        "linux/amd64", tmp_path / "linux-amd64.tar.gz", "sha256:aa", "sha256:bb", 4, "1"
    )


def test_a_layer_that_was_not_built_names_the_command_that_builds_it(tmp_path: Path) -> None:
    with pytest.raises(errors.BunniesError, match=r"Run: bunnies shim build --platform linux/arm64"):
        layer.find("linux/arm64", tmp_path)


@pytest.mark.parametrize(
    ("facts", "blob"),
    [(FACTS, b"half"[:2]), ("{", b"blob"), ({"size": 4}, b"blob")],
    ids=["another blob", "no JSON", "fields missing"],
)
def test_a_damaged_layer_is_told(tmp_path: Path, facts: object, blob: bytes) -> None:
    write(tmp_path, facts, blob)
    with pytest.raises(errors.BunniesError, match="Run: bunnies shim build"):
        layer.find("linux/amd64", tmp_path)


@pytest.mark.parametrize(
    ("config", "entrypoint", "more"),
    [
        ({}, ["--entrypoint-args=0", "--"], []),
        ({"Entrypoint": None, "Cmd": ["sh"]}, ["--entrypoint-args=0", "--"], ['CMD ["sh"]']),
        (
            {"Entrypoint": ["/bin/sh", "-c", "exec $X"], "Cmd": ['a "b"', "c\nd", "é\\"]},
            ["--entrypoint-args=3", "--", "/bin/sh", "-c", "exec $X"],
            ['CMD ["a \\"b\\"", "c\\nd", "\\u00e9\\\\"]'],
        ),
    ],
)
def test_the_entrypoint_keeps_the_users_words_and_cmd_is_written_again(
    config: dict[str, Any], entrypoint: list[str], more: list[str]
) -> None:
    lines = layer.dockerfile("sha256:base", config).splitlines()
    assert lines[:2] == ["FROM sha256:base", "ADD layer.tar.gz /"]
    assert json.loads(lines[2].removeprefix("ENTRYPOINT ")) == ["/bunnies/bin/bunny-init", *entrypoint]
    assert lines[3:] == more


def test_an_image_is_never_given_the_layer_twice_nor_made_to_run_its_onbuild_triggers() -> None:
    assert layer.refusal({"Entrypoint": ["/bin/sh"]}) is None
    assert "already" in str(layer.refusal({"Entrypoint": layer.entrypoint({})}))
    assert "ONBUILD" in str(layer.refusal({"OnBuild": ["COPY . /app"]}))


def test_what_a_build_changed_besides_is_named() -> None:
    before = {"User": "1234", "Env": ["A=b"], "Cmd": ["x"], "Labels": {"team": "genomics"}, "Volumes": None}
    after = before | {
        "Entrypoint": layer.entrypoint(before),
        "Labels": {"team": "genomics", "l": "d"},
        "Volumes": {},
    }
    assert layer.differences(before, after, {"l": "d"}) == []
    assert layer.differences(before, after | {"User": ""}, {"l": "d"}) == ["User"]
    assert layer.differences(before, after | {"Cmd": None, "Labels": {}}, {"l": "d"}) == ["Cmd", "Labels"]
    assert layer.differences(before, after | {"Entrypoint": ["sh"]}, {"l": "d"}) == ["Entrypoint"]
