"""bunny-init with a job spec, in real containers against an S3 server: inputs in, the command, outputs and a result out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SCHEMA = Path(__file__).parents[3] / "schemas/result.schema.json"
pytestmark = pytest.mark.e2e

Start = Callable[..., Any]


def result_of(bucket: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bucket.get("attempt/result.json"))
    if found["nonce"] != "another":
        jsonschema.validate(found, json.loads(SCHEMA.read_text()))
    return found


def finished(container: Any) -> int:
    code: int = container.wait(timeout=60)["StatusCode"]
    print(container.logs().decode())
    return code


def test_a_job_reads_its_input_and_leaves_its_output_and_a_result(job: Start, bucket: Any) -> None:
    source = bucket.put("in/a b.txt", b"hello")
    container = job(
        {
            "command": [
                "sh",
                "-c",
                'cat "$1" > "$2"; echo said; echo complained >&2',
                "sh",
                "{input.text}",
                "{output.copy}",
            ],
            "inputs": {
                "text": {
                    "kind": "file",
                    "path": "text/a b.txt",
                    "objects": [{**source, "path": "text/a b.txt"}],
                }
            },
            "outputs": {"copy": {"kind": "file", "path": "deep/copy.txt"}},
        }
    )
    assert finished(container) == 0
    assert bucket.get("outputs/deep/copy.txt") == b"hello"
    assert bucket.get("attempt/stdout.log") == b"said\n"
    assert bucket.get("attempt/stderr.log") == b"complained\n"
    result = result_of(bucket)
    assert (result["status"], result["exit_code"], result["error"]) == ("succeeded", 0, None)
    (entry,) = result["outputs"]["copy"]
    assert entry["url"] == "s3://shim-bucket/outputs/deep/copy.txt"
    assert (entry["path"], entry["size"]) == ("copy.txt", 5)
    assert entry["sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert entry["etag"] == source["etag"]
    sha256 = hashlib.sha256(b"hello").hexdigest()
    assert result["inputs"]["text"] == [{**source, "path": "a b.txt", "sha256": sha256}]
    head = bucket.client.head_object(Bucket="shim-bucket", Key="outputs/deep/copy.txt")
    assert head["Metadata"] == {"bunnies-job": result["job_id"]}
    started = json.loads(bucket.get("attempt/started.json"))
    assert started["nonce"] == result["nonce"]
    assert b"said" in container.logs(stderr=False)


def test_the_entrypoint_of_the_image_is_kept_and_docker_s_command_is_not_used(
    job: Start, bucket: Any
) -> None:
    assert finished(job({"command": ["echo", "from the spec"]}, command=["echo", "from docker"])) == 0
    assert bucket.get("attempt/stdout.log") == b"from the spec\n"


def test_an_entrypoint_of_the_job_replaces_that_of_the_image(job: Start, bucket: Any) -> None:
    assert finished(job({"entrypoint": ["/bin/busybox", "echo", "mine"], "command": ["x"]})) == 0
    assert bucket.get("attempt/stdout.log") == b"mine x\n"


def test_a_script_runs_by_its_interpreter_without_the_entrypoint(job: Start, bucket: Any) -> None:
    script = "#!/bin/busybox sh\necho $0 {task.threads} ${HOME} $BUNNIES_OUTPUT_o > {output.o}\n"
    spec = {"script": script, "task": {"threads": 3}, "outputs": {"o": {"kind": "file", "path": "o.txt"}}}
    assert finished(job(spec)) == 0
    assert bucket.get("outputs/o.txt") == b"/scratch/.bunnies/script 3 / /output/o.txt\n"


def test_jobspec_is_not_passed_on_and_nothing_else_is_lost(job: Start, bucket: Any) -> None:
    assert finished(job({"command": ["env"], "environment": {"RG": "s01"}})) == 0
    environment = bucket.get("attempt/stdout.log").decode().splitlines()
    assert "RG=s01" in environment
    assert not [line for line in environment if line.startswith(("JOBSPEC", "PYTHON", "LD_", "LC_", "SSL_"))]


def test_the_code_of_a_failed_command_is_the_container_s_and_no_output_is_named(
    job: Start, bucket: Any
) -> None:
    spec = {
        "command": ["sh", "-c", "echo x > /output/o; exit 3"],
        "outputs": {"o": {"kind": "file", "path": "o"}},
    }
    assert finished(job(spec)) == 3
    result = result_of(bucket)
    assert (result["status"], result["exit_code"], result["error"]["class"]) == ("failed", 3, "user")
    assert "outputs" not in result
    assert bucket.list("outputs/") == []


def test_a_command_that_is_not_there_never_ran(job: Start, bucket: Any) -> None:
    assert finished(job({"entrypoint": [], "command": ["/usr/local/bin/align"]})) == 127
    result = result_of(bucket)
    assert (result["exit_code"], result["error"]["class"]) == (None, "user")
    assert "/usr/local/bin/align" in result["error"]["message"]


def test_a_missing_output_is_a_failure_of_its_own(job: Start, bucket: Any) -> None:
    assert finished(job({"command": ["true"], "outputs": {"bam": {"kind": "file", "path": "a.bam"}}})) == 66
    result = result_of(bucket)
    assert (result["status"], result["exit_code"], result["error"]["class"]) == ("failed", 0, "output")
    assert "bam (a.bam)" in result["error"]["message"]


def test_globs_folders_and_optional_outputs_arrive(job: Start, bucket: Any) -> None:
    script = "mkdir -p /output/index/sub; echo 1 > /output/index/a; echo 2 > /output/index/sub/b; echo 3 > /output/x.vcf; echo 4 > /output/y.vcf"
    outputs = {
        "index": {"kind": "folder", "path": "index"},
        "vcfs": {"kind": "glob", "path": "*.vcf"},
        "maybe": {"kind": "file", "path": "maybe", "optional": True},
    }
    assert finished(job({"command": ["sh", "-c", script], "outputs": outputs})) == 0
    found = {
        name: [entry["path"] for entry in entries] for name, entries in result_of(bucket)["outputs"].items()
    }
    assert found == {"index": ["a", "sub/b"], "vcfs": ["x.vcf", "y.vcf"], "maybe": []}
    assert bucket.get("outputs/index/sub/b") == b"2\n"


def test_a_link_out_of_the_output_folder_is_refused(job: Start, bucket: Any) -> None:
    spec = {
        "command": ["ln", "-s", "/bunnies/etc/ca-certificates.crt", "/output/o"],
        "outputs": {"o": {"kind": "file", "path": "o"}},
    }
    assert finished(job(spec)) == 66
    assert "leaves /output" in result_of(bucket)["error"]["message"]


def test_a_folder_and_a_list_of_inputs_arrive(job: Start, bucket: Any) -> None:
    one, two, empty = bucket.put("r/a", b"1"), bucket.put("r/d/b", b"2"), bucket.put("r/e", b"")
    tree = {
        "kind": "folder",
        "path": "tree",
        "objects": [{**one, "path": "tree/a"}, {**two, "path": "tree/d/b"}],
    }
    many = {
        "kind": "list",
        "path": "many",
        "objects": [{**two, "path": "many/0/b"}, {**empty, "path": "many/1/e"}],
    }
    command = [
        "sh",
        "-c",
        'find /input -type f | sort; echo "$@"; cat $1',
        "sh",
        "{input.many:list}",
        "{input.tree}",
        "{input.many}",
    ]
    assert finished(job({"command": command, "inputs": {"tree": tree, "many": many}})) == 0
    assert bucket.get("attempt/stdout.log").decode().splitlines() == [
        "/input/many/0/b",
        "/input/many/1/e",
        "/input/tree/a",
        "/input/tree/d/b",
        "/scratch/.bunnies/many.list /input/tree /input/many/0/b /input/many/1/e",
        "/input/many/0/b",
        "/input/many/1/e",
    ]


def test_a_large_file_comes_and_goes_in_parts(job: Start, bucket: Any) -> None:
    data = bytes(range(256)) * 4096 * 40  # 40 MiB: three parts in, five out
    source = bucket.put("big", data)
    spec = {
        "command": ["cp", "{input}", "{output}"],
        "inputs": {"big": {"kind": "file", "path": "big", "objects": [{**source, "path": "big"}]}},
        "outputs": {"copy": {"kind": "file", "path": "copy"}},
    }
    assert finished(job(spec)) == 0
    assert bucket.get("outputs/copy") == data
    (entry,) = result_of(bucket)["outputs"]["copy"]
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert entry["etag"].endswith("-5")


def test_keys_of_any_shape_come_and_go(job: Start, bucket: Any) -> None:
    keys = [
        "in/a//b",
        "in/.hidden",
        "in/sp ace+%20~'\"\\#?&=",
        "in/é/日本",
        "in/line\nbreak",
        "in/[x]{y}*<z>|^`",
    ]
    objects = [{**bucket.put(key, key.encode()), "path": f"all/{number}"} for number, key in enumerate(keys)]
    script = "for f in /input/all/*; do cat $f > /output/t/\"$(basename $f) [*] +%20#?&='~\"; done; echo x > '/output/t/line\nbreak'"
    body = {
        "command": ["sh", "-c", script],
        "inputs": {"all": {"kind": "list", "path": "all", "objects": objects}},
        "outputs": {"t": {"kind": "folder", "path": "t"}},
    }
    assert finished(job(body)) == 0
    entries = result_of(bucket)["outputs"]["t"]
    assert [entry["path"] for entry in entries] == [
        *(f"{number} [*] +%20#?&='~" for number in range(len(keys))),
        "line\nbreak",
    ]
    for number, key in enumerate(keys):
        assert bucket.get(f"outputs/t/{number} [*] +%20#?&='~") == key.encode()
    assert bucket.get("outputs/t/line\nbreak") == b"x\n"


@pytest.mark.parametrize("kind", ["changed", "gone", "larger"])
def test_an_input_that_is_not_what_was_planned_fails_the_job(job: Start, bucket: Any, kind: str) -> None:
    source = {**bucket.put("in/a", b"hello"), "path": "a"}
    if kind == "gone":
        source["url"] += "-gone"
    if kind == "changed":
        bucket.put("in/a", b"HELLO")
    if kind == "larger":
        source["size"] = 4
    assert (
        finished(
            job({"command": ["true"], "inputs": {"a": {"kind": "file", "path": "a", "objects": [source]}}})
        )
        == 65
    )
    result = result_of(bucket)
    assert (result["status"], result["exit_code"], result["error"]["class"]) == ("failed", None, "input")


def test_inputs_larger_than_the_disk_are_refused_before_the_first_byte(job: Start, bucket: Any) -> None:
    source = {**bucket.put("in/a", b"hello"), "path": "a", "size": 1 << 60}
    assert (
        finished(
            job({"command": ["true"], "inputs": {"a": {"kind": "file", "path": "a", "objects": [source]}}})
        )
        == 67
    )
    assert result_of(bucket)["error"]["class"] == "disk"


def test_a_wrong_placeholder_is_an_error_of_the_spec(job: Start, bucket: Any) -> None:
    assert finished(job({"command": ["cat", "{input.r3}"]})) == 64
    result = result_of(bucket)
    assert (result["status"], result["error"]["class"]) == ("failed", "spec")


def test_the_second_shim_of_an_attempt_writes_nothing(job: Start, bucket: Any) -> None:
    bucket.put("attempt/started.json", b'{"nonce": "another", "closed": true}')
    assert finished(job({"command": ["sh", "-c", "echo ran"]})) == 68
    assert bucket.list("attempt/") == ["attempt/jobspec.json", "attempt/started.json"]


def test_a_result_that_is_there_already_is_never_replaced(job: Start, bucket: Any) -> None:
    bucket.put("attempt/result.json", b'{"nonce": "another", "status": "stopped"}')
    assert finished(job({"command": ["true"]})) == 68
    assert result_of(bucket)["status"] == "stopped"


def test_a_spec_that_is_not_there_is_told_and_nothing_is_written(
    job: Start, bucket: Any, shim_run: Any, s3_endpoint: str
) -> None:
    environment = {"JOBSPEC": "s3://shim-bucket/nope.json", "AWS_ENDPOINT_URL": s3_endpoint}
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    container = shim_run([], environment=environment | keys)
    assert finished(container) == 64
    assert "nope.json is not there" in container.logs().decode()
    assert bucket.list() == []


def test_a_stop_writes_the_result_first_and_names_no_outputs(job: Start, bucket: Any) -> None:
    script = "echo began; echo x > /output/o; trap 'echo stopping; exit 0' TERM; while :; do sleep 0.1; done"
    container = job(
        {"command": ["sh", "-c", script], "outputs": {"o": {"kind": "file", "path": "o"}}, "stop_timeout": 10}
    )
    wait_for(lambda: b"began" in container.logs())
    container.stop(timeout=10)
    assert finished(container) == 143
    result = result_of(bucket)
    assert (result["status"], result["exit_code"]) == ("interrupted", 0)
    assert "outputs" not in result
    assert bucket.get("attempt/stdout.log") == b"began\nstopping\n"


def test_a_command_that_ignores_a_stop_is_killed_in_time_for_the_result(job: Start, bucket: Any) -> None:
    container = job(
        {"command": ["sh", "-c", "trap '' TERM; echo began; while :; do sleep 0.1; done"], "stop_timeout": 6}
    )
    wait_for(lambda: b"began" in container.logs())
    container.stop(timeout=20)
    assert finished(container) == 143
    result = result_of(bucket)
    assert (result["status"], result["exit_code"], result["signal"]) == ("interrupted", 137, 9)


def test_a_command_that_runs_too_long_is_stopped(job: Start, bucket: Any) -> None:
    assert finished(job({"command": ["sleep", "100"], "timeout": 1})) == 143
    result = result_of(bucket)
    assert (result["status"], result["error"]["class"]) == ("failed", "user")
    assert "timeout of 1 s" in result["error"]["message"]


def test_output_that_a_grandchild_holds_open_does_not_hold_up_the_job(job: Start, bucket: Any) -> None:
    begun = time.monotonic()
    assert finished(job({"command": ["sh", "-c", "sleep 100 & echo done"]})) == 0
    assert time.monotonic() - begun < 15
    assert bucket.get("attempt/stdout.log") == b"done\n"


def test_a_job_runs_as_another_user_on_a_read_only_root(job: Start, bucket: Any) -> None:
    mounts = dict.fromkeys(("/input", "/output", "/scratch"), "rw,mode=1777,noexec")
    options = {"user": "1234:1234", "read_only": True, "tmpfs": mounts, "cap_drop": ["ALL"]}
    script = "#!/bin/busybox sh\nid -u > {output}\n"
    assert finished(job({"script": script, "outputs": {"o": {"kind": "file", "path": "o"}}}, options)) == 0
    assert bucket.get("outputs/o") == b"1234\n"


def test_a_folder_that_cannot_be_written_is_told_precisely(job: Start, bucket: Any) -> None:
    assert finished(job({"command": ["true"], "work_root": "/work"}, {"user": "1234"})) == 69
    message = result_of(bucket)["error"]["message"]
    assert "/work/input cannot be written as user 1234" in message


def test_another_work_root_holds_the_three_folders(job: Start, bucket: Any) -> None:
    spec = {"command": ["sh", "-c", "ls /work; echo x > {output}"], "work_root": "/work"}
    assert finished(job({**spec, "outputs": {"o": {"kind": "file", "path": "o"}}})) == 0
    assert bucket.get("attempt/stdout.log") == b"input\noutput\nscratch\n"


def test_pid_1_stays_small_while_the_command_runs(job: Start, bucket: Any) -> None:
    assert finished(job({"command": ["grep", "VmRSS", "/proc/1/status"]})) == 0
    resident = int(bucket.get("attempt/stdout.log").split()[1])
    print(f"PID 1 of a job: {resident} KiB")
    assert resident < 16 * 1024


def test_a_command_that_wants_too_much_memory_is_told_apart(job: Start, bucket: Any) -> None:
    options = {"mem_limit": "100m", "memswap_limit": "100m"}
    assert finished(job({"command": ["tail", "/dev/zero"]}, options)) == 137
    result = result_of(bucket)
    assert (result["exit_code"], result["signal"], result["error"]["class"]) == (137, 9, "memory")
    assert result["oom_killed"]
    assert result["cgroup"]["memory_limit_bytes"] == 100 * 1024 * 1024


def test_thousands_of_inputs_arrive(job: Start, bucket: Any) -> None:
    one = bucket.put("r/one", b"1")
    objects = [{**one, "path": f"many/{number:0100d}"} for number in range(1500)]
    many = {"kind": "list", "path": "many", "objects": objects}
    command = ["sh", "-c", "wc -l < $1; cat /input/many/* | wc -c", "sh", "{input.many:list}"]
    assert finished(job({"command": command, "inputs": {"many": many}})) == 0
    assert bucket.get("attempt/stdout.log").split() == [b"1500", b"1500"]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
