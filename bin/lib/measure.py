"""Measure what the project promises to keep small, and write it as JSON.

Job: each figure as the median of several runs and, where something comparable does the same work without us, as a ratio
to it. Input: the .venv, a Docker engine (DOCKER_HOST) with the quickstart's image, the layer; a local cloud of its own
on its own port. Output: a JSON file. Must not: judge.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import docker.utils

from reconciler import derive, layer

ROOT = Path(__file__).resolve().parents[2]
BUNNIES = ROOT / ".venv/bin/bunnies"
PYTHON = ROOT / ".venv/bin/python"
WORK = ROOT / ".bunnies/bench"
PORT = os.environ.get("BUNNIES_BENCH_PORT", "4571")
USER_IMAGE = "rieseberglab/analytics:3"
SHIMMED = "bunnies-bench/analytics:shimmed"
RUNS = 7
ASLEEP = 20  # seconds that the job sleeps whose init is weighed

SETTINGS = """\
kind: Settings
name: bench
region: us-east-1
account: "000000000000"
cluster: bench
bucket: bunnies-bench
network: {subnets: [subnet-00000001], securityGroups: [sg-00000001]}
executionRoleArn: arn:aws:iam::000000000000:role/bench-execution
taskRoleArn: arn:aws:iam::000000000000:role/bench-task
guards: {maxRuns: 2000}
"""
REPOSITORY = """\
---
kind: Repository
name: bench/repository-{n}
imageTagMutability: IMMUTABLE
"""
TASK = """\
---
kind: TaskDefinition
name: bench-task-{n}
cpu: 1 vCPU
memory: 2 GB
networkMode: awsvpc
requiresCompatibilities: [FARGATE]
containerDefinitions:
  - name: main
    image: {image}
    environment: [{{name: N, value: "{n}"}}]
"""
JOB = """\
---
kind: Job
name: bench-job-{n}
taskDefinition: bench-task-{n}
command: [sh, -c, "true"]
environment: {{N: "{n}"}}
outputs:
  table: {{path: table.txt, optional: true}}
"""
IMAGE = f"""\
---
kind: Repository
name: bench/analytics
---
kind: Image
name: analytics
from: docker-daemon:{USER_IMAGE}
repository: bench/analytics
platforms: [linux/amd64]
"""
SLEEP = f"""\
---
kind: TaskDefinition
name: sleep-task
cpu: 1 vCPU
memory: 2 GB
networkMode: awsvpc
requiresCompatibilities: [FARGATE]
containerDefinitions:
  - name: sleeper
    image: ${{image.analytics}}
---
kind: Job
name: sleep
taskDefinition: sleep-task
command: [sleep, "{ASLEEP}"]
generation: "@NOW@"
inputs:
  settings: s3://bunnies-bench/input.txt
outputs:
  none: {{path: none.txt, optional: true}}
"""


def main() -> int:
    """Take every figure and write the file."""
    target = Path(sys.argv[1]).resolve()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    engine: Any = docker.APIClient(**docker.utils.kwargs_from_env(), version="auto", timeout=600)
    figures: dict[str, Any] = {
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        }
    }
    steps: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        ("version", version),
        ("validate_1000_documents", validate),
        ("layer", layer_size),
        ("container_start", lambda: container_start(engine)),
    ]
    for name, step in steps:
        figures[name] = tell(name, step)
    with local_cloud() as environment:
        figures["plan_unchanged_200_and_200"] = tell("plan", lambda: plan_unchanged(environment))
        figures["init_memory"] = tell("init_memory", lambda: init_memory(engine, environment))
    target.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written to {target}")
    return 0


def tell(name: str, step: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Take one figure and say it."""
    figure = step()
    print(f"{name}: {json.dumps(figure)}", flush=True)
    return figure


def seconds(command: list[str], runs: int = RUNS, **options: Any) -> float:
    """The median of the seconds a command takes, after one run that does not count."""
    taken = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        taken.append(time.perf_counter() - start)
    return round(statistics.median(taken[1:]), 4)


def version() -> dict[str, Any]:
    """`bunnies --version` against a Python that does nothing."""
    ours, bare = seconds([str(BUNNIES), "--version"], 15), seconds([str(PYTHON), "-c", "pass"], 15)
    return {"seconds": ours, "python_pass_seconds": bare, "ratio": round(ours / bare, 2)}


def validate() -> dict[str, Any]:
    """`bunnies validate` of 1,000 documents in ten files, against ruamel.yaml reading the same files."""
    folder = WORK / "validate"
    folder.mkdir()
    kinds = [REPOSITORY, TASK, JOB]
    documents = [SETTINGS + IMAGE] + [
        kinds[n % 3].format(n=n // 3, image="${image.analytics}") for n in range(997)
    ]
    for part in range(10):
        texts = documents[part * 100 : (part + 1) * 100]
        (folder / f"part{part}.yaml").write_text("".join(texts), encoding="utf-8")
    ours = seconds([str(BUNNIES), "validate", str(folder)], 3)
    read = (
        "import pathlib, ruamel.yaml, sys\n"
        "for file in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    list(ruamel.yaml.YAML().load_all(file))\n"
    )
    bare = seconds([str(PYTHON), "-c", read, str(folder)], 3)
    return {"seconds": ours, "ruamel_load_seconds": bare, "ratio": round(ours / bare, 2)}


def layer_size() -> dict[str, Any]:
    """The platform layer as it is pushed, and unpacked."""
    found = layer.find("linux/amd64")
    with tarfile.open(found.path) as archive:
        unpacked = sum(member.size for member in archive)
    return {"bytes_gzip": found.size, "bytes_unpacked": unpacked, "digest": found.digest}


def container_start(engine: Any) -> dict[str, Any]:
    """From the request to start to the user's process saying the time: the shimmed image against the user's own."""
    shim_locally(engine)
    # In turns, so that what else this machine does falls on both.
    pairs = [(start_delay(engine, USER_IMAGE), start_delay(engine, SHIMMED)) for _ in range(2 * RUNS + 1)][1:]
    before, after = (statistics.median(side) for side in zip(*pairs, strict=True))
    return {
        "start_to_user_process_seconds": round(after, 4),
        "without_shim_seconds": round(before, 4),
        "ratio": round(after / before, 2),
        "added_seconds": round(statistics.median(after - before for before, after in pairs), 4),
    }


def start_delay(engine: Any, image: str) -> float:
    """Seconds from the start request to the user's process."""
    container = engine.create_container(image, command=["date", "+%s.%N"])
    try:
        asked = time.time()
        engine.start(container)
        engine.wait(container)
        return float(engine.logs(container, stderr=False)) - asked
    finally:
        engine.remove_container(container, force=True)


def shim_locally(engine: Any) -> None:
    """The user's image with the layer, kept in the engine; what it runs is what bunnies makes of it."""
    config = engine.inspect_image(USER_IMAGE)["Config"]
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        words = [
            f"FROM {USER_IMAGE}",
            "ADD layer.tar.gz /",
            f"ENTRYPOINT {json.dumps(derive.entrypoint(config))}",
        ]
        text = "\n".join([*words, f"CMD {json.dumps(config.get('Cmd') or [])}"]).encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
        archive.add(layer.find("linux/amd64").path, "layer.tar.gz")
    context.seek(0)
    for event in engine.build(fileobj=context, custom_context=True, tag=SHIMMED, rm=True, decode=True):
        if "error" in event:
            raise SystemExit(f"the shimmed image could not be built: {event['error']}")


@contextlib.contextmanager
def local_cloud() -> Iterator[dict[str, str]]:
    """A local cloud of our own, its state below WORK; the environment that points to it."""
    bunnies(["local", "up", "--port", PORT], dict(os.environ))
    try:
        printed = bunnies(["local", "env"], dict(os.environ))
        pairs = (line.removeprefix("export ").partition("=") for line in printed.splitlines() if "=" in line)
        yield {**os.environ, **{name: value.strip("'\"") for name, _, value in pairs}}
    finally:
        bunnies(["local", "down"], dict(os.environ))


def bunnies(arguments: list[str], environment: dict[str, str]) -> str:
    """Run one command in WORK; its standard output."""
    done = subprocess.run(
        [str(BUNNIES), *arguments], cwd=WORK, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(
            f"bunnies {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def plan_unchanged(environment: dict[str, str]) -> dict[str, Any]:
    """A plan of 200 task definitions and 200 repositories with nothing to do."""
    folder = WORK / "many"
    folder.mkdir()
    documents = [kind.format(n=n, image="busybox:1.36") for kind in (REPOSITORY, TASK) for n in range(200)]
    (folder / "all.yaml").write_text(SETTINGS + "".join(documents), encoding="utf-8")
    bunnies(["bootstrap", str(folder), "--yes"], environment)
    start = time.perf_counter()
    bunnies(["apply", str(folder), "--yes"], environment)
    applied = time.perf_counter() - start
    plan = [str(BUNNIES), "plan", str(folder), "--detailed-exitcode"]
    taken = seconds(plan, 3, env=environment, cwd=WORK)
    fast = seconds([*plan, "--fast"], 3, env=environment, cwd=WORK)
    return {"seconds": taken, "fast_seconds": fast, "first_apply_seconds": round(applied, 2)}


def init_memory(engine: Any, environment: dict[str, str]) -> dict[str, Any]:
    """Resident memory of bunny-init while a job's command, started by it, sleeps."""
    folder = WORK / "sleep"
    folder.mkdir()
    text = SETTINGS + IMAGE + SLEEP.replace("@NOW@", str(time.time_ns()))
    (folder / "all.yaml").write_text(text, encoding="utf-8")
    bunnies(["bootstrap", str(folder), "--yes"], environment)
    upload = "import sys; from reconciler import aws; aws.Aws('us-east-1').call('s3', 'PutObject', Bucket='bunnies-bench', Key='input.txt', Body=b'x' * 10_000_000)"
    subprocess.run([str(PYTHON), "-c", upload], check=True, env=environment)
    waiter = threading.Thread(target=bunnies, args=(["apply", str(folder), "--yes", "--wait"], environment))
    waiter.start()
    try:
        return weigh(engine)
    finally:
        waiter.join()


def weigh(engine: Any) -> dict[str, Any]:
    """Read /proc of the one container in which bunny-init has a sleeping child."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for container in engine.containers():
            table = engine.top(container["Id"], "-eo pid,args")["Processes"]
            init = [row[0] for row in table if "bunny-init" in row[1]]
            if init and any(row[1] == f"sleep {ASLEEP}" for row in table):
                rollup = Path(f"/proc/{init[0]}/smaps_rollup").read_text()
                values = {line.split(":")[0]: line.split()[1] for line in rollup.splitlines()[1:]}
                return {"rss_kib": int(values["Rss"]), "pss_kib": int(values["Pss"])}
        time.sleep(0.5)
    raise SystemExit("no container with bunny-init and its command was seen within two minutes")


if __name__ == "__main__":
    sys.exit(main())
