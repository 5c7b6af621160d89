"""`{input.N}`, `{output.N}`, `{task.…}` in a Job's command and script name what is there.

Job: find, while the manifests are read, what the shim would refuse hours later. Input: a Draft whose inputs and outputs are
in normal form. Output: mistakes kept. Must not: fill anything in; the shim does (its own pattern is the same for names
that can be).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from reconciler.load.draft import Draft, Problems
from reconciler.load.references import unescape
from reconciler.schema import words

TASK = ("threads", "memory_mb", "scratch")
# after a `$` it is the shell's; what cannot be a name (`{input.name()}`) is text of some other language
_PLACEHOLDER = re.compile(r"(?<!\$)\{(input|output|task)(?:\.([\w-]+))?(:list)?\}")
Path = tuple[str | int, ...]


def check(draft: Draft, problems: Problems) -> None:
    """Checks every placeholder of a Job."""
    for path, text in _texts(draft):
        for match in _PLACEHOLDER.finditer(text):
            whole = match[0] == text or path[0] == "script"
            if what := _wrong(draft, match, whole):
                draft.wrong(problems, f"{match[0]}: {what}", *path)


def _texts(draft: Draft) -> Iterator[tuple[Path, str]]:
    if isinstance(script := draft.body.get("script"), str):
        yield ("script",), script
    for index, word in enumerate(draft.body.get("command", ())):
        yield ("command", index), unescape(word)


def _wrong(draft: Draft, match: re.Match[str], whole: bool) -> str | None:
    kind, name, as_list = match.groups()
    if kind == "task":
        known = ", ".join(f"{{task.{one}}}" for one in TASK)
        return None if name in TASK and not as_list else f"there are {known}. Write one of them."
    if as_list and kind == "output":
        return "only an input can be a :list. Take :list out."
    if draft.left_out & {(f"{kind}s",), (f"{kind}s", name)}:
        return None
    entries = draft.body[f"{kind}s"]
    if name is None and len(entries) != 1:
        return _which(kind, list(entries))
    if name is not None and name not in entries:
        return words.unknown(name, entries, f"{kind} of this job")
    lonely = (
        whole or as_list or kind == "output" or not _is_list(entries[name or next(iter(entries))]["from"])
    )
    return None if lonely else _LONELY % match[0].strip("{}")


_LONELY = "a list must be a whole word of command. Let it stand alone, or write {%s:list}, a file of paths."


def _which(kind: str, names: list[str]) -> str:
    if names:
        return f"the job has {len(names)} {kind}s. Write {{{kind}.NAME}}: {', '.join(names)}."
    return f"the job has no {kind}s. Write {{{kind}.NAME}}, and NAME below {kind}s."


def _is_list(source: Any) -> bool:
    return isinstance(source, list) or (isinstance(source, str) and "[*].outputs." in source)
