"""The fields that name another manifest by its plain name, and what must be told apart across manifests.

Job: Image.repository, Job.taskDefinition, Job.container, where outputs are published. Input: Drafts in normal form.
Output: mistakes kept; `container` filled in. Must not: read `${…}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.load.draft import Draft, Problems
from reconciler.schema import words


def check(drafts: Sequence[Draft], known: Mapping[str, set[str]], problems: Problems) -> None:
    """Checks every draft."""
    definitions = {draft.name: draft for draft in drafts if draft.kind == "TaskDefinition"}
    published: dict[str, str] = {}
    for draft in drafts:
        if draft.kind == "Image":
            _named(draft, "repository", "Repository", known, problems)
        elif draft.kind == "Job":
            if _named(draft, "taskDefinition", "TaskDefinition", known, problems):
                _container(draft, definitions.get(draft.body["taskDefinition"]), problems)
            _publish(draft, published, problems)


def _named(draft: Draft, field: str, kind: str, known: Mapping[str, set[str]], problems: Problems) -> bool:
    name = draft.body.get(field)
    if name is None:
        return False  # missing, and said so
    if name in known[kind]:
        return True
    bare = name.removeprefix("${").removesuffix("}").partition(".")[2] if name.startswith("${") else ""
    if bare in known[kind] and bare:
        draft.wrong(problems, f"{field} is the name alone. Write {field}: {bare}.", field)
    else:
        draft.wrong(problems, words.unknown(name, known[kind], f"{kind} of these manifests"), field)
    return False


def _container(draft: Draft, definition: Draft | None, problems: Problems) -> None:
    """`container` is an essential container of the task definition; the one there is, where none is named."""
    if definition is None or "containerDefinitions" not in definition.body:
        return
    containers = definition.body["containerDefinitions"]
    essential = [one.get("name") for one in containers if one.get("essential", True)]
    name = draft.body.get("container")
    if name is None:
        if len(essential) == 1 and isinstance(essential[0], str):
            draft.body["container"] = essential[0]
            return
        draft.wrong(problems, _choice(definition, [str(one) for one in essential]), "taskDefinition")
    elif name not in [one.get("name") for one in containers]:
        names_ = [str(one.get("name")) for one in containers]
        draft.wrong(problems, words.unknown(name, names_, f"container of {definition.address}"), "container")
    elif name not in essential:
        draft.wrong(
            problems,
            f"the container {name} is not essential, so the task would not end with it. Name an essential one.",
            "container",
        )


def _choice(definition: Draft, essential: list[str]) -> str:
    if not essential:
        return f"{definition.address} has no essential container. Make one of its containers essential."
    names = ", ".join(essential)
    return f"{definition.address} has {len(essential)} essential containers. Write `container:` and one of {names}."


def _publish(draft: Draft, published: dict[str, str], problems: Problems) -> None:
    for name, output in draft.body["outputs"].items():
        target = output["publish"]
        if not target:
            continue
        if (
            target.endswith("/")
            and not output["path"].endswith("/")
            and not any(sign in output["path"] for sign in "*?[")
        ):
            target += output["path"].rpartition("/")[2]
        own = f"{draft.address}:{name}"
        first = published.setdefault(target, own)
        if first != own:
            draft.wrong(
                problems,
                f"{first} is published to {target} too. Publish it elsewhere.",
                "outputs",
                name,
                "publish",
            )
