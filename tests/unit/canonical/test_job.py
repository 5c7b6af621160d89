from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.canonical import ecs
from reconciler.canonical import job as canonical
from reconciler.model import Ref

BODY: dict[str, Any] = {
    "command": ["align", "{input.r1}", "{output.bam}"],
    "entrypoint": ["/bin/env"],
    "environment": {"RG": "s01", "THREADS": "4"},
    "outputs": {"bam": {"path": "s01.bam", "optional": False}},
    "generation": "one",
    "workRoot": "/",
}
CONTAINER: dict[str, Any] = {
    "name": "main",
    "environment": [{"name": "MODE", "value": "fast"}, {"name": "THREADS", "value": "1"}],
    "secrets": [{"name": "TOKEN", "valueFrom": "arn:aws:ssm:us-east-1:123456789012:parameter/token"}],
    "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/a.env"}],
    "user": "1000",
    "workingDirectory": "/data",
    "cpu": 512,
    "memory": 1024,
    "dockerLabels": {"a": "b"},
}
FILE = {"place": "/input/r1/a.fq", "etag": "e1", "size": 10}
INPUTS: dict[str, Any] = {
    "r1": {"kind": "file", "place": "/input/r1", "content": [FILE]},
    "ref": {"kind": "folder", "place": "/input/ref", "content": [{"job": "a" * 64, "output": "index"}]},
}


def identity(
    body: dict[str, Any] = BODY,
    container: dict[str, Any] = CONTAINER,
    inputs: dict[str, Any] = INPUTS,
    image: str = "sha256:aa",
    architecture: str = "X86_64",
) -> dict[str, Any]:
    definition = ecs.canonical({"containerDefinitions": [container]})["containerDefinitions"]["main"]
    return dict(canonical.identity(image, architecture, definition, body, inputs))


def job_id(**changed: Any) -> str:
    return canonical.job_id(identity(**changed))


COUNTED: dict[str, dict[str, Any]] = {
    "image": {"image": "sha256:bb"},
    "architecture": {"architecture": "ARM64"},
    "command": {"body": {**BODY, "command": ["align", "{output.bam}", "{input.r1}"]}},
    "script instead of command": {
        "body": {key: value for key, value in BODY.items() if key != "command"} | {"script": "align"}
    },
    "entrypoint": {"body": {**BODY, "entrypoint": []}},
    "no entrypoint": {"body": {**BODY, "entrypoint": None}},
    "environment of the job": {"body": {**BODY, "environment": {"RG": "s02", "THREADS": "4"}}},
    "environment of the container": {
        "container": {**CONTAINER, "environment": [{"name": "MODE", "value": "slow"}]}
    },
    "secret": {"container": {**CONTAINER, "secrets": [{"name": "TOKEN", "valueFrom": "arn:other"}]}},
    "environment file": {"container": {**CONTAINER, "environmentFiles": []}},
    "user": {"container": {**CONTAINER, "user": "0"}},
    "working directory": {"container": {**CONTAINER, "workingDirectory": "/"}},
    "name of an input": {"inputs": {"r2": INPUTS["r1"], "ref": INPUTS["ref"]}},
    "place of an input": {
        "inputs": {**INPUTS, "r1": {**INPUTS["r1"], "content": [{**FILE, "place": "/input/a.fq"}]}}
    },
    "etag": {"inputs": {**INPUTS, "r1": {**INPUTS["r1"], "content": [{**FILE, "etag": "e2"}]}}},
    "size": {"inputs": {**INPUTS, "r1": {**INPUTS["r1"], "content": [{**FILE, "size": 11}]}}},
    "upstream job": {
        "inputs": {**INPUTS, "ref": {**INPUTS["ref"], "content": [{"job": "b" * 64, "output": "index"}]}}
    },
    "upstream output": {
        "inputs": {**INPUTS, "ref": {**INPUTS["ref"], "content": [{"job": "a" * 64, "output": "other"}]}}
    },
    "path of an output": {"body": {**BODY, "outputs": {"bam": {"path": "x.bam"}}}},
    "name of an output": {"body": {**BODY, "outputs": {"sam": {"path": "s01.bam"}}}},
    "generation": {"body": {**BODY, "generation": "two"}},
    "an output that may be missing": {
        "body": {**BODY, "outputs": {"bam": {"path": "s01.bam", "optional": True}}}
    },
    "where output/ lies": {"body": {**BODY, "workRoot": "/scratch"}},
}


@pytest.mark.parametrize("changed", COUNTED.values(), ids=COUNTED)
def test_another_component_is_another_job_and_is_explained(changed: dict[str, Any]) -> None:
    assert job_id(**changed) != job_id()
    assert canonical.explain(identity(), identity(**changed)) != ""
    before, after = (canonical.component_digests(one) for one in (identity(), identity(**changed)))
    assert before != after


def test_no_two_of_these_changes_make_the_same_job() -> None:
    assert len({job_id(**changed) for changed in COUNTED.values()}) == len(COUNTED)


UNCOUNTED: dict[str, Any] = {
    "key": "s01.L1",
    "cpu": "4096",
    "memory": "8192",
    "retry": {"attempts": 9},
    "timeout": 60,
    "deadline": 60,
    "tags": {"team": "genomics"},
    "after": ["job/index"],
    "launchType": "EC2",
    "maxParallel": 3,
    "taskRoleArn": "arn:aws:iam::123456789012:role/x",
}


@given(st.sets(st.sampled_from(sorted(UNCOUNTED))))
def test_what_the_result_does_not_depend_on_does_not_count(fields: set[str]) -> None:
    body = {**BODY, **{name: UNCOUNTED[name] for name in fields}}
    body["outputs"] = {"bam": {"path": "s01.bam", "publish": "s3://results/s01.bam"}}
    assert job_id(body=body) == job_id()


def test_the_size_and_labels_of_the_container_do_not_count() -> None:
    assert job_id(container={**CONTAINER, "cpu": 1024, "memory": 2048, "dockerLabels": {}}) == job_id()


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
environments = st.dictionaries(words, words, max_size=5)


@given(environments, st.randoms())
def test_the_order_of_the_environment_does_not_count(environment: dict[str, str], random: Any) -> None:
    shuffled = list(environment.items())
    random.shuffle(shuffled)
    assert job_id(body={**BODY, "environment": environment}) == job_id(
        body={**BODY, "environment": dict(shuffled)}
    )


@given(environments, environments)
def test_equal_environments_and_only_those_are_one_job(one: dict[str, str], other: dict[str, str]) -> None:
    bare = {key: value for key, value in CONTAINER.items() if key != "environment"}
    same = job_id(body={**BODY, "environment": one}, container=bare) == job_id(
        body={**BODY, "environment": other}, container=bare
    )
    assert same == (one == other)


@given(st.lists(words, max_size=5), st.lists(words, max_size=5))
def test_equal_commands_and_only_those_are_one_job(one: list[str], other: list[str]) -> None:
    assert (job_id(body={**BODY, "command": one}) == job_id(body={**BODY, "command": other})) == (
        one == other
    )


@given(environments, environments)
def test_the_jobs_environment_wins_over_the_containers(own: dict[str, str], theirs: dict[str, str]) -> None:
    pairs = [{"name": name, "value": value} for name, value in theirs.items()]
    merged = identity(body={**BODY, "environment": own}, container={**CONTAINER, "environment": pairs})
    assert merged["environment"] == theirs | own


@given(environments, st.lists(words, max_size=4), words)
def test_an_identity_survives_json(environment: dict[str, str], command: list[str], script: str) -> None:
    made = identity(body={**BODY, "environment": environment, "command": command, "generation": script})
    read = json.loads(json.dumps(made))
    assert read == made
    assert canonical.job_id(read) == canonical.job_id(made)
    assert canonical.explain(read, made) == ""


def test_a_component_that_comes_later_changes_nothing_while_it_is_absent() -> None:
    assert canonical.job_id({**identity(), "gpu": None}) == job_id()


def test_a_job_id_is_the_same_in_every_version() -> None:
    # A change of this value runs every job of every user again: it needs a line in CHANGELOG.md.
    assert job_id() == "3e6fe4b06f2537a8febf7505d09cf533fe85e2faa5bb8181cac54c3157e76ac4"


def test_a_reference_in_the_environment_stands_for_itself() -> None:
    container = {**CONTAINER, "environment": [{"name": "REPO", "value": Ref("repository/x", "uri")}]}
    assert identity(container=container)["environment"]["REPO"] == "${repository/x.uri}"


def test_the_identity_is_not_tied_to_what_it_was_made_from() -> None:
    body = copy.deepcopy(BODY)
    made = identity(body=body)
    body["environment"]["RG"] = "changed"
    assert made["environment"]["RG"] == "s01"


LONG = "the same beginning of a long script, that goes on and on; "

EXPLAINED = [
    ({"environment": {"THREADS": "4"}}, {"environment": {"THREADS": "8"}}, 'environment.THREADS "4" → "8"'),
    ({"environment": {}}, {"environment": {"A": "1"}}, 'environment.A (none) → "1"'),
    ({"environment": {"A": ""}}, {"environment": {}}, 'environment.A "" → (none)'),
    ({"command": ["a", "b"]}, {"command": ["a", "c"]}, 'command[1] "b" → "c"'),
    ({"script": LONG + "one"}, {"script": LONG + "two"}, 'script "…and on; one" → "…and on; two"'),
    (
        {"image": "sha256:" + "a" * 64},
        {"image": "sha256:" + "b" * 64},
        'image "sha256:aaaaaaaaaaaaaaaaaaaaaaaaa…" → "sha256:bbbbbbbbbbbbbbbbbbbbbbbbb…"',
    ),
    ({"user": None}, {"user": "0"}, 'user (none) → "0"'),
    (
        {"inputs": {"r1": {"content": [FILE]}}},
        {"inputs": {"r1": {"content": [{**FILE, "etag": "e2", "size": 12}]}}},
        'inputs.r1.content[/input/r1/a.fq].etag "e1" → "e2"; inputs.r1.content[/input/r1/a.fq].size 10 → 12',
    ),
    (
        {"inputs": {"l": {"content": [{"place": "/a", "size": 1}, {"place": "/b", "size": 1}]}}},
        {"inputs": {"l": {"content": [{"place": "/b", "size": 1}, {"place": "/a", "size": 1}]}}},
        "order in inputs",
    ),
    (
        {"environment": dict.fromkeys("ABCDE", "1")},
        {"environment": dict.fromkeys("ABCDE", "2")},
        'environment.A "1" → "2"; environment.B "1" → "2"; environment.C "1" → "2"; and 2 more',
    ),
    ({"environment": {"A": "1"}}, {"environment": {"A": "1"}}, ""),
    ({"entrypoint": None}, {"entrypoint": []}, "entrypoint (none) → []"),
]


@pytest.mark.parametrize(("before", "after", "words"), EXPLAINED, ids=lambda value: str(value)[:40])
def test_a_rerun_explains_itself(before: dict[str, Any], after: dict[str, Any], words: str) -> None:
    assert canonical.explain(before, after) == words


def test_an_input_that_another_job_makes_is_told_by_that_jobs_address() -> None:
    def of(job_id: str) -> dict[str, object]:
        return {"inputs": {"r": {"content": [{"job": job_id, "output": "o"}], "kind": "file", "place": "/r"}}}

    words = canonical.explain(of("1" * 64), of("2" * 64), {"2" * 64: "job/index"})
    assert words == "inputs.r: job/index is another now"
