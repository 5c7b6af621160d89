"""The platform layer.

Job: find the layer's blob for a platform. Input: shim/layers/ beside this package. Output: Layer. Must not: import
shim, or know what an image becomes with it (derive does).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import BunniesError

FOLDER = Path(__file__).resolve().parent.parent / "shim" / "layers"


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
