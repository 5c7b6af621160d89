"""The data that stages hand to each other: frozen, comparable, free of behaviour that touches the world.

Job: name the nouns. Input and output: none. Must not: import any other module of ours, or a third-party one.

Values inside `body` and `spec` are plain data: dict, list, str, int, float, bool, None, and two leaves of our
own: `Ref` (a value of another resource, not resolved yet) and `UNKNOWN` (resolved only during apply).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NoReturn


class _Nothing(Mapping[Any, Any]):
    """A mapping with nothing in it, hashable, so that it can be a default of a dataclass (3.11 refuses a proxy)."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __getitem__(self, key: Any) -> NoReturn:
        raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"


NOTHING: Final[Mapping[Any, Any]] = _Nothing()


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """A place in a manifest; `note` names the row and column of a sample sheet where one is behind it."""

    file: str
    line: int
    column: int
    note: str = ""

    def __str__(self) -> str:
        """`FILE:LINE:COL`, with ` (NOTE)` where there is one."""
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place} ({self.note})" if self.note else place


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """The value `attribute` of the resource at `address`: `Ref("image/analytics", "uri")`.

    Attributes: repository `uri`, `arn`; image `uri` (by digest), `digest`; taskdefinition `arn` (with its
    revision); job `outputs.NAME`.
    """

    address: str
    attribute: str

    def __str__(self) -> str:
        """`${ADDRESS.ATTRIBUTE}`, as people see it in a plan."""
        return f"${{{self.address}.{self.attribute}}}"


class _Unknown:
    """The only value of its type: `(known after apply)`."""

    def __repr__(self) -> str:
        return "(known after apply)"

    def __deepcopy__(self, memo: dict[int, Any]) -> _Unknown:
        return self


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True, slots=True)
class Manifest:
    """One document of YAML, `{{ }}` filled in and `${…}` turned into Ref; one element where it had a foreach.

    `body` holds the fields without kind, name, foreach and key. `positions` maps a path in the body
    (`("containerDefinitions", 0, "image")`) to where it stands. `key` is the element's key, None without foreach.
    """

    kind: str
    name: str
    body: Mapping[str, Any]
    source: Source
    positions: Mapping[tuple[str | int, ...], Source] = field(default=NOTHING, repr=False, compare=False)
    key: str | None = None

    @property
    def address(self) -> str:
        """`kind/NAME` or `kind/NAME/KEY`, kind in lower case."""
        base = f"{self.kind.lower()}/{self.name}"
        return base if self.key is None else f"{base}/{self.key}"

    def at(self, *path: str | int) -> Source:
        """Where `path` stands, or the nearest part of it that has a place."""
        for end in range(len(path), 0, -1):
            if found := self.positions.get(path[:end]):
                return found
        return self.source


@dataclass(frozen=True, slots=True)
class Settings:
    """The one Settings document of a set of manifests; fields as in docs/manifests.md.

    `network` is an awsvpcConfiguration; `prefix` has no slash at either end; `guards` has its defaults filled in.
    """

    name: str
    region: str
    cluster: str
    bucket: str
    prefix: str
    account: str | None = None
    network: Mapping[str, Any] = NOTHING
    execution_role_arn: str | None = None
    task_role_arn: str | None = None
    guards: Mapping[str, Any] = NOTHING
    ignore_tags: tuple[str, ...] = ()
    max_parallel: int | None = None
    redact: tuple[str, ...] = ()
    source: Source | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ManifestSet:
    """What `load` returns: the Settings and every other manifest, in the order of files and documents."""

    settings: Settings
    manifests: tuple[Manifest, ...]

    def of(self, kind: str) -> tuple[Manifest, ...]:
        """The manifests of one kind, in order."""
        return tuple(manifest for manifest in self.manifests if manifest.kind == kind)


@dataclass(frozen=True, slots=True)
class Resource:
    """Something wanted or something found: the same type on both sides.

    `spec` is canonical: every field that we manage, defaults filled, nothing else. `needs` are the addresses
    that must be there first. `attributes` is what a Ref to it resolves to, and handles such as an ARN (live
    only). `owner` is the value of the tag bunnies:owner (live), or Settings.name (desired). `digest` is the
    value of the tag bunnies:digest (live). `options` are the manifest's wishes about managing it: adopt,
    external, forceDelete, keepRevisions; a live one may have `due`, what these ask for beside its spec: words by
    the action that does it. `raw` is the body that `spec` was made from, as a person
    or AWS wrote it.
    """

    address: str
    spec: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = NOTHING
    owner: str | None = None
    digest: str | None = None
    options: Mapping[str, Any] = NOTHING
    source: Source | None = field(default=None, compare=False)
    raw: Mapping[str, Any] = field(default=NOTHING, repr=False, compare=False)


@dataclass(frozen=True, slots=True, order=True)
class FieldDiff:
    """One field that differs; `path` is semantic: `containerDefinitions[aligner].environment[THREADS]`.

    `drift`: True where live changed since we applied, False where the manifest did, None where nobody can tell.
    """

    path: str
    before: Any = field(compare=False)
    after: Any = field(compare=False)
    drift: bool | None = field(default=None, compare=False)


class Action(StrEnum):
    """What a plan does with a resource."""

    CREATE = "create"
    UPDATE = "update"
    REVISE = "revise"  # a new revision of a task definition
    DELETE = "delete"
    ADOPT = "adopt"
    CONFLICT = "conflict"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Change:
    """What will happen to one resource; `before` or `after` is None where it is not there."""

    address: str
    action: Action
    before: Resource | None
    after: Resource | None
    fields: tuple[FieldDiff, ...] = ()
    why: str = ""
    source: Source | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object as S3 lists it: `etag` without quotes, `size` in bytes; `path` relative to its input's place."""

    url: str
    etag: str
    size: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One run that is wanted: a Job manifest, or one element of it.

    `identity` holds the components that `job_id` (sha256, 64 hex digits) is made of (docs/jobs.md). `spec` is what
    the launch needs and the identity does not: task definition, container, overrides, retry, timeout, publish.
    `needs` are addresses of jobs (their success) and of resources.
    """

    address: str
    job_id: str
    identity: Mapping[str, Any]
    spec: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    source: Source | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Attempt N of a job as the ledger has it; each document is None where it is not written."""

    number: int
    claim: Mapping[str, Any] | None = None
    task: Mapping[str, Any] | None = None
    started: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """All that the ledger knows of one job, attempts by number, ascending."""

    job_id: str
    attempts: tuple[Attempt, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The newest attempt, None where none was claimed."""
        return self.attempts[-1] if self.attempts else None


class Decision(StrEnum):
    """What a plan does with a job."""

    RUN = "RUN"
    RETRY = "RETRY"
    RUNNING = "RUNNING"
    CACHED = "CACHED"
    BLOCKED = "BLOCKED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class JobDecision:
    """What will happen to one job; `attempt` is the number that runs, ran last or will run."""

    job: Job
    decision: Decision
    why: str
    attempt: int

    @property
    def address(self) -> str:
        """The job's address."""
        return self.job.address


@dataclass(frozen=True, slots=True, order=True)
class Copy:
    """One file to be copied from `source` to `target`, both s3 urls; `etag` pins the source where it is known."""

    address: str
    source: str
    target: str
    size: int
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What an apply will do, in the order it will do it.

    `copies` are due now: files of jobs that have succeeded, missing at the places that they are published to.
    `digest` covers the resource changes and the wanted (address, job_id) pairs, not attempts or progress: a plan
    that is applied again goes on. `limit` and `exclude` are the patterns that it was limited by.
    """

    owner: str
    changes: tuple[Change, ...]
    jobs: tuple[JobDecision, ...]
    digest: str
    copies: tuple[Copy, ...] = ()
    limit: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether it covers all that the manifests want."""
        return not (self.limit or self.exclude)

    @property
    def summary(self) -> dict[str, int]:
        """How many changes of each action and jobs of each decision: the keys of `plan --json`'s summary."""
        counts = {action.value: 0 for action in Action} | {decision.value.lower(): 0 for decision in Decision}
        for change in self.changes:
            counts[change.action.value] += 1
        for job in self.jobs:
            counts[job.decision.value.lower()] += 1
        return counts

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to do: resource changes, jobs to start, or files to publish."""
        return (
            any(change.action is not Action.UNCHANGED for change in self.changes)
            or any(job.decision in (Decision.RUN, Decision.RETRY) for job in self.jobs)
            or bool(self.copies)
        )


class Status(StrEnum):
    """How a change or a launch ended."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"
    LAUNCHED = "launched"
    ADOPTED = "adopted"  # a task that an earlier apply had started
    SUCCEEDED = "succeeded"  # a job


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change or job, told as it happens; `attributes` is what Refs to it now resolve to.

    `stale` says that it was refused because it is no longer what was planned.
    """

    address: str
    action: str
    status: Status
    detail: str = ""
    attributes: Mapping[str, Any] = NOTHING
    stale: bool = False
