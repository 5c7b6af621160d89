"""Measure what making a shimmed image costs, against the tools that people would use instead.

Job: `bunnies apply` of one image against docker pull + build + push and, where crane is on the PATH, against crane;
a copy from one registry to another against skopeo, with the memory of each. Input: a size in MiB, a Docker engine,
docker-registry and skopeo; a local cloud of its own. Output: figures, each a ratio within one run. Must not: judge.

The base's bytes are random, so that no tool gains by compressing them; its four layers are of one size. The registry
that stands for ECR is docker-registry too, so that its own speed is the same for all.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reconciler import clock, derive, layer, media, registry
from reconciler.registry import transfer

ROOT = Path(__file__).resolve().parents[2]
BUNNIES = ROOT / ".venv/bin/bunnies"
WORK = ROOT / ".bunnies/bench-image"
PORT = os.environ.get("BUNNIES_BENCH_PORT", "4571")
RUNS = 3
LAYERS = 4
REGISTRY = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
MANIFEST = """\
kind: Settings
name: bench
region: us-east-1
cluster: bench
bucket: bunnies-bench
---
kind: Repository
name: {name}
---
kind: Image
name: analytics
from: {base}
repository: {name}
"""


def main() -> int:
    """Take the figures for an image of SIZE MiB and write FILE."""
    size, target = int(sys.argv[1]), Path(sys.argv[2]).resolve()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    try:
        with serve("one") as one, serve("other") as other, local_cloud() as environment:
            base = push_base(one, size)
            figures = {"mib": size, "layers": LAYERS}
            figures |= in_one_registry(one, base, environment)
            figures |= across(one, other, base, environment)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    text = json.dumps(figures, indent=2)
    target.write_text(text + "\n", encoding="utf-8")
    print(f"{text}\nwritten to {target}")
    return 0


@contextlib.contextmanager
def serve(name: str) -> Iterator[str]:
    """HOST:PORT of a docker-registry on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = WORK / f"{name}.yml"
    config.write_text(REGISTRY.format(folder=WORK / name, port=port), encoding="utf-8")
    process = subprocess.Popen(
        ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def local_cloud() -> Iterator[dict[str, str]]:
    """A local cloud of our own; the environment that points to it, but for the registry."""
    run([str(BUNNIES), "local", "up", "--port", PORT])
    try:
        printed = run([str(BUNNIES), "local", "env"])
        pairs = (line.removeprefix("export ").partition("=") for line in printed.splitlines() if "=" in line)
        # An installed program has its byte code; one run from a checkout may be told not to write it.
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(WORK / "bytecode")}
        yield {**os.environ, **compiled, **{name: value.strip("'\"") for name, _, value in pairs}}
    finally:
        run([str(BUNNIES), "local", "down"])


def push_base(host: str, size: int) -> str:
    """A user's image of `size` MiB."""
    target = registry.Registries(os.environ, clock.system()).repository(host, "bases/analytics")
    layers, diff_ids = [], []
    for number in range(LAYERS):
        path = WORK / f"layer{number}"
        with (
            path.open("wb") as file,
            gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed,
        ):
            hasher = _Hashing(packed)
            with tarfile.open(fileobj=hasher, mode="w|") as archive:  # type: ignore[call-overload]
                entry = tarfile.TarInfo(f"data{number}")
                entry.size = size * 1024 * 1024 // LAYERS
                with Path("/dev/urandom").open("rb") as source:
                    archive.addfile(entry, source)
        with path.open("rb") as written:
            digest = f"sha256:{hashlib.file_digest(written, 'sha256').hexdigest()}"
        target.push(registry.from_file(path, digest, path.stat().st_size))
        layers.append({"mediaType": media.DOCKER_LAYER, "size": path.stat().st_size, "digest": digest})
        diff_ids.append(f"sha256:{hasher.hash.hexdigest()}")
        path.unlink()
    config = derive.text(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/data0"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    )
    target.push(registry.from_bytes(config))
    target.put("3", registry.document(derive.engine_manifest(config, layers), media.DOCKER_MANIFEST))
    return f"{host}/bases/analytics:3"


class _Hashing:
    """A file that also hashes what is written to it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def write(self, chunk: bytes) -> int:
        self.hash.update(chunk)
        return int(self._file.write(chunk))


def in_one_registry(host: str, base: str, environment: dict[str, str]) -> dict[str, Any]:
    """The base and the shimmed image in one registry, as where both are in one account's ECR."""
    found = layer.find("linux/amd64")
    sides: dict[str, Callable[[int], float]] = {
        "bunnies": lambda turn: apply(host, base, f"one/bunnies-{turn}", environment)[0],
        "docker": lambda turn: with_docker(base, f"{host}/one/docker-{turn}:1", found),
    }
    if shutil.which("crane"):
        sides["crane"] = lambda turn: with_crane(base, f"{host}/one/crane-{turn}:1", found)
        sides["in_registry"] = lambda turn: timed_made(host, base, f"one/made-{turn}")
    taken = in_turns(sides)
    figures: dict[str, Any] = {
        "bunnies_apply_seconds": taken["bunnies"],
        "docker_pull_build_push_seconds": taken["docker"],
        "docker_over_bunnies": round(taken["docker"] / taken["bunnies"], 1),
        "in_registry_seconds": taken.get("in_registry") or timed_made(host, base, "one/made"),
    }
    if "crane" in taken:
        figures["crane_append_mutate_seconds"] = taken["crane"]
        figures["crane_over_in_registry"] = round(taken["crane"] / taken["in_registry"], 2)
    return figures


def across(one: str, other: str, base: str, environment: dict[str, str]) -> dict[str, Any]:
    """From one registry to another, which has none of the blobs: every turn begins with it empty of them."""
    memory: list[int] = []

    def ours(turn: int) -> float:
        taken, resident = apply(other, base, f"across/bunnies-{turn}", environment)
        memory.append(resident)
        forget("other")
        return taken

    def skopeo(turn: int) -> float:
        taken, _ = measured(
            ["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false",
             "--dest-tls-verify=false", f"docker://{base}", f"docker://{other}/across/skopeo-{turn}:1"],
            dict(os.environ),
        )  # fmt: skip
        forget("other")
        return taken

    taken = in_turns({"bunnies": ours, "skopeo": skopeo})
    return {
        "across_bunnies_apply_seconds": taken["bunnies"],
        "across_skopeo_copy_seconds": taken["skopeo"],
        "skopeo_over_bunnies": round(taken["skopeo"] / taken["bunnies"], 2),
        "bunnies_resident_mib": round(max(memory) / 1024, 1),
    }


def in_turns(sides: dict[str, Callable[[int], float]]) -> dict[str, float]:
    """The median of each side, taken in turns so that what else this machine does falls on all; the first round warms."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(RUNS + 1):
        for name, side in sides.items():
            seconds = side(turn)
            if turn:
                taken[name].append(seconds)
    return {name: round(statistics.median(values), 3) for name, values in taken.items()}


def apply(host: str, base: str, name: str, environment: dict[str, str]) -> tuple[float, int]:
    """Seconds and KiB of `bunnies apply` of one image whose repository is not there yet."""
    folder = WORK / name.replace("/", "-")
    folder.mkdir()
    (folder / "image.yaml").write_text(MANIFEST.format(name=name, base=base), encoding="utf-8")
    if not (WORK / "bootstrapped").exists():
        run([str(BUNNIES), "bootstrap", str(folder), "--yes"], environment)
        (WORK / "bootstrapped").touch()
    return measured([str(BUNNIES), "apply", str(folder), "--yes"], {**environment, "BUNNIES_REGISTRY": host})


def timed_made(host: str, base: str, name: str) -> float:
    """Seconds of the part in the registry alone, in a process that runs already."""
    start = time.perf_counter()
    found = registry.parse(base)
    registries = registry.Registries(os.environ, clock.system())
    source, target = registries.repository(host, found.path), registries.repository(host, name)
    document = source.manifest(str(found.tag))
    manifest = derive.parsed(document.body)
    config = source.read(manifest["config"]["digest"], 1_000_000)
    platform_layer = layer.find("linux/amd64")
    made = derive.image(
        derive.Base(document.body, document.media_type, config, base, document.digest), platform_layer
    )
    blobs = [
        registry.Blob(one["digest"], one["size"], lambda: iter(()), (found.path,))
        for one in manifest["layers"]
    ]
    blobs.append(registry.from_file(platform_layer.path, platform_layer.digest, platform_layer.size))
    transfer.push(target, [*blobs, registry.from_bytes(made.config)], lambda _line: None)
    target.put("1", registry.document(made.manifest, made.media_type))
    return round(time.perf_counter() - start, 3)


def with_docker(base: str, target: str, found: layer.Layer) -> float:
    """Seconds of docker pull + build + push, from an engine that does not have the base."""
    folder = WORK / "docker"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(found.path, folder / "layer.tar.gz")
    words = json.dumps(derive.entrypoint({}))
    text = f'FROM {base}\nADD layer.tar.gz /\nENTRYPOINT {words}\nCMD ["/data0"]\n'
    (folder / "Dockerfile").write_text(text, encoding="utf-8")
    start = time.perf_counter()
    run(["docker", "pull", "-q", base])
    run(["docker", "build", "-q", "-t", target, str(folder)], {**os.environ, "DOCKER_BUILDKIT": "0"})
    run(["docker", "push", "-q", target])
    taken = time.perf_counter() - start
    run(["docker", "rmi", "-f", target, base])
    return taken


def with_crane(base: str, target: str, found: layer.Layer) -> float:
    """Seconds of crane append + mutate."""
    entrypoint = ",".join(derive.entrypoint({}))
    start = time.perf_counter()
    run(["crane", "append", "--insecure", "-b", base, "-f", str(found.path), "-t", target])
    run(["crane", "mutate", "--insecure", target, "--entrypoint", entrypoint, "-t", target])
    return time.perf_counter() - start


def forget(name: str) -> None:
    """Take a registry's blobs and uploads away below it."""
    shutil.rmtree(WORK / name / "docker", ignore_errors=True)


def measured(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Seconds and the most KiB resident of a command that must succeed."""
    log = WORK / "log"
    start = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()}")
    return time.perf_counter() - start, usage.ru_maxrss


def run(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, env=environment, cwd=WORK, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
