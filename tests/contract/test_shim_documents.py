"""The shim and the schemas between it and the reconciler: what it reads is a job spec, what it writes is a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shim.init import errors, finish, spec

SCHEMAS = Path(__file__).parents[2] / "schemas"
JOBSPECS = sorted((Path(__file__).parent / "jobspecs").glob("*.json"), key=lambda path: path.name)

ONCE = {
    "at": 1.5e9,
    "seconds": 1.25,
    "usage": (1.0, 0.5, 2048),
    "timed_out": False,
    "failure": 0,
    "oom_killed": False,
}
RAN = {"exit_code": 0, "signal": 0, "stopped_by": 0, "staged_peak": 4096, **ONCE}
AGAIN = [{**ONCE, "exit_code": 75, "signal": 0}, {**ONCE, "exit_code": 3, "signal": 0}]
ENDINGS: dict[str, dict[str, Any]] = {
    "success": RAN,
    "failure": {**RAN, "exit_code": 3},
    "failure after a restart": {**RAN, "exit_code": 3, "runs": AGAIN},
    "stopped while uploading": {**RAN, "hurry": 15, "stopped_by": 15},
    "signal": {**RAN, "exit_code": 137, "signal": 9},
    "memory": {**RAN, "exit_code": 137, "signal": 9, "oom_killed": True},
    "not found": {**RAN, "exit_code": 127, "failure": 2, "program": "/usr/local/bin/align"},
    "timeout": {**RAN, "exit_code": 143, "signal": 15, "timed_out": True, "timeout": 7200},
    "stopped": {**RAN, "exit_code": 143, "signal": 15, "stopped_by": 15},
    "stopped before": {"exit_code": 137, "signal": 0, "never_ran": True, "stopped_by": 15},
    "input": {"exit_code": 0, "never_ran": True, "error": ["input", "s3://reads/s01_1.fq.gz is not there."]},
    "disk": {"exit_code": 0, "never_ran": True, "error": ["disk", "full"]},
}
ENTRY = {"url": "s3://b/o/a.bam", "path": "a.bam", "size": 3, "etag": "e", "sha256": "0" * 64}


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    return found


def validate(body: Any, name: str) -> None:
    jsonschema.Draft202012Validator(schema(name)).validate(json.loads(json.dumps(body)))


@pytest.mark.parametrize("path", JOBSPECS, ids=lambda path: path.stem)
def test_a_job_spec_of_the_schema_is_accepted_by_the_shim(path: Path) -> None:
    validate(json.loads(path.read_text()), "jobspec")
    assert spec.parse(path.read_bytes()).attempt.attempt >= 1


def test_the_shim_knows_every_field_of_the_schema_and_no_other() -> None:
    assert set(schema("jobspec")["properties"]) == spec.KNOWN


@pytest.mark.parametrize("field", schema("jobspec")["required"])
def test_what_the_schema_requires_the_shim_misses_too(field: str) -> None:
    body = json.loads(JOBSPECS[0].read_text())
    del body[field]
    if field == "owner":  # nothing in the shim depends on it
        return
    with pytest.raises(errors.ShimError):
        spec.parse(json.dumps(body).encode())


@pytest.mark.parametrize("path", JOBSPECS, ids=lambda path: path.stem)
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_makes_a_result_of_the_schema(path: Path, ending: str) -> None:
    state = {
        "data": path.read_bytes(),
        "nonce": "0" * 32,
        "started_at": "2026-01-01T00:00:00.000Z",
        "task": {"arn": "arn:aws:ecs:us-east-1:123456789012:task/reprod/0"},
        "image": {"digest": "sha256:" + "0" * 64},
    }
    ended = {**ENDINGS[ending], "download": 0.5, "upload": 0.25}
    verdict = finish.verdict_of(ended)
    body = finish.document(state, ended, verdict, {"bam": [ENTRY]} if verdict[0] == "succeeded" else None)
    validate(body, "result")
    assert ("outputs" in body) == (ending == "success")
    assert (body["exit_code"] is None) == ("never_ran" in ended or bool(ended.get("failure")))
    assert len(body["runs"]) == len(ended.get("runs", ()))


def test_a_spec_too_wrong_to_run_still_makes_a_result_of_the_schema() -> None:
    data = json.dumps({**json.loads(JOBSPECS[0].read_text()), "command": 1}).encode()
    state = {
        "data": data,
        "nonce": "0" * 32,
        "started_at": "2026-01-01T00:00:00.000Z",
        "task": {},
        "image": {},
    }
    ended = {"exit_code": 0, "never_ran": True, "error": ["spec", "command is wrong"]}
    body = finish.document(state, ended, finish.verdict_of(ended), None)
    validate(body, "result")


def test_every_class_of_error_that_the_shim_has_a_code_for_is_in_the_schema() -> None:
    classes = schema("result")["properties"]["error"]["oneOf"][1]["properties"]["class"]["enum"]
    assert set(errors.EXIT_CODES) < set(classes)
