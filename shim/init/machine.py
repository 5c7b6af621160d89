"""What the machine around the container tells: ECS task metadata, and how to ask over HTTP.

Job: ask. Input: environment, urls. Output: plain data, empty where nothing answers.
Must not: fail a job.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

CA_BUNDLE = "/bunnies/etc/ca-certificates.crt"


class Answer(NamedTuple):
    """What a server said; the headers' names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(method: str, url: str, headers: Mapping[str, str], body: BinaryIO | None, seconds: float) -> Answer:
    """One request on a connection of its own; OSError where there is no answer."""
    parts = urlsplit(url)
    if parts.hostname is None:
        raise OSError(f"{url} has no host")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        import ssl

        context = ssl.create_default_context(cafile=CA_BUNDLE if os.path.exists(CA_BUNDLE) else None)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body, headers=dict(headers))
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    except http.client.HTTPException as error:
        raise OSError(repr(error)) from error
    finally:
        connection.close()


def get(url: str, headers: Mapping[str, str], seconds: float) -> bytes:
    """The body of a GET; OSError where there is no answer or its status is not 200."""
    answer = ask("GET", url, headers, None, seconds)
    if answer.status != 200:
        raise OSError(f"status {answer.status}")
    return answer.body


def task(environ: Mapping[str, str]) -> dict[str, str]:
    """arn, cluster, family, revision, launch_type, availability_zone, as ECS tells them; empty without ECS.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html
    """
    fields = {"arn": "TaskARN", "cluster": "Cluster", "family": "Family", "revision": "Revision"}
    return _metadata(
        environ, "/task", fields | {"launch_type": "LaunchType", "availability_zone": "AvailabilityZone"}
    )


def image(environ: Mapping[str, str]) -> dict[str, str]:
    """uri and digest of the image that runs, as ECS tells them; empty without ECS."""
    return _metadata(environ, "", {"uri": "Image", "digest": "ImageID"})


def _metadata(environ: Mapping[str, str], path: str, fields: Mapping[str, str]) -> dict[str, str]:
    base = environ.get("ECS_CONTAINER_METADATA_URI_V4")
    if not base:
        return {}
    try:
        body: Any = json.loads(get(f"{base}{path}", {}, seconds=2))
        return {ours: str(body[theirs]) for ours, theirs in fields.items() if body.get(theirs)}
    except (OSError, ValueError, AttributeError):
        return {}
