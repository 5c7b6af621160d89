"""A registry as Debian packages it, and the tools that judge an image without knowing us.

Job: docker-registry on loopback, skopeo, umoci, crun. Input: folders. Output: hosts, files. Must not: use our client.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """HOST:PORT of a docker-registry with its state in `folder`."""
    program = tool("docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yml"
    config.write_text(CONFIG.format(folder=folder / "data", port=port))
    process = subprocess.Popen(
        [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def tool(name: str) -> str:
    """The path of a program that these tests need; bin/test installs it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.fail(f"these tests need {name}: apt-get install {name}")
    return found


def run(*words: str | Path) -> str:
    """What a command says; its failure is the test's, with what it said."""
    done = subprocess.run(
        [tool(str(words[0])), *map(str, words[1:])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr or done.stdout}"
    return done.stdout


def copy(source: str, target: str, *options: str) -> None:
    """`skopeo copy`, TLS left out on both sides."""
    run("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
        "--quiet", *options, source, target)  # fmt: skip


def inspect(reference: str, *options: str) -> dict[str, Any]:
    """`skopeo inspect` of HOST/PATH:TAG or @DIGEST."""
    text = run("skopeo", "inspect", "--tls-verify=false", *options, f"docker://{reference}")
    found: dict[str, Any] = json.loads(text)
    return found


def crun(bundle: Path) -> str:
    """What a container of an unpacked bundle says, run by crun."""
    config = bundle / "config.json"
    spec = json.loads(config.read_text())
    spec["process"]["terminal"] = False
    spec["linux"].pop("resources", None)
    spec["mounts"] = [one for one in spec["mounts"] if one["type"] != "cgroup"]
    config.write_text(json.dumps(spec))
    name = f"registry-{uuid.uuid4().hex[:8]}"
    # crun knows cgroups of version 1 or 2, not both at once; in a mount namespace of its own it sees one.
    script = 'umount -l /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'
    return run("unshare", "-m", "sh", "-c", script, "crun", tool("crun"), "--cgroup-manager=disabled",
               "run", "--bundle", bundle, name)  # fmt: skip
