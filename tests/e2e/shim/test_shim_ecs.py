"""What ECS tells a container: credentials that expire, behind a token, and the task's metadata."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

TASK = "arn:aws:ecs:us-east-1:123456789012:task/reprod/0123456789abcdef"


class Agent(http.server.BaseHTTPRequestHandler):
    """The two addresses of the ECS agent that the shim asks; `server.asked` keeps paths and tokens."""

    def do_GET(self) -> None:
        asked: list[tuple[str, str]] = self.server.asked  # type: ignore[attr-defined]
        asked.append((self.path, self.headers.get("Authorization", "")))
        soon = datetime.now(UTC) + timedelta(minutes=6)
        answers: dict[str, dict[str, Any]] = {
            "/credentials": {
                "AccessKeyId": "test",
                "SecretAccessKey": "test",
                "Token": "session",
                "Expiration": soon.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "/metadata/task": {
                "TaskARN": TASK,
                "Cluster": "reprod",
                "LaunchType": "FARGATE",
                "Revision": "7",
            },
        }
        body = json.dumps(answers.get(self.path, {})).encode()
        self.send_response(200 if self.path in answers else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


@pytest.fixture
def agent(s3_endpoint: str) -> Iterator[http.server.ThreadingHTTPServer]:
    host = s3_endpoint.removeprefix("http://").partition(":")[0]
    server = http.server.ThreadingHTTPServer((host, 0), Agent)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_credentials_and_metadata_of_ecs_are_used(
    shim_run: Callable[..., Any], bucket: Any, s3_endpoint: str, spec: Callable[..., None], agent: Any
) -> None:
    spec({"command": ["env"]})
    base = f"http://{agent.server_address[0]}:{agent.server_address[1]}"
    container = shim_run(
        [],
        environment={
            "JOBSPEC": "s3://shim-bucket/attempt/jobspec.json",
            "AWS_ENDPOINT_URL": s3_endpoint,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{base}/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "the token",
            "ECS_CONTAINER_METADATA_URI_V4": f"{base}/metadata",
        },
    )
    assert container.wait(timeout=60)["StatusCode"] == 0
    result = json.loads(bucket.get("attempt/result.json"))
    assert result["task"] == {"arn": TASK, "cluster": "reprod", "launch_type": "FARGATE", "revision": "7"}
    assert ("/credentials", "the token") in agent.asked
    # The user's command keeps what it needs to reach AWS by itself.
    assert b"AWS_CONTAINER_CREDENTIALS_FULL_URI=" in bucket.get("attempt/stdout.log")


def test_a_metadata_endpoint_that_does_not_answer_is_no_error(
    job: Callable[..., Any], bucket: Any, s3_endpoint: str
) -> None:
    container = job(
        {"command": ["true"]}, extra={"ECS_CONTAINER_METADATA_URI_V4": f"{s3_endpoint}/nothing/here"}
    )
    assert container.wait(timeout=60)["StatusCode"] == 0


def test_a_container_without_credentials_says_what_to_set(
    shim_run: Callable[..., Any], s3_endpoint: str
) -> None:
    container = shim_run(
        [], environment={"JOBSPEC": "s3://shim-bucket/x.json", "AWS_ENDPOINT_URL": s3_endpoint}
    )
    assert container.wait(timeout=60)["StatusCode"] == 69
    assert "set taskRoleArn" in container.logs().decode()
