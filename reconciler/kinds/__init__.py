"""One file per kind: `facts` asks what manifests point to, `desired` and `live` give Resources, `apply` changes one.

Every kind but job has these four functions:

    facts(world, manifests)             what the outside says of things manifests point to but we do not manage
                                        (the digest behind a tag); {} where a kind needs nothing
    desired(manifest, settings, facts)  → Resource, canonical, Refs unresolved; pure
    live(world, wanted)                 → {address: Resource}: those of `wanted` that are there, and those that
                                        carry our owner tag and are not wanted; batched; reads only
    apply(world, change)                → attributes; makes one Change, Refs in change.after.spec resolved

One whose digest is a tag has `settle(world, change)` too: it writes the digest of what is unchanged and lacks it.

Job has its own (kinds/job.py): what it wants is a run, not a thing that stays.

Must not: import `apply`, `launch` or `cli`; print.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from reconciler import canonical, errors

if TYPE_CHECKING:
    from reconciler.aws import Aws
    from reconciler.engine import Engine
    from reconciler.layer import Layer
    from reconciler.model import Change, Manifest, Resource, Settings
    from reconciler.registry import Registries


def _no_registries() -> Registries:
    raise errors.RegistryError("this run was not given any registries")


@dataclass(frozen=True, slots=True)
class World:
    """The outside, as a run reaches it; connections are made when first used.

    `engine` connects to the Docker engine on its first call and raises EngineError where there is none.
    `registry` is the host that stands for ECR: `<account>.dkr.ecr.<region>.amazonaws.com`, or what
    BUNNIES_REGISTRY says. `layer` gives the platform layer of a platform ("linux/amd64"), or raises BunniesError
    that names `bunnies shim build`. `tell` takes a short line about what is going on now, for a person who waits.
    `registries` are all that the run speaks to itself, without an engine.
    `fast` believes the tagging index wherever a digest tag in it says that nothing changed.
    """

    settings: Settings
    aws: Aws
    engine: Callable[[], Engine]
    registry: Callable[[], str]
    layer: Callable[[str], Layer]
    tell: Callable[[str], None]
    environment: Mapping[str, str]
    registries: Callable[[], Registries] = _no_registries
    fast: bool = False


class Kind(Protocol):
    """The four functions of a kind's module, as the charter above tells them."""

    def facts(self, world: World, manifests: Sequence[Manifest], /) -> Mapping[str, Any]:
        """What the outside says of things that the manifests point to."""

    def desired(self, manifest: Manifest, settings: Settings, facts: Mapping[str, Any], /) -> Resource:
        """The manifest as a canonical Resource; pure."""

    def live(self, world: World, wanted: Sequence[Resource], /) -> dict[str, Resource]:
        """What is there of `wanted`, and what else is ours."""

    def apply(self, world: World, change: Change, /) -> Mapping[str, Any]:
        """Make one change; the attributes that Refs to it resolve to."""


def explained(
    kind: Kind, world: World, wanted: Sequence[Resource], found: Mapping[str, Resource]
) -> list[Resource]:
    """`wanted`; what is not there with its reason in options["why"], where its kind has an `explained` to give one."""
    explain = getattr(kind, "explained", None)
    missing = [one for one in wanted if one.address not in found]
    if explain is None or not missing:
        return list(wanted)
    told = {one.address: one for one in explain(world, missing)}
    return [told.get(one.address, one) for one in wanted]


def settle(world: World, change: Change) -> None:
    """Have the digest written of what is ours, as it is wanted, and does not say so; nothing else is changed.

    An apply that dies just before its last call leaves no digest, and canonical forms of another version have
    others. A plan shows neither, since nothing that anybody wants differs.
    """
    before, after = change.before, change.after
    if before is None or after is None or after.options.get("external"):
        return
    if before.owner != world.settings.name or before.digest == canonical.digest(after.spec):
        return
    if write := getattr(by_name(change.address.partition("/")[0]), "settle", None):
        write(world, change)


KINDS: Final = ("repository", "image", "taskdefinition")
"""The kinds that stay, in the order in which they need each other."""


def by_name(kind: str) -> Kind:
    """The module of one of KINDS, imported when first asked for."""
    return cast("Kind", importlib.import_module(f"{__name__}.{kind}"))
