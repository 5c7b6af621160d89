"""A filled-in manifest that its schema allows → its normal form, on which later stages rely.

Job: Repository, Image and TaskDefinition (Job has a module of its own). Input: a Draft. Output: its body changed in
place; mistakes kept. Files that the body names are read here, relative to the file that names them.
Must not: resolve references.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from reconciler.load import data, files
from reconciler.load.draft import Draft, Problems


def repository(draft: Draft, problems: Problems) -> None:
    """Policies out of their files; tags as a mapping."""
    for field in ("lifecyclePolicy", "repositoryPolicy"):
        policy = draft.body.get(field)
        if policy is not None and set(policy) == {"file"}:
            draft.body[field] = _policy(draft, field, str(policy["file"]), problems)
    tags(draft, problems)


def image(draft: Draft, problems: Problems) -> None:
    """Exactly one of from and build; the context relative to the working directory; one platform by default."""
    body = draft.body
    if ("from" in body) == ("build" in body) and not draft.left_out & {("from",), ("build",)}:
        draft.wrong(
            problems,
            "an Image is made from one thing. Write `from: REFERENCE`, or `build: {context: FOLDER}`.",
        )
    if "build" in body:
        context = path_beside(draft, str(body["build"]["context"]), "build", "context")
        if not context.is_dir():
            draft.wrong(
                problems,
                f"there is no folder {context}. Write one relative to this file.",
                "build",
                "context",
            )
        body["build"] = {**body["build"], "context": str(context)}
        if "args" in body["build"]:
            body["build"]["args"] = {name: str(value) for name, value in body["build"]["args"].items()}
    body.setdefault("platforms", ["linux/amd64"])


def task_definition(draft: Draft, problems: Problems) -> None:
    """Environments as text; tags as a mapping."""
    for container in draft.body.get("containerDefinitions", ()):
        for pair in container.get("environment", ()):
            if isinstance(pair.get("value"), int):
                pair["value"] = str(pair["value"])
    tags(draft, problems)


def tags(draft: Draft, problems: Problems) -> None:
    """Tags as a mapping, given as one or as the API's list; `bunnies:` is ours and `aws:` is AWS's."""
    given = draft.body.get("tags")
    if isinstance(given, list):
        draft.body["tags"] = {tag["key"]: tag.get("value", "") for tag in given}
        if len(draft.body["tags"]) < len(given):
            draft.wrong(problems, "two tags have one key. Keep one.", "tags")
    for key in draft.body.get("tags") or ():
        if key.startswith(("bunnies:", "aws:")):
            draft.wrong(
                problems, f"the tag {key} is not yours to set. Choose a key without that prefix.", "tags", key
            )


def path_beside(draft: Draft, text: str, *field: str | int) -> Path:
    """`text` as a path that can be used from here: relative to the file that has the field."""
    return Path(os.path.normpath(Path(draft.at(*field).file).parent / text))


def seconds(value: str | int) -> int:
    """A duration ("1h30m", 90) in seconds."""
    if isinstance(value, int):
        return value
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"([0-9]+)([dhms])", value)
    return sum(int(number) * units[unit] for number, unit in parts) if parts else int(value)


def _policy(draft: Draft, field: str, text: str, problems: Problems) -> Any:
    path = path_beside(draft, text, field, "file")
    try:
        found = data.document(path)
    except files.UnreadableError as error:
        draft.wrong(problems, error.told, field, "file")
        return {}
    if not isinstance(found, dict) or not found:
        draft.wrong(problems, f"{path}: a policy is a mapping. Mend the file.", field, "file")
        return {}
    return found
