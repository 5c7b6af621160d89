"""Measure what a plan with nothing to do costs, by size, and beside ansible-playbook --check on the same server.

Job: calls and wall time of `bunnies plan`, whole and --fast, for sets of which half are repositories (at most 1,000) and the rest task
definitions; the same 40 resources with community.aws's ecs_ecr and ecs_taskdefinition, all modules told what
changes nothing. Input: the .venv, a file for the figures, --full for 10,000 resources; BUNNIES_ANSIBLE, a folder with
ansible-playbook and python in bin/, or nothing where there is none. A local cloud of its own. Output: JSON. Must not: judge.

The local cloud answers GetResources in one page, whatever was asked for: at AWS it is one call for each 100 resources.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUNNIES = ROOT / ".venv/bin/bunnies"
WORK = ROOT / ".bunnies/bench-plan"
PORT = os.environ.get("BUNNIES_BENCH_PORT", "4571")
SIDE_BY_SIDE = 40
SIZES = (SIDE_BY_SIDE, 100, 1000, 2000)
FULL = 10_000
REPOSITORIES = 1000  # at most: the local cloud's DescribeRepositories has no second page
RUNS = 3  # 1 of FULL

SETTINGS = """\
kind: Settings
name: bench
region: us-east-1
account: "000000000000"
cluster: bench
bucket: bunnies-bench
"""
REPOSITORY = """\
---
kind: Repository
name: bench/repository-{n}
imageTagMutability: IMMUTABLE
imageScanningConfiguration: {{scanOnPush: true}}
"""
TASK = """\
---
kind: TaskDefinition
name: bench-task-{n}
cpu: "256"
memory: "512"
networkMode: awsvpc
requiresCompatibilities: [FARGATE]
containerDefinitions:
  - name: main
    image: busybox:1.36
    command: [sh, -c, "true"]
    environment: [{{name: N, value: "{n}"}}]
"""
PLAYBOOK = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars: {{ansible_python_interpreter: "{python}"}}
  module_defaults:
    group/aws: {{endpoint_url: "{endpoint}", region: us-east-1}}
  tasks:
"""
ECR = """\
    - community.aws.ecs_ecr:
        name: bench/repository-{n}
        image_tag_mutability: immutable
        scan_on_push: true
"""
ECS = """\
    - community.aws.ecs_taskdefinition:
        family: bench-task-{n}
        state: present
        cpu: "256"
        memory: "512"
        network_mode: awsvpc
        launch_type: FARGATE
        containers:
          - name: main
            image: busybox:1.36
            essential: true
            command: [sh, -c, "true"]
            environment: [{{name: N, value: "{n}"}}]
"""


def main() -> int:
    """Take every figure and write the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", nargs="?", default="bench-plan.json")
    parser.add_argument("--full", action="store_true", help=f"{FULL} resources too")
    asked = parser.parse_args()
    target = Path(asked.file).resolve()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    figures: dict[str, Any] = {"unchanged": {}}
    with local_cloud() as environment:
        for size in (*SIZES, *([FULL] if asked.full else [])):
            figures["unchanged"][str(size)] = tell(f"plan of {size}", unchanged(size, environment))
            if size == SIDE_BY_SIDE:
                figures["ansible_check"] = tell(f"ansible of {size}", ansible(environment))
    if figures["ansible_check"]:
        theirs = figures["ansible_check"]["seconds_per_resource"]
        for found in figures["unchanged"].values():
            for way in ("plan", "fast"):
                found[way]["ansible_ratio_per_resource"] = round(
                    theirs / found[way]["seconds_per_resource"], 1
                )
    target.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written to {target}")
    return 0


def tell(name: str, figure: Any) -> Any:
    """Say a figure as soon as it is there."""
    print(f"{name}: {json.dumps(figure)}", flush=True)
    return figure


def unchanged(size: int, environment: dict[str, str]) -> dict[str, Any]:
    """A set of `size`, made if it is not there; then planned."""
    folder = WORK / str(size)
    folder.mkdir()
    repositories = min(size // 2, REPOSITORIES)
    documents = [REPOSITORY.format(n=n) for n in range(repositories)]
    documents += [TASK.format(n=n) for n in range(size - repositories)]
    for part in range(0, size, 1000):
        text = "".join(documents[part : part + 1000])
        (folder / f"part{part}.yaml").write_text(text.removeprefix("---\n"), encoding="utf-8")
    (folder / "settings.yaml").write_text(SETTINGS, encoding="utf-8")
    bunnies(["bootstrap", str(folder), "--yes"], environment)
    start = time.perf_counter()
    bunnies(["apply", str(folder), "--yes"], environment)
    figure: dict[str, Any] = {"apply_seconds": round(time.perf_counter() - start, 2)}
    for way, more in (("plan", []), ("fast", ["--fast"])):
        words = ["plan", str(folder), "--detailed-exitcode", *more]
        runs = 1 if size == FULL else RUNS
        taken = statistics.median(seconds(words, environment) for _ in range(runs))
        made = counted(folder, environment, fast=bool(more))
        figure[way] = {
            "seconds": round(taken, 3),
            "seconds_per_resource": round(taken / size, 6),
            "calls": sum(made.values()),
            "calls_by_operation": made,
        }
    return figure


def seconds(words: list[str], environment: dict[str, str]) -> float:
    """What one command takes; it must end with 0, so that a plan of something does not count as one of nothing."""
    start = time.perf_counter()
    bunnies(words, environment)
    return time.perf_counter() - start


def counted(folder: Path, environment: dict[str, str], *, fast: bool) -> dict[str, int]:
    """The requests of one plan, by operation."""
    command = [sys.executable, __file__, "--calls", str(folder), "fast" if fast else "whole"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    made: dict[str, int] = json.loads(done.stdout)
    return made


def calls(folder: Path, *, fast: bool) -> Counter[str]:
    """What `counted` runs in a process of its own: a plan, as the command makes it, and its calls."""
    from reconciler import survey
    from reconciler.cli.options import Common

    common = Common((folder,), (), {}, None, None, None, True, 0)
    manifests = common.load()
    actor = common.actor(manifests.settings, lambda _: None, readonly=True, fast=fast)
    if survey.plan(survey.survey(actor.world, actor.ledger, manifests)).has_changes:
        raise SystemExit("something was to be changed")
    return Counter({f"{service}:{name}": n for (service, name), n in actor.world.aws.calls.items() if n})


def ansible(environment: dict[str, str]) -> dict[str, Any] | None:
    """ansible-playbook --check of the first SIDE_BY_SIDE resources, one task each; None where there is no Ansible."""
    place = environment.get("BUNNIES_ANSIBLE")
    if not place:
        return None
    tools = Path(place).resolve() / "bin"
    head = PLAYBOOK.format(python=tools / "python", endpoint=environment["AWS_ENDPOINT_URL"])
    half = range(SIDE_BY_SIDE // 2)
    playbook = WORK / "playbook.yaml"
    playbook.write_text(head + "".join(kind.format(n=n) for kind in (ECR, ECS) for n in half), "utf-8")
    more = {
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(WORK / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    command = [str(tools / "ansible-playbook"), "-i", "localhost,", "--check", str(playbook)]
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        done = subprocess.run(
            command, cwd=WORK, env=environment | more, check=False, capture_output=True, text=True
        )
        taken.append(time.perf_counter() - start)
        if done.returncode:
            raise SystemExit(f"ansible-playbook ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    recap = done.stdout.strip().splitlines()[-1]
    said = dict(word.split("=") for word in recap.split() if "=" in word)
    middle = statistics.median(taken)
    return {
        "resources": SIDE_BY_SIDE,
        "seconds": round(middle, 3),
        "seconds_per_resource": round(middle / SIDE_BY_SIDE, 4),
        "says_changed": int(said["changed"]),
        "says_ok": int(said["ok"]),
    }


@contextlib.contextmanager
def local_cloud() -> Iterator[dict[str, str]]:
    """A local cloud of our own, its state below WORK; the environment that points to it."""
    own = dict(os.environ)
    bunnies(["local", "up", "--port", PORT], own)
    try:
        printed = bunnies(["local", "env"], own)
        pairs = (line.removeprefix("export ").partition("=") for line in printed.splitlines() if "=" in line)
        yield {**own, **{name: value.strip("'\"") for name, _, value in pairs}}
    finally:
        bunnies(["local", "down"], own)


def bunnies(arguments: list[str], environment: dict[str, str]) -> str:
    """Run one command in WORK; its standard output."""
    done = subprocess.run(
        [str(BUNNIES), *arguments], cwd=WORK, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(
            f"bunnies {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


if __name__ == "__main__":
    if sys.argv[1:2] == ["--calls"]:
        print(json.dumps(calls(Path(sys.argv[2]), fast=sys.argv[3] == "fast")))
        sys.exit()
    sys.exit(main())
