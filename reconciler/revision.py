"""The commit that manifests were at, as git tells it.

Job: let the ledger say what text asked for a run. Input: a folder. Output: commit, and whether the tree was clean.
Must not: fail, or change anything: a folder without git is as good as any.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

_PATIENCE: Final = 10.0  # seconds; a status of a large tree on a cold disk


def of(folder: Path) -> dict[str, Any]:
    """`{"commit": 40 hex digits, "clean": bool}` of the repository that holds `folder`; {} where there is none.

    Clean means that nothing below `folder` differs from the commit, new files included.
    """
    place = folder if folder.is_dir() else folder.parent
    commit = _git(place, "rev-parse", "--verify", "HEAD")
    if not commit:
        return {}
    changes = _git(place, "status", "--porcelain", "--untracked-files=all", "--", ".")
    return {"commit": commit.strip(), "clean": changes is not None and not changes.strip()}


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "--no-optional-locks", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
