"""What the machine around the container tells: ECS task metadata, and how to ask over HTTP.

Job: ask. Input: environment, urls. Output: plain data, empty where nothing answers.
Must not: fail a job.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

CA_BUNDLE = "/bunnies/etc/ca-certificates.crt"


def get(url: str, headers: Mapping[str, str], seconds: float) -> bytes:
    """The body of a GET; OSError where there is no answer or its status is not 200."""
    parts = urlsplit(url)
    if parts.hostname is None:
        raise OSError(f"{url} has no host")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        import ssl

        context = ssl.create_default_context(cafile=CA_BUNDLE)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
    try:
        connection.request(
            "GET", parts.path + (f"?{parts.query}" if parts.query else ""), headers=dict(headers)
        )
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(repr(error)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"status {answer.status}")
    return body


def task(environ: Mapping[str, str]) -> dict[str, str]:
    """arn, cluster, family, revision, launch_type, availability_zone, as ECS tells them; empty without ECS.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html
    """
    base = environ.get("ECS_CONTAINER_METADATA_URI_V4")
    if not base:
        return {}
    try:
        body = json.loads(get(f"{base}/task", {}, seconds=2))
    except (OSError, ValueError):
        return {}
    fields = {"arn": "TaskARN", "cluster": "Cluster", "family": "Family", "revision": "Revision"}
    fields |= {"launch_type": "LaunchType", "availability_zone": "AvailabilityZone"}
    return {ours: str(body[theirs]) for ours, theirs in fields.items() if body.get(theirs)}
