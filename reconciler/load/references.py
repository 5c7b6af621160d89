"""`${…}` → Ref, across all manifests of a set.

Job: resolve references and `after`, and find cycles. Input: Drafts in normal form. Output: their bodies changed in place,
Refs instead of text, `$${` unescaped. Must not: know what a Ref will become.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.load.arrays import Named, WrongError
from reconciler.load.draft import Draft, Problems, Verbatim
from reconciler.load.graph import cycles
from reconciler.model import Ref
from reconciler.schema import words

_KINDS = {
    "image": ("Image", "uri"),
    "repository": ("Repository", "uri"),
    "taskdefinition": ("TaskDefinition", "arn"),
}
_LIKE = re.compile(r"\$\{(image|repository|taskdefinition|job)\..*\}", re.DOTALL)
_JOB = re.compile(
    r"\$\{job\.(?P<name>[^\[\]{}]+?)(?:\[(?P<which>.*)\])?\.outputs\.(?P<output>[A-Za-z_][A-Za-z0-9_]*)\}",
    re.DOTALL,
)
_OTHER = re.compile(r"\$\{(image|repository|taskdefinition)\.([^{}\[\]]+)\}")
_HOW = "Write ${job.NAME.outputs.OUTPUT}, or $${ for a literal ${."


def is_reference(text: Any) -> bool:
    """Whether the whole text is meant as a reference."""
    return isinstance(text, str) and not isinstance(text, Verbatim) and _LIKE.fullmatch(text) is not None


def unescape(text: str) -> str:
    """`$${` → `${`."""
    return str(text) if isinstance(text, Verbatim) else text.replace("$${", "${")


class _Set:
    """The manifests by kind and name: a name is known as soon as a document has it, right or wrong.

    `sound` says that nothing was wrong before: then a name without manifests is an array without elements.
    """

    def __init__(self, drafts: Sequence[Draft], known: Mapping[str, set[str]], sound: bool) -> None:
        named: dict[tuple[str, str], list[Draft]] = {}
        for draft in drafts:
            named.setdefault((draft.kind, draft.name), []).append(draft)
        self._named = {name: Named(found) for name, found in named.items()}
        self._known = known
        self.sound = sound

    def of(self, kind: str, name: str) -> Named:
        """Those of a name. Raises WrongError."""
        if found := self._named.get((kind, name)):
            return found
        if name in self._known[kind]:
            return Named([])
        raise WrongError(words.unknown(name, self._known[kind], f"{kind} of these manifests"))


def resolve(drafts: Sequence[Draft], known: Mapping[str, set[str]], problems: Problems) -> None:
    """Resolves everything; `known` has every name of each kind that a document claims."""
    manifests = _Set(drafts, known, sound=not len(problems))
    for draft in drafts:
        _resolve(draft, manifests, problems)
    addresses = {draft.address: draft for draft in drafts if draft.ready}
    edges = {address: list(_needs(draft)) for address, draft in addresses.items()}
    for cycle in cycles(edges):
        draft = addresses[cycle[0]]
        path = (
            " → ".join((*cycle, cycle[0])) if len(cycle) <= 12 else " → ".join((*cycle[:11], "…", cycle[0]))
        )
        draft.wrong(
            problems,
            f"this needs itself: {path}. Take one of these references out.",
            *_toward(draft, cycle[1 % len(cycle)]),
        )


def _resolve(draft: Draft, manifests: _Set, problems: Problems) -> None:
    for name, value in draft.body.items():
        if draft.kind == "Job" and name == "inputs":
            for input_name, wish in value.items():
                wish["as"] = None if wish["as"] is None else unescape(wish["as"])
                wish["from"] = _source(draft, wish["from"], ("inputs", input_name), manifests, problems)
        elif draft.kind == "Job" and name == "after":
            draft.body[name] = list(_after(draft, value, manifests, problems))
        else:
            draft.body[name] = _value(draft, value, (name,), manifests, problems)


def _value(draft: Draft, value: Any, path: tuple[str | int, ...], manifests: _Set, problems: Problems) -> Any:
    if isinstance(value, dict):
        return {key: _value(draft, entry, (*path, key), manifests, problems) for key, entry in value.items()}
    if isinstance(value, list):
        return [
            _value(draft, entry, (*path, index), manifests, problems) for index, entry in enumerate(value)
        ]
    if not isinstance(value, str):
        return value
    if not is_reference(value):
        return unescape(value)
    try:
        return _ref(draft, value, manifests)
    except WrongError as wrong:
        draft.wrong(problems, str(wrong), *path)
        return value


def _ref(draft: Draft, text: str, manifests: _Set) -> Ref:
    """The Ref for an image, a repository or a task definition."""
    if text.startswith("${job."):
        raise WrongError(
            f"{text} can stand only in a Job's inputs. Make it an input, and write {{input.NAME}} here."
        )
    if draft.kind in ("Image", "Settings"):
        raise WrongError(f"{text} cannot stand in {draft.kind}. Write the value itself.")
    match = _OTHER.fullmatch(text)
    if match is None:
        raise WrongError(f"{text} is not a reference. Write ${{image.NAME}}, or $${{ for a literal ${{.")
    kind, attribute = _KINDS[match[1]]
    manifests.of(kind, match[2])
    return Ref(f"{match[1]}/{match[2]}", attribute)


def _source(
    draft: Draft, value: Any, path: tuple[str | int, ...], manifests: _Set, problems: Problems
) -> Any:
    """Where an input comes from: a Ref or a list of them for a job's output, else text."""
    if isinstance(value, list):
        resolved = [
            _source(draft, entry, (*path, "from", index), manifests, problems)
            for index, entry in enumerate(value)
        ]
        return [one for entry in resolved for one in (entry if isinstance(entry, list) else [entry])]
    if not is_reference(value):
        return unescape(value)
    place = (*path, "from") if (*path, "from") in draft.positions else path
    try:
        if not value.startswith("${job."):
            raise WrongError(
                f"{value} is not a file. An input is an s3:// address or ${{job.NAME.outputs.OUTPUT}}."
            )
        return _job(value, manifests)
    except WrongError as wrong:
        draft.wrong(problems, str(wrong), *place)
        return value


def _job(text: str, manifests: _Set) -> Ref | list[Ref]:
    match = _JOB.fullmatch(text)
    if match is None:
        raise WrongError(f"{text} is not a reference. {_HOW}")
    producers = manifests.of("Job", match["name"])
    output = match["output"]
    for producer in producers.drafts[:1]:
        outputs = producer.body["outputs"]
        if output not in outputs and not producer.left_out & {("outputs",), ("outputs", output)}:
            raise WrongError(words.unknown(output, outputs, f"output of job/{producer.name}"))
    chosen = producers.choose(match["name"], match["which"])
    if not chosen and manifests.sound:
        raise WrongError(f"job/{match['name']} has no elements. Write a foreach that gives some.")
    refs = [Ref(producer.address, f"outputs.{output}") for producer in chosen]
    single = match["which"] is None or (len(chosen) == 1 and chosen[0].key == match["which"])
    return refs[0] if single and refs else refs


def _after(draft: Draft, addresses: list[str], manifests: _Set, problems: Problems) -> Iterator[str]:
    """The addresses of `after`, an array's name replaced by its elements', each once."""
    seen: set[str] = set()
    for index, text in enumerate(addresses):
        try:
            found = list(_elements(text, manifests))
        except WrongError as wrong:
            draft.wrong(problems, str(wrong), "after", index)
            continue
        for address in found:
            if address not in seen:
                seen.add(address)
                yield address


def _elements(text: str, manifests: _Set) -> Iterator[str]:
    kind, _, rest = text.partition("/")
    name, _, key = rest.partition("/")
    if kind != "job" or not name:
        raise WrongError(f"{text!r} is not the address of a job. Write job/NAME, or job/NAME/KEY.")
    producers = manifests.of("Job", name)
    for producer in producers.element(name, key) if key else producers.drafts:
        yield producer.address


def _needs(draft: Draft) -> Iterator[str]:
    if draft.kind == "Image" and isinstance(draft.body.get("repository"), str):
        yield f"repository/{draft.body['repository']}"
    yield from draft.body.get("after", ()) if draft.kind == "Job" else ()
    stack: list[Any] = list(draft.body.values())
    while stack:
        value = stack.pop()
        if isinstance(value, Ref):
            yield value.address
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _toward(draft: Draft, address: str) -> tuple[str | int, ...]:
    """The field of `draft` that needs `address`."""
    for name, wish in draft.body.get("inputs", {}).items() if draft.kind == "Job" else ():
        sources = wish["from"] if isinstance(wish["from"], list) else [wish["from"]]
        if any(isinstance(source, Ref) and source.address == address for source in sources):
            return ("inputs", name)
    return ("after",)
