"""The platform layer, and what an image becomes with it.

Job: find the layer's blob for a platform; write the Dockerfile that adds it; say what a build changed that it must
not. Input: shim/layers/ beside this package, engine's inspect documents. Output: Layer, text. Must not: import
shim, talk to an engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.errors import BunniesError

INIT = "/bunnies/bin/bunny-init"
FOLDER = Path(__file__).resolve().parent.parent / "shim" / "layers"
BLOB = "layer.tar.gz"
# What the new image must have exactly as its base: everything that a user can set, but for what we set.
KEPT = ("User", "Env", "Cmd", "WorkingDir", "Volumes", "ExposedPorts", "Healthcheck", "StopSignal", "Shell")


@dataclass(frozen=True, slots=True)
class Layer:
    """A platform layer: `digest` is that of the compressed blob at `path`, `diff_id` of the tar in it; size in bytes."""

    platform: str
    path: Path
    digest: str
    diff_id: str
    size: int
    version: str


def find(platform: str, folder: Path = FOLDER) -> Layer:
    """The layer of a platform such as "linux/amd64". Raises BunniesError where it was not built."""
    name = platform.replace("/", "-")
    try:
        facts = json.loads((folder / f"{name}.json").read_text("utf-8"))
        path = folder / f"{name}.tar.gz"
        if path.stat().st_size != facts["size"]:
            raise BunniesError(
                f"the platform layer {path.name} is not the one its description tells of. "
                "Run: bunnies shim build"
            )
        return Layer(platform, path, facts["digest"], facts["diff_id"], facts["size"], str(facts["version"]))
    except FileNotFoundError:
        raise BunniesError(
            f"there is no platform layer for {platform} yet. Run: bunnies shim build --platform {platform}"
        ) from None
    except (ValueError, KeyError) as error:
        raise BunniesError(
            f"the platform layer's description {name}.json is damaged ({error}). Run: bunnies shim build"
        ) from None


def entrypoint(config: Mapping[str, Any]) -> list[str]:
    """bunny-init before the base's own entrypoint, with the number of its words (shim contract, design §7)."""
    own = [str(word) for word in config.get("Entrypoint") or ()]
    return [INIT, f"--entrypoint-args={len(own)}", "--", *own]


def refusal(config: Mapping[str, Any]) -> str | None:
    """Why this image cannot take the layer; None where it can."""
    if (config.get("Entrypoint") or [""])[0] == INIT:
        return (
            "it has the platform layer already. Name the user's own image in from:, not the one bunnies made"
        )
    if config.get("OnBuild"):  # FROM it would run the triggers, with our context in place of the user's
        return "it has ONBUILD triggers, so it is a base to build on. Build an image from it and use that one"
    return None


def dockerfile(base: str, config: Mapping[str, Any]) -> str:
    """The build that adds BLOB to the local image `base`.

    ENTRYPOINT empties the CMD that the base brings (Dockerfile reference), so it is written again. ADD unpacks a
    tar with the owners and modes in it, whatever USER is. Exec forms are JSON, which Docker does not expand.
    """
    lines = [f"FROM {base}", f"ADD {BLOB} /", f"ENTRYPOINT {json.dumps(entrypoint(config))}"]
    if config.get("Cmd"):
        lines.append(f"CMD {json.dumps(list(config['Cmd']))}")
    return "\n".join(lines) + "\n"


def differences(before: Mapping[str, Any], after: Mapping[str, Any], added: Mapping[str, str]) -> list[str]:
    """Names of what the build changed in an image's configuration besides our entrypoint and the `added` labels."""
    wrong = [name for name in KEPT if (before.get(name) or None) != (after.get(name) or None)]
    if list(after.get("Entrypoint") or ()) != entrypoint(before):
        wrong.append("Entrypoint")
    if {**(before.get("Labels") or {}), **added} != (after.get("Labels") or {}):
        wrong.append("Labels")
    return wrong
