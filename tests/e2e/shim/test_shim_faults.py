"""An S3 that loses answers, refuses, conflicts and hangs: the fence and the result hold."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

MOVED = b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>"
CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>again</Message></Error>"


class Proxy(http.server.BaseHTTPRequestHandler):
    """Passes requests on to the local cloud, but for those that a rule of `server.faults` names.

    A rule is [method, end of the path, what happens, how often]: a status answers instead, `lose` passes on and drops
    the answer, `break` passes on half of it, `hang` never answers, a region is where the bucket says it is.
    """

    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self._fault()
        if isinstance(fault, int):
            self._answer(fault, {}, CONFLICT)
            return
        if isinstance(fault, str) and "-" in fault:
            if f"/{fault}/s3/" not in self.headers.get("Authorization", ""):
                self._answer(301, {"x-amz-bucket-region": fault}, b"" if self.command == "HEAD" else MOVED)
                return
            del self.headers[
                "Authorization"
            ]  # the local cloud itself knows the bucket in its own region only
        if fault == "hang":
            self.server.released.wait(60)  # type: ignore[attr-defined]
            self.close_connection = True
            return
        connection = http.client.HTTPConnection(self.server.target, timeout=60)  # type: ignore[attr-defined]
        connection.request(self.command, self.path, body, {**self.headers})
        answer = connection.getresponse()
        data = answer.read()
        if fault == "lose":
            self.close_connection = True
        elif fault == "break":
            self._answer(answer.status, dict(answer.getheaders()), data, len(data) // 2)
            self.close_connection = True
        else:
            self._answer(answer.status, dict(answer.getheaders()), data)
        connection.close()

    def _fault(self) -> Any:
        for rule in self.server.faults:  # type: ignore[attr-defined]
            if rule[0] == self.command and self.path.partition("?")[0].endswith(rule[1]) and rule[3] > 0:
                rule[3] -= 1
                return rule[2]
        return None

    def _answer(self, status: int, headers: dict[str, str], data: bytes, only: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        length = headers.get("content-length", headers.get("Content-Length", "0"))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(data)))
        self.end_headers()
        self.wfile.write(data[:only])

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    faults: list[list[Any]]

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # clients that were killed while they waited


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[Server]:
    target = s3_endpoint.removeprefix("http://")
    server = Server((target.partition(":")[0], 0), Proxy)
    server.target, server.faults, server.released = target, [], threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.released.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def faulty(job: Callable[..., Any], proxy: Server) -> Callable[..., Any]:
    """Starts a job whose S3 has the faults given."""

    def start(body: dict[str, Any], *faults: list[Any]) -> Any:
        proxy.faults = [list(fault) for fault in faults]
        url = f"http://{proxy.server_address[0]!s}:{proxy.server_address[1]}"
        return job(body, extra={"AWS_ENDPOINT_URL": url})

    return start


def status(container: Any) -> int:
    code: int = container.wait(timeout=60)["StatusCode"]
    print(container.logs().decode())
    return code


def result_of(bucket: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bucket.get("attempt/result.json"))
    return found


@pytest.mark.parametrize("name", ["started.json", "result.json"])
@pytest.mark.parametrize("fault", ["lose", 503, 409, 500])
def test_a_conditional_write_survives(faulty: Any, bucket: Any, name: str, fault: Any) -> None:
    assert status(faulty({"command": ["true"]}, ["PUT", name, fault, 1])) == 0
    assert result_of(bucket)["nonce"] == json.loads(bucket.get("attempt/started.json"))["nonce"]


def test_a_refused_fence_is_an_error_and_not_an_absence(faulty: Any, bucket: Any) -> None:
    assert status(faulty({"command": ["true"]}, ["PUT", "started.json", 403, 99])) == 69
    assert bucket.list("attempt/") == ["attempt/jobspec.json"]


def test_a_refused_output_fails_the_job_and_is_told(faulty: Any, bucket: Any) -> None:
    spec = {"command": ["sh", "-c", "echo x > {output}"], "outputs": {"o": {"kind": "file", "path": "o.txt"}}}
    assert status(faulty(spec, ["PUT", "o.txt", 403, 99])) == 69
    result = result_of(bucket)
    assert (result["status"], result["exit_code"], result["error"]["class"]) == (
        "failed",
        0,
        "infrastructure",
    )
    assert "may not write" in result["error"]["message"]


def test_logs_that_cannot_be_written_do_not_cost_the_result(faulty: Any, bucket: Any) -> None:
    assert status(faulty({"command": ["true"]}, ["PUT", "stdout.log", 403, 99])) == 0
    assert result_of(bucket)["status"] == "succeeded"


def test_a_stop_while_inputs_come_closes_the_attempt(faulty: Any, bucket: Any, proxy: Server) -> None:
    source = {**bucket.put("in/slow", b"x"), "path": "slow"}
    spec = {"command": ["true"], "inputs": {"a": {"kind": "file", "path": "slow", "objects": [source]}}}
    container = faulty(spec, ["GET", "in/slow", "hang", 99])
    wait_for(lambda: proxy.faults[0][3] < 99)
    container.stop(timeout=20)
    assert status(container) == 143
    result = result_of(bucket)
    assert (result["status"], result["exit_code"]) == ("interrupted", None)


def test_a_stop_while_outputs_go_closes_the_attempt_without_them(
    faulty: Any, bucket: Any, proxy: Server
) -> None:
    spec = {"command": ["sh", "-c", "echo x > {output}"], "outputs": {"o": {"kind": "file", "path": "o.txt"}}}
    container = faulty({**spec, "stop_timeout": 3}, ["PUT", "o.txt", "hang", 99])
    wait_for(lambda: proxy.faults[0][3] < 99)
    container.stop(timeout=20)
    assert status(container) == 143
    result = result_of(bucket)
    assert (result["status"], result["exit_code"]) == ("interrupted", 0)
    assert "outputs" not in result


@pytest.mark.parametrize(
    ("method", "name", "there"),
    [
        ("GET", "jobspec.json", set()),
        ("PUT", "started.json", set()),
        ("GET", "in/a", {"attempt/started.json"}),
        ("PUT", "outputs/o1", {"attempt/started.json", "outputs/o0"}),
        ("POST", "outputs/o1", {"attempt/started.json", "outputs/o0"}),
        ("PUT", "result.json", {"attempt/started.json", "outputs/o0", "outputs/o1"}),
    ],
    ids=[
        "before the fence",
        "at the fence",
        "downloading",
        "uploading",
        "uploading parts",
        "before the result",
    ],
)
def test_killed_at_any_phase_nothing_torn_is_left(
    faulty: Any, bucket: Any, proxy: Server, method: str, name: str, there: set[str]
) -> None:
    big = 20 << 20 if method == "POST" else 1
    source = {**bucket.put("in/a", b"x"), "path": "a"}
    script = f"#!/bin/busybox sh\necho x > {{output.o0}}; head -c {big} /dev/zero > {{output.o1}}\n"
    spec = {
        "script": script,
        "inputs": {"a": {"kind": "file", "path": "a", "objects": [source]}},
        "outputs": {name: {"kind": "file", "path": name} for name in ("o0", "o1")},
    }
    container = faulty(spec, [method, name, "hang", 99])
    wait_for(lambda: proxy.faults[0][3] < 99)
    wait_for(lambda: there <= set(bucket.list()))
    container.kill(signal="SIGKILL")
    left = set(bucket.list()) - {"in/a", "attempt/jobspec.json"}
    assert {key for key in left if not key.endswith(".log")} == there
    if "outputs/o1" in left:
        assert len(bucket.get("outputs/o1")) == big


def test_a_stop_after_a_failure_is_still_a_failure(faulty: Any, bucket: Any, proxy: Server) -> None:
    spec = {
        "command": ["sh", "-c", "echo x > /output/o.txt; exit 3"],
        "outputs": {"o": {"kind": "file", "path": "o.txt"}},
        "stop_timeout": 3,
    }
    container = faulty(spec, ["PUT", "o.txt", "hang", 99])
    wait_for(lambda: proxy.faults[0][3] < 99)
    container.stop(timeout=20)
    assert status(container) == 3
    assert (result_of(bucket)["status"], result_of(bucket)["error"]["class"]) == ("failed", "user")


def test_a_bucket_in_another_region_is_found(faulty: Any, bucket: Any, proxy: Server) -> None:
    source = {**bucket.put("in/far", b"far"), "path": "far"}
    spec = {
        "command": ["cat", "{input}"],
        "inputs": {"a": {"kind": "file", "path": "far", "objects": [source]}},
    }
    container = faulty(spec, ["GET", "in/far", "eu-west-1", 99], ["HEAD", "/shim-bucket", "eu-west-1", 99])
    assert status(container) == 0
    assert bucket.get("attempt/stdout.log") == b"far"


def test_a_download_that_breaks_off_goes_on_where_it_broke(faulty: Any, bucket: Any, proxy: Server) -> None:
    data = bytes(range(256)) * 4096 * 5
    source = {**bucket.put("in/long", data), "path": "long"}
    spec = {
        "command": ["sha256sum", "{input}"],
        "inputs": {"a": {"kind": "file", "path": "long", "objects": [source]}},
    }
    assert status(faulty(spec, ["GET", "in/long", "break", 2])) == 0
    assert bucket.get("attempt/stdout.log").split()[0].decode() == hashlib.sha256(data).hexdigest()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
