"""`python -m shim.layer [--platform linux/amd64] [--out DIR] [--force] [--update] [--wheel FILE]`: builds the layer, prints its two paths."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from shim.layer import build, recipe


def main() -> int:
    """Exit code 0 with the paths on stdout, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m shim.layer", description="Builds the platform layer.")
    parser.add_argument("--platform", default="linux/amd64", choices=sorted(recipe.PLATFORMS))
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "layers")
    parser.add_argument("--force", action="store_true", help="build even if the layer is up to date")
    parser.add_argument("--update", action="store_true", help="take the Debian packages of today")
    parser.add_argument(
        "--wheel", type=Path, help="a wheel of obstore, where pip finds none for the platform"
    )
    arguments = parser.parse_args()
    platform = recipe.PLATFORMS[arguments.platform]
    try:
        how = build.How(arguments.update, arguments.force, arguments.wheel)
        built = build.build(platform, arguments.out.resolve(), how, _say)
    except recipe.RecipeError as error:
        _say(f"shim build: {error}")
        return 1
    print(built.blob)
    print(built.description)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
