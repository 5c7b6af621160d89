"""The built layer: what its description says of it, and that building it again changes nothing."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

LAYERS = Path(__file__).parents[3] / "shim/layers"
BLOB = LAYERS / "linux-amd64.tar.gz"
DESCRIPTION = LAYERS / "linux-amd64.json"


def test_the_description_is_that_of_the_file() -> None:
    said = json.loads(DESCRIPTION.read_text())
    blob = BLOB.read_bytes()
    tar = gzip.decompress(blob)
    assert said["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert said["diff_id"] == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    assert (said["platform"], said["size"], said["unpacked"]) == ("linux/amd64", len(blob), len(tar))
    assert said["size"] < 17_000_000


def test_an_unchanged_layer_is_not_built_again() -> None:
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "shim.layer"], capture_output=True, text=True, check=True)
    assert "up to date" in done.stderr
    assert done.stdout.splitlines() == [str(BLOB), str(DESCRIPTION)]
    assert time.monotonic() - begun < 5


def test_another_build_gives_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shim.layer", "--force", "--out", str(tmp_path / "a folder")]
    subprocess.run(command, capture_output=True, check=True)
    assert (tmp_path / "a folder/linux-amd64.tar.gz").read_bytes() == BLOB.read_bytes()


def test_the_layer_holds_nothing_outside_its_places_and_every_copyright() -> None:
    with tarfile.open(BLOB) as tar:
        members = {member.name: member for member in tar.getmembers()}
    assert {name.partition("/")[0] for name in members} == {"bunnies", "input", "output", "scratch"}
    packages = json.loads(DESCRIPTION.read_text())["packages"]
    assert {f"bunnies/share/doc/{name}/copyright" for name in packages} <= set(members)
    assert not [name for name, member in members.items() if member.mode & 0o6000]


@pytest.mark.parametrize(
    "environment",
    [
        {"LD_LIBRARY_PATH": "/decoy"},
        {"PYTHONHOME": "/nope", "PYTHONPATH": "/nope", "PYTHONSTARTUP": "/nope", "PYTHONMALLOC": "debug"},
        {"LC_ALL": "C", "LANG": "xx_XX"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_the_image_s_environment_does_not_reach_our_python(
    shim_run: Callable[..., Any], environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "libz.so.1").write_text("not a library")
    (tmp_path / "libc.so.6").write_text("not a library")
    container = shim_run(
        ["env"], environment=environment, volumes={str(tmp_path): {"bind": "/decoy", "mode": "ro"}}
    )
    code = container.wait()["StatusCode"]
    text = container.logs().decode()
    assert code == 0, text
    assert {f"{name}={value}" for name, value in environment.items()} <= set(text.splitlines())


def test_the_image_s_libc_configuration_is_for_its_own_libc(
    job: Callable[..., Any], bucket: Any, s3_endpoint: str, tmp_path: Path
) -> None:
    """Name services, preloaded libraries and openssl.cnf of the image: none of them reaches our python or obstore."""
    files = {
        "nsswitch.conf": "hosts: nope [NOTFOUND=return]\npasswd: nope\n",
        "ld.so.preload": "/etc/decoy.so\n",
        "openssl.cnf": "openssl_conf = here\n[here]\nproviders = p\n[p]\nfips = f\n[f]\nactivate = 1\nmodule = /nope\n",
    }
    volumes = {}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        volumes[str(tmp_path / name)] = {"bind": f"/etc/{name}", "mode": "ro"}
    container = job(
        {"command": ["sh", "-c", "echo $OPENSSL_CONF"]},
        {
            "volumes": volumes,
            "extra_hosts": {"s3.test": s3_endpoint.removeprefix("http://").partition(":")[0]},
        },
        extra={
            "OPENSSL_CONF": "/etc/openssl.cnf",
            "AWS_ENDPOINT_URL": f"http://s3.test:{s3_endpoint.rpartition(':')[2]}",
        },
    )
    code = container.wait(timeout=60)["StatusCode"]
    text = container.logs().decode()
    assert code == 0, text
    assert "ld.so" not in text
    assert bucket.get("attempt/stdout.log") == b"/etc/openssl.cnf\n"
