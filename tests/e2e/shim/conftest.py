"""The built layer in an image FROM scratch, and an S3 that containers reach: the local cloud."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import docker
import pytest

from reconciler import local

LAYER = Path(__file__).parents[3] / "shim/layers/linux-amd64.tar.gz"
BUCKET = "shim-bucket"
DOCKERFILE = """FROM scratch
ADD layer.tar.gz /
ADD busybox /bin/busybox
ENTRYPOINT ["/bunnies/bin/bunny-init", "--entrypoint-args=1", "--", "/bin/busybox"]
"""


@pytest.fixture(scope="session")
def shim_image(docker_client: docker.DockerClient) -> Iterator[str]:
    """An image with the platform layer and one static program, no shell at /bin/sh, no /tmp, no user database."""
    if not LAYER.exists():
        pytest.fail("the layer is not built: run `python -m shim.layer` first")
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.fail("these tests need a static busybox: apt-get install busybox-static")
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        archive.add(LAYER, "layer.tar.gz")
        archive.add(busybox, "busybox")
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(DOCKERFILE)
        archive.addfile(entry, io.BytesIO(DOCKERFILE.encode()))
    context.seek(0)
    name = f"bunnies-e2e-shim-{uuid.uuid4().hex[:8]}:1"
    docker_client.images.build(fileobj=context, custom_context=True, tag=name, rm=True, forcerm=True)
    yield name
    docker_client.images.remove(name, force=True)


@pytest.fixture
def shim_run(docker_client: docker.DockerClient, shim_image: str) -> Iterator[Callable[..., Any]]:
    """Starts a container of the image in the background; all are removed afterwards."""
    started = []

    def run(command: list[str], **options: Any) -> Any:
        container = docker_client.containers.run(shim_image, command, detach=True, **options)
        started.append(container)
        return container

    yield run
    for container in started:
        container.remove(force=True, v=True)


@pytest.fixture(scope="session")
def s3_endpoint(cloud: local.Cloud) -> str:
    """The local cloud at the address where containers reach it: the last one that it listens on."""
    return f"http://{cloud.listens[-1]}:{cloud.port}"


class Bucket:
    """The bucket of the jobs, as tests look at it."""

    def __init__(self, endpoint: str) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.client.create_bucket(Bucket=BUCKET)

    def put(self, key: str, data: bytes) -> dict[str, Any]:
        """Uploads; the object as a job spec names it, but for its path."""
        answer = self.client.put_object(Bucket=BUCKET, Key=key, Body=data)
        return {"url": f"s3://{BUCKET}/{key}", "size": len(data), "etag": answer["ETag"].strip('"')}

    def get(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def list(self, prefix: str = "") -> list[str]:
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for item in listed.get("Contents", [])]


@pytest.fixture
def bucket(s3_endpoint: str) -> Iterator[Bucket]:
    """An empty bucket."""
    made = Bucket(s3_endpoint)
    yield made
    for key in made.list():
        made.client.delete_object(Bucket=BUCKET, Key=key)
    made.client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def spec(bucket: Bucket) -> Callable[[dict[str, Any]], None]:
    """Writes a job spec to attempt/jobspec.json, with what every spec needs filled in."""

    def write(body: dict[str, Any]) -> None:
        whole = {
            "version": 1,
            "job_id": "0" * 64,
            "attempt": 1,
            "address": "job/test",
            "owner": "test",
            "region": "us-east-1",
            "attempt_url": f"s3://{BUCKET}/attempt/",
            "outputs_url": f"s3://{BUCKET}/outputs/",
            "work_root": "/",
            "environment": {},
            "inputs": {},
            "outputs": {},
            **body,
        }
        bucket.put("attempt/jobspec.json", json.dumps(whole).encode())

    return write


@pytest.fixture
def job(shim_run: Callable[..., Any], spec: Callable[..., None], s3_endpoint: str) -> Callable[..., Any]:
    """Writes a job spec and starts a container on it; `extra` is more of its environment."""

    def start(
        body: dict[str, Any],
        options: dict[str, Any] | None = None,
        command: list[str] | None = None,
        extra: dict[str, str] | None = None,
    ) -> Any:
        spec(body)
        environment = {
            "JOBSPEC": f"s3://{BUCKET}/attempt/jobspec.json",
            "AWS_ENDPOINT_URL": s3_endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            **(extra or {}),
        }
        return shim_run(command or [], environment=environment, **(options or {}))

    return start
