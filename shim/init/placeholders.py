"""Fills `{input.N}`, `{output.N}` and `{task.*}` into a command or a script.

Job: replace placeholders. Input: words or text, values. Output: words or text, files to write for `:list`.
Must not: touch the file system, or read a `{…}` that directly follows a `$`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import NamedTuple

from shim.init.errors import ShimError
from shim.init.spec import JobSpec

_PLACEHOLDER = re.compile(
    r"(?<!\$)\{(?P<kind>input|output|task)(?:\.(?P<name>[A-Za-z_][A-Za-z0-9_]*))?(?P<list>:list)?\}"
)
#: What a shell takes as it stands: the characters that shlex.quote leaves alone.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


class Values(NamedTuple):
    """What each placeholder stands for: `{"input.r1": "/input/r1/a.fq"}`; a list for an input of kind list.

    `lists` holds for every input name all its paths, which `{input.N:list}` names a file of below `scratch`.
    """

    values: Mapping[str, str | tuple[str, ...]]
    lists: Mapping[str, tuple[str, ...]]
    scratch: str


class Filled(NamedTuple):
    """The words, or the one text of a script, and the list files to write before it runs: path → content."""

    words: tuple[str, ...]
    files: Mapping[str, str]


def values(spec: JobSpec) -> Values:
    """The values of a job: absolute paths below its work root."""
    root = {kind: posixpath.join(spec.work_root, kind) for kind in ("input", "output", "scratch")}
    found: dict[str, str | tuple[str, ...]] = {"task.scratch": root["scratch"]}
    lists = {}
    for given in spec.inputs:
        paths = tuple(posixpath.join(root["input"], item.path) for item in given.objects)
        lists[given.name] = tuple(path for path in paths if not path.endswith("/"))
        single = paths[0] if given.kind == "file" else posixpath.join(root["input"], given.path).rstrip("/")
        found[f"input.{given.name}"] = paths if given.kind == "list" else single
    for wanted in spec.outputs:
        path = fixed_folder(wanted.path) if wanted.kind == "glob" else wanted.path
        found[f"output.{wanted.name}"] = posixpath.join(root["output"], path).rstrip("/")
    for kind, names in (("input", spec.inputs), ("output", spec.outputs)):
        if len(names) == 1:
            found[kind] = found[f"{kind}.{names[0].name}"]
    found |= {f"task.{name}": str(value) for name, value in spec.task.items()}
    return Values(found, lists, root["scratch"])


def fixed_folder(pattern: str) -> str:
    """The part of a glob before its first wildcard, up to a slash: where its files are looked for; may be empty."""
    fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return fixed.rpartition("/")[0]


def fill_command(words: tuple[str, ...], given: Values) -> Filled:
    """A list that is a whole word becomes one word per file; anywhere else it is an error."""
    files: dict[str, str] = {}
    filled: list[str] = []
    for word in words:
        whole = _PLACEHOLDER.fullmatch(word)
        value = _value(whole, given, files) if whole else ""
        if isinstance(value, tuple):
            filled += value
        else:
            filled.append(_PLACEHOLDER.sub(lambda match: _in_word(match, given, files), word))
    return Filled(tuple(filled), files)


def fill_script(text: str, given: Values) -> Filled:
    """A list becomes its paths, a space between; a path that a shell would not take as it stands is an error."""
    files: dict[str, str] = {}
    return Filled((_PLACEHOLDER.sub(lambda match: _in_script(match, given, files), text),), files)


def _value(match: re.Match[str], given: Values, files: dict[str, str]) -> str | tuple[str, ...]:
    kind, name = match["kind"], match["name"]
    if match["list"]:
        return _list_file(match, given, files)
    key = f"{kind}.{name}" if name else kind
    if key in given.values:
        return given.values[key]
    known = sorted(key for key in given.values if key.startswith(f"{kind}."))
    what = f"{{{kind}}} alone needs exactly one {kind}" if name is None else f"{match[0]} is not known"
    raise ShimError("spec", f"{what}; there are: {', '.join(known) or 'none'}.")


def _list_file(match: re.Match[str], given: Values, files: dict[str, str]) -> str:
    name: str = match["name"] or (next(iter(given.lists)) if len(given.lists) == 1 else "")
    if match["kind"] != "input" or name not in given.lists:
        raise ShimError(
            "spec", f"{match[0]}: `:list` is for inputs; there are: {', '.join(given.lists) or 'none'}."
        )
    paths = given.lists[name]
    if any("\n" in path for path in paths):
        raise ShimError("spec", f"{match[0]}: a path with a line break cannot stand in a list.")
    place = posixpath.join(given.scratch, ".bunnies", f"{name}.list")
    files[place] = "".join(f"{path}\n" for path in paths)
    return place


def _in_word(match: re.Match[str], given: Values, files: dict[str, str]) -> str:
    value = _value(match, given, files)
    if isinstance(value, tuple):
        name = match[0].strip("{}")
        raise ShimError(
            "spec", f"{match[0]} is a list: let it stand alone as one element, or write {{{name}:list}}."
        )
    return value


def _in_script(match: re.Match[str], given: Values, files: dict[str, str]) -> str:
    value = _value(match, given, files)
    for path in (value,) if isinstance(value, str) else value:
        if not _PLAIN.fullmatch(path):
            name = match["name"] or match["kind"]
            variable = f"BUNNIES_{match['kind'].upper()}_{name}"
            raise ShimError(
                "spec", f'{path!r} needs quoting in a script: write "${variable}" instead of {match[0]}.'
            )
    return value if isinstance(value, str) else " ".join(value)
