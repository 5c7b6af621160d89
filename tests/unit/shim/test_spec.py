from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.init import spec
from shim.init.errors import ShimError

MINIMUM: dict[str, Any] = {
    "version": 1,
    "job_id": "0" * 64,
    "attempt": 2,
    "address": "job/a",
    "owner": "o",
    "region": "r",
    "attempt_url": "s3://b/a/",
    "outputs_url": "s3://b/o/",
    "work_root": "/",
    "command": ["x"],
    "environment": {},
    "inputs": {},
    "outputs": {},
}
OBJECT = {"url": "s3://b/k", "path": "k", "size": 1}


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in MINIMUM.items() if name != field}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "not a JSON object"),
        ({**MINIMUM, "version": 2}, "this shim reads version 1"),
        ({**MINIMUM, "extra": 1}, "fields that this shim does not know: extra"),
        ({**MINIMUM, "script": "x"}, "either command or script"),
        (without("command"), "either command or script"),
        (without("region"), "region in the job spec must be a str, not None"),
        ({**MINIMUM, "attempt": True}, "attempt in the job spec must be a int"),
        ({**MINIMUM, "attempt_url": "s3://b/a"}, "must be s3://BUCKET/PREFIX/"),
        ({**MINIMUM, "work_root": "work"}, "must be an absolute path"),
        ({**MINIMUM, "command": ["a", 1]}, "a list of strings"),
        ({**MINIMUM, "command": ["a\0b"]}, "NUL"),
        ({**MINIMUM, "environment": {"A": 1}}, "environment.A"),
        ({**MINIMUM, "environment": {"A=B": "1"}}, "environment.A=B"),
        ({**MINIMUM, "inputs": {"a b": {}}}, "inputs.a b"),
        ({**MINIMUM, "inputs": {"a": {"kind": "tree", "path": "a", "objects": []}}}, "inputs.a.kind"),
        (
            {**MINIMUM, "inputs": {"a": {"kind": "file", "path": "a", "objects": []}}},
            "is a file but has 0 objects",
        ),
        (
            {**MINIMUM, "inputs": {"a": {"kind": "list", "path": "a", "objects": [{"url": "x"}]}}},
            "s3://BUCKET/KEY",
        ),
        ({**MINIMUM, "outputs": {"a": {"kind": "file", "path": "../a"}}}, "must stay below output/"),
        ({**MINIMUM, "outputs": {"a": {"kind": "file", "path": "/a"}}}, "must stay below output/"),
    ],
)
def test_a_wrong_spec_is_told_field_by_field(body: Any, message: str) -> None:
    with pytest.raises(ShimError) as caught:
        spec.parse(json.dumps(body).encode())
    assert message in str(caught.value)
    assert caught.value.exit_code == 64


def test_a_good_spec_is_read_whole() -> None:
    body = {**MINIMUM, "inputs": {"a": {"kind": "file", "path": "k", "objects": [{**OBJECT, "etag": '"e"'}]}}}
    read = spec.parse(json.dumps(body).encode())
    assert read.attempt == spec.Attempt("0" * 64, 2, "job/a", "s3://b/a/")
    assert read.inputs == (spec.Input("a", "file", "k", (spec.Object("s3://b/k", "k", 1, "e", ""),)),)
    assert (read.stop_timeout, read.timeout, read.entrypoint) == (30, None, None)


def test_where_results_go_is_known_even_where_the_rest_is_wrong() -> None:
    assert spec.parse_attempt(json.dumps({**MINIMUM, "command": 1}).encode()).url == "s3://b/a/"


@given(st.text(alphabet="ab./\0", max_size=12))
def test_a_path_that_is_accepted_never_leaves_its_folder(path: str) -> None:
    if spec.within(path):
        assert not path.startswith("/")
        assert not set(path.split("/")) & {".", ".."}
        assert "\0" not in path
