from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from reconciler.canonical import ecs
from reconciler.errors import BunniesError, ManifestError
from reconciler.kinds import job
from reconciler.model import Job, Manifest, Ref, Resource, S3Object, Settings, Source

ROOT = Path(__file__).parents[3]
LAYOUT = YAML(typ="safe").load(ROOT / "tests" / "cases" / "jobs" / "layout.yaml")
JOBSPEC = json.loads((ROOT / "schemas" / "jobspec.schema.json").read_text())

SETTINGS = Settings(
    "reprod", "us-east-1", "reprod", "reprod-bucket", "bunnies/reprod", task_role_arn="arn:aws:iam::1:role/t"
)
IMAGE = Resource(
    "image/tools",
    {
        "repository": "tools",
        "base": {"digest": "sha256:" + "b" * 64},
        "layer": "sha256:" + "1" * 64,
        "platforms": ["linux/amd64"],
        "tag": "bunnies-b-1",
    },
)
CONTAINER: Mapping[str, Any] = {
    "name": "main",
    "image": Ref("image/tools", "uri"),
    "environment": [{"name": "THREADS", "value": "4"}, {"name": "MODE", "value": "fast"}],
}
DEFINITION: Mapping[str, Any] = {
    "family": "t",
    "cpu": "2 vCPU",
    "memory": "4 GB",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
}
UP = {"outputs": {"bam": {"path": "s.bam"}, "index": {"path": "idx/"}, "parts": {"path": "*.vcf"}}}


def manifest(name: str, body: Mapping[str, Any], line: int = 1) -> Manifest:
    whole = {"taskDefinition": "t", "container": "main", **body}
    if "script" not in whole:
        whole.setdefault("command", ["true"])
    return Manifest("Job", name, whole, Source("jobs.yaml", line, 1))


def resources(definition: Mapping[str, Any] = {}, **container: Any) -> dict[str, Resource]:
    body = {**DEFINITION, **definition, "containerDefinitions": [{**CONTAINER, **container}]}
    task = Resource("taskdefinition/t", ecs.canonical(body), source=Source("task.yaml", 1, 1))
    return {"taskdefinition/t": task, "image/tools": IMAGE}


def wanted(
    *manifests: Manifest,
    settings: Settings = SETTINGS,
    given: Mapping[str, Resource] | None = None,
    facts: Mapping[str, tuple[S3Object, ...]] = {},
) -> list[Job]:
    return list(job.desired(manifests, settings, given or resources(), facts))


def only(body: Mapping[str, Any], **others: Any) -> Job:
    (made,) = wanted(manifest("j", body), **others)
    return made


def refused(body: Mapping[str, Any], **others: Any) -> str:
    with pytest.raises(ManifestError) as caught:
        only(body, **others)
    return str(caught.value)


def source_of(text: str) -> str | Ref:
    found = re.fullmatch(r"\$\{(.+)\.(.+)\}", text)
    return Ref(found[1], f"outputs.{found[2]}") if found else text


def inputs_of(case: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {
            **wish,
            "from": [source_of(item) for item in wish["from"]]
            if isinstance(wish["from"], list)
            else source_of(wish["from"]),
        }
        for name, wish in case["inputs"].items()
    }


def facts_of(case: Mapping[str, Any]) -> dict[str, tuple[S3Object, ...]]:
    """What `job.facts` would find in a bucket `reads` that holds these keys."""
    facts: dict[str, tuple[S3Object, ...]] = {}
    for wish in case["inputs"].values():
        sources = wish["from"] if isinstance(wish["from"], list) else [wish["from"]]
        for url in sources:
            prefix = url if url.endswith("/") else url.rpartition("/")[0] + "/"
            urls = [f"s3://reads/{key}" for key in case.get("s3", ())]
            facts[url] = tuple(
                S3Object(found, f"etag-{found}", 7, found.removeprefix(prefix))
                for found in urls
                if found == url or (url.endswith("/") and found.startswith(url))
            )
    return facts


def results_of(case: Mapping[str, Any], upstream: list[Job]) -> dict[str, Any]:
    outputs = {
        name: [
            {"url": f"s3://out/{name}/{path}", "path": path, "size": 9, "etag": "e", "sha256": "0" * 64}
            for path in paths
        ]
        for name, paths in case.get("made", {}).items()
    }
    return {made.job_id: {"status": "succeeded", "outputs": outputs} for made in upstream}


@pytest.mark.parametrize("case", LAYOUT, ids=lambda case: str(case["name"]))
def test_inputs_lie_where_the_manifest_says(case: dict[str, Any]) -> None:
    chain = [
        manifest("up", UP),
        manifest("other", {**UP, "command": ["false"]}),
        manifest("j", {"inputs": inputs_of(case)}),
    ]
    if "mistake" in case:
        with pytest.raises(ManifestError) as caught:
            wanted(*chain, facts=facts_of(case))
        assert str(caught.value) == f"jobs.yaml:1:1: {case['mistake']}"
        return
    *upstream, made = wanted(*chain, facts=facts_of(case))
    results = results_of(case, upstream)
    if "late" in case:
        with pytest.raises(BunniesError) as late:
            job.complete_inputs(made, results)
        assert str(late.value) == case["late"]
        return
    complete = job.complete_inputs(made, results)
    found = {
        name: [given["kind"], given["path"], [item["path"] for item in given["objects"]]]
        for name, given in complete.items()
    }
    assert found == case["expect"]
    check_jobspec(made, complete)


def check_jobspec(made: Job, inputs: Mapping[str, Any]) -> None:
    document = {
        **made.spec["jobspec"],
        "inputs": inputs,
        "attempt": 1,
        "attempt_url": "s3://b/a/",
        "outputs_url": "s3://b/o/",
    }
    jsonschema.validate(document, JOBSPEC)


def test_the_job_spec_says_all_that_is_known_before_a_launch() -> None:
    made = only(
        {
            "command": ["align", "{input.r1}", "{output.bam}"],
            "entrypoint": ["/bin/env"],
            "environment": {"RG": "s01"},
            "timeout": 60,
            "restart": {"exitCodes": [75], "attempts": 3, "backoff": 10},
            "workRoot": "/work",
            "cpu": "4 vCPU",
            "memory": "8 GB",
            "inputs": {"r1": {"from": "s3://reads/a.fq"}},
            "outputs": {
                "bam": {"path": "a.bam", "publish": "s3://results/a.bam"},
                "tree": {"path": "t/", "optional": True},
            },
        },
        given=resources(stopTimeout=90, memory=6144),
        facts={"s3://reads/a.fq": (S3Object("s3://reads/a.fq", "abc", 3, "a.fq"),)},
    )
    spec = made.spec["jobspec"]
    check_jobspec(made, spec["inputs"])
    assert spec == {
        "version": 1,
        "job_id": made.job_id,
        "address": "job/j",
        "owner": "reprod",
        "region": "us-east-1",
        "work_root": "/work",
        "command": ["align", "{input.r1}", "{output.bam}"],
        "entrypoint": ["/bin/env"],
        "environment": {"RG": "s01"},
        "timeout": 60,
        "restart": {"exit_codes": [75], "attempts": 3, "backoff": 10},
        "stop_timeout": 90,
        "task": {"threads": 4, "memory_mb": 6144},
        "image": {"base_digest": "sha256:" + "b" * 64, "layer_digest": "sha256:" + "1" * 64},
        "inputs": {
            "r1": {
                "kind": "file",
                "path": "r1/a.fq",
                "objects": [{"url": "s3://reads/a.fq", "path": "r1/a.fq", "size": 3, "etag": "abc"}],
            }
        },
        "outputs": {
            "bam": {"kind": "file", "path": "a.bam", "optional": False},
            "tree": {"kind": "folder", "path": "t", "optional": True},
        },
    }
    assert made.spec["publish"] == {"bam": "s3://results/a.bam"}
    assert made.identity["inputs"]["r1"] == {
        "kind": "file",
        "place": "/work/input/r1",
        "content": [{"place": "/work/input/r1/a.fq", "etag": "abc", "size": 3}],
    }
    assert made.identity["outputs"] == {"bam": "/work/output/a.bam", "tree": "/work/output/t/"}


def test_what_run_task_needs_is_in_its_own_words() -> None:
    made = only(
        {
            "cpu": "1 vCPU",
            "memory": 2048,
            "ephemeralStorage": {"sizeInGiB": 40},
            "taskRoleArn": "arn:aws:iam::1:role/other",
            "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT"}],
            "enableExecuteCommand": True,
            "retry": {"attempts": 3},
            "deadline": 90,
            "tags": {"team": "genomics"},
        }
    )
    shown = {name: value for name, value in made.spec.items() if name != "jobspec"}
    assert shown == {
        "size": {"cpu": 1024, "memory": 2048, "fargate": True},
        "temp": [],
        "taskDefinition": Ref("taskdefinition/t", "arn"),
        "container": "main",
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT"}],
        "overrides": {
            "cpu": "1024",
            "memory": "2048",
            "ephemeralStorage": {"sizeInGiB": 40},
            "taskRoleArn": "arn:aws:iam::1:role/other",
        },
        "awsvpc": True,
        "enableExecuteCommand": True,
        "tags": {"team": "genomics"},
        "retry": {"attempts": 3},
        "timeout": None,
        "queueTimeout": None,
        "deadline": 90,
        "maxParallel": None,
        "publish": {},
        "missing": [],
        "upstream": {},
    }


def test_a_fargate_definition_runs_on_fargate_when_nothing_else_is_said() -> None:
    assert only({}).spec["launchType"] == "FARGATE"
    assert only({"launchType": "EXTERNAL"}).spec["launchType"] == "EXTERNAL"
    plain = only({}, given=resources({"requiresCompatibilities": ["EC2"], "networkMode": "bridge"}))
    assert "launchType" not in plain.spec
    assert plain.spec["awsvpc"] is False


def test_the_role_of_settings_steps_in_only_where_the_definition_has_none() -> None:
    assert only({}).spec["overrides"] == {"taskRoleArn": "arn:aws:iam::1:role/t"}
    own = resources({"taskRoleArn": "arn:aws:iam::1:role/own"})
    assert only({}, given=own).spec["overrides"] == {}


def test_a_job_without_a_task_role_is_refused() -> None:
    bare = Settings("reprod", "us-east-1", "reprod", "b", "p")
    assert refused({}, settings=bare) == (
        "jobs.yaml:1:1: job/j: has no task role, and the shim reads and writes S3 with it. Write taskRoleArn: in "
        "Settings, in the task definition or here."
    )


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (
            {"image": "debian:12"},
            "a job's container must run a shimmed image: write image: ${image.NAME}.",
        ),
        (
            {"image": Ref("repository/tools", "uri")},
            "a job's container must run a shimmed image: write image: ${image.NAME}.",
        ),
        (
            {"restartPolicy": {"enabled": True}},
            "restartPolicy would restart a job inside its own attempt. Write retry: in the Job.",
        ),
        (
            {"entryPoint": ["/bin/sh"]},
            "entryPoint would run instead of bunny-init. Write entrypoint: in the Job.",
        ),
        ({"essential": False}, "a job's container must be essential. Leave out essential: false."),
    ],
)
def test_a_container_that_cannot_run_jobs_is_refused(container: dict[str, Any], words: str) -> None:
    assert (
        refused({}, given=resources(**container))
        == f"task.yaml:1:1: taskdefinition/t: container main: {words}"
    )


def test_a_restart_policy_that_is_off_is_no_mistake() -> None:
    only({}, given=resources(restartPolicy={"enabled": False}))


def test_a_platform_that_the_image_is_not_made_for_is_refused() -> None:
    arm = resources({"runtimePlatform": {"cpuArchitecture": "ARM64"}})
    assert refused({}, given=arm) == (
        "task.yaml:1:1: taskdefinition/t: runs on linux/arm64, which image/tools is not made for. "
        "Add it to the image's platforms."
    )


def test_a_reference_in_the_environment_is_refused_because_nothing_fills_it_in() -> None:
    words = refused({"environment": {"REPO": Ref("repository/tools", "uri")}})
    assert words == "jobs.yaml:1:1: job/j: REPO is ${repository/tools.uri}, not text. Write the text itself."


NO_IMAGE = {address: resource for address, resource in resources().items() if address != "image/tools"}


@pytest.mark.parametrize(
    ("body", "given", "words"),
    [
        ({"after": ["job/none"]}, None, "job/none is not a job of these manifests. Name one that is."),
        ({"taskDefinition": "none"}, None, "taskdefinition/none is not in these manifests. Add it."),
        ({"container": "none"}, None, "taskdefinition/t has no container none. Name one that it has."),
        ({}, NO_IMAGE, "image/tools is not in these manifests. Add it."),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused(
    body: dict[str, Any], given: dict[str, Resource] | None, words: str
) -> None:
    assert refused(body, given=given) == f"jobs.yaml:1:1: job/j: {words}"


def test_one_mistake_of_a_container_is_told_once_however_many_jobs_share_it() -> None:
    with pytest.raises(ManifestError) as caught:
        wanted(manifest("a", {}), manifest("b", {}), given=resources(image="debian:12"))
    assert len(caught.value.problems) == 1


def test_mistakes_of_several_jobs_are_told_together_and_not_those_that_only_follow() -> None:
    with pytest.raises(ManifestError) as caught:
        wanted(
            manifest("a", {"inputs": {"x": {"from": "no-url"}}, "outputs": {"o": {"path": "o"}}}, 1),
            manifest("b", {"inputs": {"x": {"from": Ref("job/a", "outputs.o")}}}, 9),
            manifest("c", {"container": "none"}, 20),
        )
    assert [problem.address for problem in caught.value.problems] == ["job/a", "job/c"]


def test_jobs_come_upstream_first_and_else_in_the_order_of_the_manifests() -> None:
    made = wanted(
        manifest("late", {"after": ["job/z"]}),
        manifest("c", {"inputs": {"x": {"from": Ref("job/z", "outputs.o")}}}),
        manifest("b", {}),
        manifest("z", {"outputs": {"o": {"path": "o"}}}),
        manifest("a", {}),
    )
    assert [one.address for one in made] == ["job/b", "job/z", "job/late", "job/c", "job/a"]
    assert made[2].needs == ("taskdefinition/t", "job/z")


def test_jobs_that_need_each_other_are_refused() -> None:
    with pytest.raises(ManifestError, match=r"job/a: needs itself, by way of job/a, job/b\. Take one"):
        wanted(manifest("a", {"after": ["job/b"]}), manifest("b", {"after": ["job/a"]}))


def test_jobs_that_do_the_same_work_share_their_id() -> None:
    first, second = wanted(manifest("a", {"cpu": "1 vCPU"}), manifest("b", {"retry": {"attempts": 3}}))
    assert first.job_id == second.job_id


def test_a_change_upstream_changes_what_follows_by_data_but_not_what_follows_by_order() -> None:
    def chain(word: str) -> list[Job]:
        return wanted(
            manifest("up", {**UP, "command": [word]}),
            manifest("data", {"inputs": {"x": {"from": Ref("job/up", "outputs.bam")}}}),
            manifest("order", {"command": ["ls"], "after": ["job/up"]}),
        )

    (up1, data1, order1), (up2, data2, order2) = chain("one"), chain("two")
    assert up1.job_id != up2.job_id
    assert data1.job_id != data2.job_id
    assert order1.job_id == order2.job_id


def test_an_input_that_is_not_there_is_noted() -> None:
    made = only({"inputs": {"x": {"from": ["s3://b/x", "s3://b/y/"]}}}, facts={"s3://b/x": ()})
    assert made.spec["missing"] == ["s3://b/x", "s3://b/y/"]


def test_the_same_content_elsewhere_is_the_same_work() -> None:
    def reading(url: str) -> Job:
        return only({"inputs": {"x": {"from": url}}}, facts={url: (S3Object(url, "e", 1, "f"),)})

    assert reading("s3://here/f").job_id == reading("s3://there/old/f").job_id
