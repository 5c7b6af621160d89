"""What a container said.

`containers.run` of the docker SDK follows the log of a container that may be gone by then, and now and then gets
nothing of a short one: here the container ends first, and then its log is read.
"""

from __future__ import annotations

from typing import Any

import docker


def said(client: docker.DockerClient, image: str, command: list[str] | None = None, **options: Any) -> bytes:
    """The stdout of a container that ends well; AssertionError with its log where it does not."""
    container = client.containers.run(image, command, detach=True, **options)
    try:
        code = container.wait()["StatusCode"]
        assert code == 0, f"exit code {code}: {container.logs().decode(errors='replace')}"
        output: bytes = container.logs(stdout=True, stderr=False)
        return output
    finally:
        container.remove(force=True)
