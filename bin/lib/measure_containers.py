"""What bunny-init costs a container: the way to the user's process, against tini, and memory while that runs.

Job: two small images FROM scratch with busybox, one under tini, one with the layer. Input: a Docker engine, the layer, a
static busybox and Debian's tini. Output: JSON on stdout. Must not: leave images behind.

    python bin/lib/measure_containers.py RUNS
"""

from __future__ import annotations

import datetime
import io
import json
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import docker
import docker.utils

from reconciler import layer

TAGS = {
    "plain": "bunnies-bench-shim:plain",
    "tini": "bunnies-bench-shim:tini",
    "shim": "bunnies-bench-shim:shim",
}
ENTRY = {
    "plain": '["/bin/busybox"]',
    "tini": '["/bin/tini", "--", "/bin/busybox"]',
    "shim": '["/bunnies/bin/bunny-init", "--entrypoint-args=1", "--", "/bin/busybox"]',
}


def figures(runs: int) -> dict[str, Any]:
    """Seconds from the request to start to the user's process, by image; resident memory of PID 1."""
    engine: Any = docker.APIClient(**docker.utils.kwargs_from_env(), version="auto", timeout=600)
    try:
        for name in TAGS:
            build(engine, name)
        turns = [{name: start(engine, tag) for name, tag in TAGS.items()} for _ in range(runs + 1)][1:]
        middle = {name: statistics.median(turn[name] for turn in turns) for name in TAGS}
        added = statistics.median(turn["shim"] - turn["tini"] for turn in turns)
        return {
            "start_to_user_process_seconds": {name: round(one, 4) for name, one in middle.items()},
            "shim_over_tini_seconds": round(added, 4),
            "shim_over_tini_ratio": round(middle["shim"] / middle["tini"], 2),
            "pid_1_resident_kib": resident(engine),
        }
    finally:
        for tag in TAGS.values():
            try:
                engine.remove_image(tag, force=True)
            except docker.errors.ImageNotFound:
                continue
        engine.close()


def build(engine: Any, name: str) -> None:
    """FROM scratch, busybox, and what runs first."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SystemExit("a static busybox is missing: apt-get install busybox-static")
    files = {"bin/busybox": Path(busybox)}
    lines = ["FROM scratch", "ADD files.tar /", f"ENTRYPOINT {ENTRY[name]}"]
    if name == "tini":
        files |= tini()
    if name == "shim":
        lines.insert(1, "ADD layer.tar.gz /")
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        for place, path in files.items():
            archive.add(path.resolve(), place)
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for place, data in (("Dockerfile", "\n".join(lines).encode()), ("files.tar", inner.getvalue())):
            entry = tarfile.TarInfo(place)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        if name == "shim":
            archive.add(layer.find("linux/amd64").path, "layer.tar.gz")
    context.seek(0)
    for event in engine.build(fileobj=context, custom_context=True, tag=TAGS[name], rm=True, decode=True):
        if "error" in event:
            raise SystemExit(f"an image could not be built: {event['error']}")


def tini() -> dict[str, Path]:
    """Debian's tini: the static one where it is, else the other with the libraries that it loads."""
    if static := shutil.which("tini-static"):
        return {"bin/tini": Path(static)}
    program = shutil.which("tini")
    if program is None:
        raise SystemExit("tini is missing: apt-get install tini")
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = [word for line in told.splitlines() for word in line.split() if word.startswith("/")]
    return {"bin/tini": Path(program), **{path.lstrip("/"): Path(path) for path in libraries}}


def start(engine: Any, image: str) -> float:
    """Seconds from the request to start to the first word of the user's process, by the engine's clock."""
    container = engine.create_container(image, command=["echo", "here"])
    try:
        asked = time.time()
        engine.start(container)
        engine.wait(container)
        at = engine.logs(container, stderr=False, timestamps=True).split()[0].decode()
        return datetime.datetime.fromisoformat(at[:26] + "+00:00").timestamp() - asked
    finally:
        engine.remove_container(container, force=True)


def resident(engine: Any) -> int:
    """VmRSS of PID 1 of the image with the layer, as its user's process sees it."""
    container = engine.create_container(TAGS["shim"], command=["grep", "VmRSS", "/proc/1/status"])
    try:
        engine.start(container)
        engine.wait(container)
        return int(engine.logs(container, stderr=False).split()[1])
    finally:
        engine.remove_container(container, force=True)


if __name__ == "__main__":
    print(json.dumps(figures(int(sys.argv[1]))))
