"""Where the inputs of a job lie in its container, before and after the jobs that make them have run.

Job: lay objects out below input/. Input: an input as its manifest gives it, the objects that S3 has, upstream jobs
and later their results. Output: `inputs` as schemas/jobspec.schema.json has them. Pure. Must not: ask S3.

The layout: a file lies at NAME/BASENAME, a prefix or a folder as a tree in NAME/, a list with each of its parts by
its own name in NAME/. `as: x/` puts the same into x/, `as: x` makes one file be x. All relative to input/.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.errors import BunniesError
from reconciler.kinds import inputs
from reconciler.model import Job, Ref, S3Object


@dataclass(frozen=True, slots=True)
class Piece:
    """One element of an input's `from`: an object, a prefix, or an output of another job.

    `kind` is file, folder or glob; `name` the last part of its path, "" for a whole bucket or all of output/. The
    paths of `files` are relative to the piece: the file's name, or its path within the folder.
    """

    label: str
    kind: str
    name: str
    files: tuple[S3Object, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What inputs are laid out from: S3's objects by url, the upstream jobs by address, and where input/ lies."""

    facts: Mapping[str, tuple[S3Object, ...]]
    made: Mapping[str, Job]
    root: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """A job's inputs in three forms: for the identity, for the job spec, and those that wait for other jobs."""

    identity: dict[str, Any] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)
    upstream: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def gather(wish: inputs.Wish, known: Known, given: Gathered) -> list[str]:
    """Adds one input to `given`; returns the paths, relative to input/, that are known to be taken."""
    parts = [_part(known, source) for source in wish.sources]
    pieces = [_piece(part) for part in parts]
    placed = lay_out(wish, pieces)
    what, path = kind(wish, pieces), base(wish, pieces)
    contents: dict[int, list[dict[str, Any]]] = {id(piece): [] for piece in pieces}
    for piece, file in placed:
        contents[id(piece)].append({"place": known.root + file.path, "etag": file.etag, "size": file.size})
    content: list[dict[str, Any]] = []
    for part, piece in zip(parts, pieces, strict=True):
        if "job_id" in part:
            content.append({"job": part["job_id"], "output": part["output"]})
        elif piece.files:
            content += contents[id(piece)]
        else:
            given.missing.append(piece.label)
    given.identity[wish.name] = {"kind": what, "place": known.root + path, "content": content}
    if any("job_id" in part for part in parts):
        given.upstream[wish.name] = {
            "kind": what,
            "path": path,
            "as": wish.place,
            "list": wish.many,
            "from": parts,
        }
    else:
        objects = [_document(file) for _, file in placed]
        given.known[wish.name] = entry(wish, pieces, objects)
    return [file.path for _, file in placed]


def s3_piece(url: str, files: tuple[S3Object, ...]) -> Piece:
    """The piece that an s3 url is, `files` being what `facts` found."""
    _, key = inputs.split(url) or ("", "")
    return Piece(
        url, "folder" if inputs.is_prefix(url) else "file", posixpath.basename(key.rstrip("/")), files
    )


def kind(wish: inputs.Wish, pieces: Sequence[Piece]) -> str:
    """file, folder or list: how the shim reads the input."""
    return "list" if wish.many or pieces[0].kind == "glob" else pieces[0].kind


def base(wish: inputs.Wish, pieces: Sequence[Piece]) -> str:
    """Where the input lies, relative to input/: the file where `as:` names one, else the folder.

    Raises BunniesError where `as:` leaves input/, or names a file for what is none.
    """
    if wish.place is None:
        return wish.name
    path = posixpath.normpath(wish.place)
    if path.startswith(("/", "../")) or path == "..":
        raise BunniesError(f"as: {wish.place} leaves input/. Write a path relative to /input.")
    if not wish.place.endswith("/") and kind(wish, pieces) != "file":
        raise BunniesError(
            f"as: {wish.place} names a file, but the input is several. Write as: {wish.place}/."
        )
    return path


def lay_out(wish: inputs.Wish, pieces: Sequence[Piece]) -> list[tuple[Piece, S3Object]]:
    """Each object with its path relative to input/, in order. Raises BunniesError where a name cannot be a path."""
    folder = base(wish, pieces)
    placed: list[tuple[Piece, S3Object]] = []
    for piece in pieces:
        inner = piece.name if wish.many and piece.kind == "folder" else ""
        for file in piece.files:
            if any(part in ("", ".", "..") for part in file.path.split("/")) or "\0" in file.path:
                raise BunniesError(f"{file.url} cannot be a file below {piece.label}. Rename the object.")
            whole = kind(wish, pieces) == "file" and wish.place is not None and not wish.place.endswith("/")
            path = folder if whole else posixpath.normpath(posixpath.join(folder, inner, file.path))
            placed.append((piece, S3Object(file.url, file.etag, file.size, path)))
    return placed


def entry(wish: inputs.Wish, pieces: Sequence[Piece], objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The input as a job spec has it."""
    what = kind(wish, pieces)
    path = objects[0]["path"] if what == "file" and objects else base(wish, pieces)
    return {"kind": what, "path": path, "objects": list(objects)}


def clashes(paths: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for each path that two objects want; `paths` has those of each input, by its name."""
    owner: dict[str, str] = {}
    found = []
    for name, wanted in paths.items():
        for path in wanted:
            other = owner.get(path)
            owner.setdefault(path, name)
            if other == name:
                found.append(
                    f"two files of input {name} would lie at /input/{path}. Give them distinct names, as with "
                    "{{ item.… }} in the output's path."
                )
            elif other is not None:
                found.append(
                    f"inputs {other} and {name} would both lie at /input/{path}. Give one another as:."
                )
    for path, name in owner.items():
        parent = posixpath.dirname(path)
        while parent:
            if parent in owner:
                found.append(
                    f"/input/{parent} would be a file, and a folder for input {name}. Give one another as:."
                )
            parent = posixpath.dirname(parent)
    return list(dict.fromkeys(found))


def complete_inputs(job: Job, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The `inputs` of the job spec, what upstream jobs made filled in.

    `results` has the result.json of every upstream job, by job id. Raises BunniesError where one made nothing
    for an input that needs a file, or where two objects would lie on one path.
    """
    complete: dict[str, Any] = dict(job.spec["jobspec"]["inputs"])
    for name, given in job.spec["upstream"].items():
        pieces = [_made(job, name, part, results) for part in given["from"]]
        wish = inputs.Wish(name, tuple(piece.label for piece in pieces), given["list"], given["as"])
        files = {item["url"]: item for part in given["from"] for item in _files(part, results)}
        objects = [{**files[placed.url], "path": placed.path} for _, placed in lay_out(wish, pieces)]
        complete[name] = entry(wish, pieces, objects)
    paths = {name: [item["path"] for item in given["objects"]] for name, given in complete.items()}
    if wrong := clashes(paths):
        raise BunniesError(f"{job.address}: " + " ".join(wrong[:3]))
    return complete


def _part(known: Known, source: str | Ref) -> dict[str, Any]:
    """One element of a `from`, as plain data: objects that are known, or an output that another job will make."""
    if isinstance(source, str):
        if inputs.split(source) is None:
            raise BunniesError(
                f"{source} is not an s3 url. Write s3://BUCKET/KEY, or ${{job.NAME.outputs.O}}."
            )
        piece = s3_piece(source, tuple(known.facts.get(source, ())))
        objects = [_document(file) for file in piece.files]
        return {"url": source, "kind": piece.kind, "name": piece.name, "objects": objects}
    producer, output = known.made[source.address], source.attribute.removeprefix("outputs.")
    outputs = producer.spec["jobspec"]["outputs"]
    if output not in outputs:
        raise BunniesError(
            f"{source.address} has no output {output}. It has: {', '.join(outputs) or 'none'}."
        )
    made = {"kind": outputs[output]["kind"], "name": posixpath.basename(outputs[output]["path"])}
    return {"address": source.address, "job_id": producer.job_id, "output": output, **made}


def _piece(part: Mapping[str, Any]) -> Piece:
    """The piece that a part is, as far as it is known before a launch: a file's name is, a folder's files are not."""
    if "objects" in part:
        return s3_piece(part["url"], tuple(S3Object(**item) for item in part["objects"]))
    name = part["name"]
    files: Sequence[S3Object] = [S3Object("", "", 0, name)] if part["kind"] == "file" else ()
    return Piece(f"{part['address']} {part['output']}", part["kind"], name, tuple(files))


def _document(file: S3Object) -> dict[str, Any]:
    return {"url": file.url, "path": file.path, "size": file.size, "etag": file.etag}


def _made(job: Job, name: str, part: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> Piece:
    files = _files(part, results)
    label = f"{part['address']}:{part['output']}" if "job_id" in part else part["url"]
    if part["kind"] == "file" and not files:
        raise BunniesError(
            f"input {name}: {label} was not made (the output is optional). Make it, or take the input out."
        )
    objects = tuple(S3Object(item["url"], item.get("etag", ""), item["size"], item["path"]) for item in files)
    return Piece(label, part["kind"], part["name"], objects)


def _files(part: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """What a part stands for by now: `{"url", "path", "size", "etag", "sha256"}` each, as far as it is known."""
    if "objects" in part:
        known: Sequence[Mapping[str, Any]] = part["objects"]
        return known
    made: Sequence[Mapping[str, Any]] = (results[part["job_id"]].get("outputs") or {}).get(part["output"], ())
    return made
