"""Build the quickstart's user image, rieseberglab/analytics:3, in the Docker engine.

Job: give the quickstart the image that a user would already have. Input: manifests/quickstart/image, and an engine
(DOCKER_HOST). Output: the image in the engine, labelled with the hash of what it was built from, so that it is built
once. Must not: push, or touch another image.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.utils
import requests

CONTEXT = Path("manifests/quickstart/image")
IMAGE = "rieseberglab/analytics:3"
HUB_BASE = "debian:bookworm-slim"
OWN_BASE = "bunnies-quickstart/debian:latest"
LABEL = "bunnies.quickstart.inputs"
HUB_PATIENCE = 15  # seconds for one small question; a hub that is there answers in two
ENGINE_PATIENCE = 600  # seconds of silence while the engine pulls, imports or runs apt-get


def main() -> int:
    """Do one of the steps that bin/quickstart takes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("state", help="print `ready`, `hub` (its base can be had) or `alone` (it cannot)")
    importer = steps.add_parser("import", help="make the base image from a root file system")
    importer.add_argument("root", type=Path)
    builder = steps.add_parser("build", help="build it from the hub's base, or from --own-base")
    builder.add_argument("--own-base", action="store_true")
    steps.add_parser("examples", help="write a tar of bowtie2-examples, fetched inside the image")
    arguments = parser.parse_args()
    engine: Any = docker.APIClient(**docker.utils.kwargs_from_env(), version="auto", timeout=ENGINE_PATIENCE)
    try:
        if arguments.step == "state":
            print(state(engine))
        elif arguments.step == "import":
            import_base(engine, arguments.root)
        elif arguments.step == "examples":
            examples(engine)
        else:
            build(engine, OWN_BASE if arguments.own_base else HUB_BASE)
    except (docker.errors.DockerException, requests.RequestException) as error:
        print(f"error: the Docker engine says: {error}", file=sys.stderr)
        return 1
    return 0


def inputs() -> str:
    """The hash of all that the image is built from, but its base."""
    digest = hashlib.sha256()
    for file in sorted(CONTEXT.iterdir()):
        digest.update(f"{file.name} {file.stat().st_mode & 0o111:o}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def state(engine: Any) -> str:
    """Whether the image is there, or else where its base can come from."""
    labels = _labels(engine, IMAGE)
    if labels is not None and labels.get(LABEL) == inputs():
        return "ready"
    if _labels(engine, HUB_BASE) is not None:
        return "hub"
    engine.timeout = HUB_PATIENCE
    try:
        engine.inspect_distribution(HUB_BASE)
    except (docker.errors.APIError, requests.RequestException):
        return "alone"
    return "hub"


def import_base(engine: Any, root: Path) -> None:
    """Import a root file system, without what only a running machine has, as the base image."""
    command = ["tar", "--create", "--numeric-owner", "--one-file-system", "--directory", str(root)]
    command += [f"--exclude=./{name}/*" for name in ("dev", "proc", "sys", "run", "tmp")]
    with subprocess.Popen([*command, "."], stdout=subprocess.PIPE) as tar:
        name, _, tag = OWN_BASE.partition(":")
        print(engine.import_image_from_stream(tar.stdout, repository=name, tag=tag, changes=['CMD ["bash"]']))
    if tar.returncode:
        raise docker.errors.DockerException(f"tar of {root} failed with exit code {tar.returncode}")


def build(engine: Any, base: str) -> None:
    """Build the image on `base`, telling what the engine tells."""
    for event in engine.build(
        path=str(CONTEXT),
        tag=IMAGE,
        buildargs={"BASE": base},
        labels={LABEL: inputs()},
        rm=True,
        forcerm=True,
        decode=True,
    ):
        if "error" in event:
            raise docker.errors.DockerException(event["error"].strip())
        print(event.get("stream", "").rstrip() or event.get("status", ""), flush=True)


def examples(engine: Any) -> None:
    """Fetch Debian's bowtie2-examples in a container, for a machine without apt; a tar on standard output."""
    fetch = "cd /tmp && apt-get update -q && apt-get -o APT::Sandbox::User=root download bowtie2-examples"
    unpack = "dpkg-deb --extract bowtie2-examples*.deb . && exec tar -C usr/share/doc/bowtie2 -c examples >&3"
    # Standard output carries the tar and nothing else.
    script = f"exec 3>&1 >&2; {fetch} && {unpack}"
    container = engine.create_container(IMAGE, entrypoint=["/bin/sh", "-c", script])
    try:
        engine.start(container)
        code = engine.wait(container)["StatusCode"]
        if code:
            raise docker.errors.DockerException(engine.logs(container, stdout=False).decode(errors="replace"))
        for chunk in engine.logs(container, stderr=False, stream=True):
            sys.stdout.buffer.write(chunk)
    finally:
        engine.remove_container(container, force=True)


def _labels(engine: Any, image: str) -> dict[str, Any] | None:
    try:
        return engine.inspect_image(image)["Config"].get("Labels") or {}
    except docker.errors.ImageNotFound:
        return None


if __name__ == "__main__":
    sys.exit(main())
