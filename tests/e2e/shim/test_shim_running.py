"""While the command runs, and where it does not end well: logs that come early, restart, what is left of its outputs."""

from __future__ import annotations

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
#: Runs as often as there are exit codes in $1: each run takes the first away.
CODES = 'read -r code rest < /scratch/codes || { set -- $1; code=$1; shift; rest="$*"; }; echo "$rest" > /scratch/codes; echo "run $code"; exit "$code"'


def result_of(bucket: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bucket.get("attempt/result.json"))
    jsonschema.validate(found, json.loads(SCHEMA.read_text()))
    return found


def finished(container: Any) -> int:
    code: int = container.wait(timeout=60)["StatusCode"]
    print(container.logs().decode())
    return code


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def test_a_killed_task_has_its_log_up_to_the_last_flush(job: Start, bucket: Any) -> None:
    container = job(
        {"command": ["sh", "-c", "echo early; echo bad >&2; grep VmRSS /proc/1/status; sleep 100"]}
    )
    wait_for(lambda: {"attempt/stdout.log", "attempt/stderr.log"} <= set(bucket.list("attempt/")))
    container.kill(signal="SIGKILL")
    out = bucket.get("attempt/stdout.log").decode().splitlines()
    assert out[0] == "early"
    assert int(out[1].split()[1]) < 16 * 1024
    assert bucket.get("attempt/stderr.log") == b"bad\n"
    assert "attempt/result.json" not in bucket.list("attempt/")


def test_the_log_of_a_long_command_is_whole_at_its_end(job: Start, bucket: Any) -> None:
    script = "for i in 1 2 3 4 5 6 7; do echo $i; sleep 1; done"
    assert finished(job({"command": ["sh", "-c", script]})) == 0
    assert bucket.get("attempt/stdout.log").split() == [b"1", b"2", b"3", b"4", b"5", b"6", b"7"]


@pytest.mark.parametrize(
    ("codes", "restart", "ran"),
    [
        ("75 75 0", {"exit_codes": [75], "attempts": 3, "backoff": 0}, [75, 75, 0]),
        ("75 75 0", {"exit_codes": [75], "attempts": 2, "backoff": 0}, [75, 75]),
        ("75 3 0", {"exit_codes": [75, 76], "attempts": 9, "backoff": 0}, [75, 3]),
    ],
    ids=["until it succeeds", "until the attempts are used up", "until another code"],
)
def test_a_command_runs_again_in_its_task(
    job: Start, bucket: Any, codes: str, restart: dict[str, Any], ran: list[int]
) -> None:
    assert finished(job({"command": ["sh", "-c", CODES, "sh", codes], "restart": restart})) == ran[-1]
    result = result_of(bucket)
    assert [run["exit_code"] for run in result["runs"]] == ran
    assert result["exit_code"] == ran[-1]
    assert bucket.get("attempt/stdout.log").decode().splitlines() == [f"run {code}" for code in ran]


def test_a_stop_between_two_runs_ends_the_job_at_once(job: Start, bucket: Any) -> None:
    container = job(
        {
            "command": ["sh", "-c", "echo ran; exit 75"],
            "restart": {"exit_codes": [75], "attempts": 2, "backoff": 60},
        }
    )
    wait_for(lambda: b"ran" in container.logs())
    time.sleep(0.5)
    begun = time.monotonic()
    container.stop(timeout=20)
    assert finished(container) == 143
    assert time.monotonic() - begun < 10
    assert (result_of(bucket)["status"], len(result_of(bucket)["runs"])) == ("interrupted", 1)


@pytest.mark.parametrize("ending", ["exit 3", "kill -9 $$"])
def test_what_a_failed_command_left_is_kept_under_the_attempt(job: Start, bucket: Any, ending: str) -> None:
    script = f"echo half > /output/a; echo x > /output/t/x; ln -s /etc /output/t/l; {ending}"
    outputs = {
        "a": {"kind": "file", "path": "a"},
        "t": {"kind": "folder", "path": "t"},
        "none": {"kind": "file", "path": "none"},
    }
    assert finished(job({"command": ["sh", "-c", script], "outputs": outputs})) in (3, 137)
    result = result_of(bucket)
    assert "outputs" not in result
    assert [file["url"] for file in result["partial_outputs"]["a"]] == ["s3://shim-bucket/attempt/partial/a"]
    assert [file["path"] for file in result["partial_outputs"]["t"]] == ["x"]
    assert bucket.get("attempt/partial/a") == b"half\n"
    assert bucket.list("outputs/") == []


def test_what_a_stopped_command_left_comes_after_the_result(job: Start, bucket: Any) -> None:
    script = "echo half > {output}; echo began; sleep 100"
    container = job(
        {"script": f"#!/bin/busybox sh\n{script}\n", "outputs": {"a": {"kind": "file", "path": "a"}}}
    )
    wait_for(lambda: b"began" in container.logs())
    container.stop(timeout=20)
    assert finished(container) == 143
    assert "partial_outputs" not in result_of(bucket)
    assert bucket.get("attempt/partial/a") == b"half\n"


def test_a_stuck_stdout_delays_neither_the_timeout_nor_the_result(job: Start, bucket: Any) -> None:
    """As where a log driver in blocking mode cannot write: stdout and stderr are a pipe that nobody reads."""
    shell = "/bunnies/bin/bunny-init --entrypoint-args=0 -- 2>&1 | sleep 100"
    script = "trap '' TERM; while :; do cat /bunnies/lib/libc.so.6; done"
    job(
        {"command": ["/bin/busybox", "sh", "-c", script], "timeout": 1, "stop_timeout": 3},
        options={"entrypoint": ["/bin/busybox", "sh", "-c", shell]},
    )
    wait_for(lambda: "attempt/result.json" in bucket.list("attempt/"))
    assert (result_of(bucket)["error"]["message"], result_of(bucket)["signal"]) == (
        "the command was stopped after its timeout of 1 s.",
        9,
    )


def test_two_containers_of_one_attempt_make_one_result(
    job: Start, bucket: Any, docker_client: Any, shim_image: str
) -> None:
    spec = {"script": "#!/bin/busybox sh\necho x > {output}; sleep 1\n"}
    first = job({**spec, "outputs": {"o": {"kind": "file", "path": "o"}}})
    first.reload()
    environment = first.attrs["Config"]["Env"]
    second = docker_client.containers.run(shim_image, [], environment=environment, detach=True)
    try:
        codes = sorted(container.wait(timeout=60)["StatusCode"] for container in (first, second))
        texts = [container.logs().decode() for container in (first, second)]
    finally:
        second.remove(force=True)
    assert codes == [0, 68]
    assert sum('"finished"' in text for text in texts) == 1
    assert result_of(bucket)["nonce"] == json.loads(bucket.get("attempt/started.json"))["nonce"]
