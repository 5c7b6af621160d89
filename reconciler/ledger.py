"""The ledger: what was claimed, started and finished, under s3://BUCKET/PREFIX/. The only durable truth about jobs.

Job: the layout of docs/jobs.md and its documents. Input: job ids, addresses, documents. Output: JobRecord.
Must not: talk to ECS, or decide what an attempt's state means (decide and recover do).

    jobs/JOB_ID/identity.json
    jobs/JOB_ID/attempts/N/{claim,jobspec,task,started,result}.json, stdout.log, stderr.log
    addresses/NAME/KEY/SEQ-JOB_ID.json       KEY is `_` for a job without foreach: no key can be that
    outputs/NAME/KEY/JOB_ID12-N/…

claim, started and result are written once (documents.write_once); the others say the same whoever writes them.
"""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from reconciler import aws as aws_
from reconciler import errors
from reconciler.canonical import job
from reconciler.clock import Clock
from reconciler.documents import Documents, Listed, Written
from reconciler.model import Attempt, JobRecord

KEYLESS: Final = "_"

_DOCUMENT = re.compile(r"(?P<number>\d+)/(?P<name>claim|task|started|result)\.json")
_JOBSPEC = re.compile(r"(?P<job_id>[0-9a-f]{64})/attempts/(?P<number>\d+)/jobspec\.json")
_MEANING = re.compile(r"(?P<name>[^/]+)/(?P<key>[^/]+)/(?P<seq>\d+)-(?P<job_id>[0-9a-f]{64})\.json")
_FEW: Final = 100  # jobs up to which each is listed by itself

Records = Mapping[str, JobRecord]


@dataclass(frozen=True, slots=True, order=True)
class Meaning:
    """A job that an address meant; of two, the greater is the newer."""

    seq: int
    modified: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one bucket and prefix; may be used from several threads. Every method raises AwsError.

    `nonce` gives a new random word of at least 16 characters each time.
    """

    aws: aws_.Aws
    bucket: str
    prefix: str
    clock: Clock
    nonce: Callable[[], str]
    documents: Documents = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "documents", Documents(self.aws, self.bucket, self.clock))

    # where things are

    def key(self, *parts: str) -> str:
        """The key of what lies at `parts` below the prefix."""
        return "/".join((self.prefix, *parts))

    def attempt_key(self, job_id: str, number: int, name: str) -> str:
        """The key of a file of one attempt: `claim.json`, `stdout.log`; of its folder where `name` is empty."""
        return self.key("jobs", job_id, "attempts", str(number), name)

    def url(self, key: str) -> str:
        """`s3://BUCKET/KEY`."""
        return f"s3://{self.bucket}/{key}"

    def attempt_url(self, job_id: str, number: int) -> str:
        """The folder of one attempt, with its closing slash."""
        return self.url(self.attempt_key(job_id, number, ""))

    def jobspec_url(self, job_id: str, number: int) -> str:
        """What JOBSPEC says, and what a task is recognised by."""
        return self.url(self.attempt_key(job_id, number, "jobspec.json"))

    def place(self, jobspec_url: str) -> tuple[str, int] | None:
        """The job id and attempt that a JOBSPEC belongs to; None where it is not of this ledger."""
        found = _JOBSPEC.fullmatch(jobspec_url.removeprefix(self.url(self.key("jobs", ""))))
        return (found["job_id"], int(found["number"])) if found else None

    def outputs_url(self, address: str, job_id: str, number: int) -> str:
        """The folder of one attempt's outputs, with its closing slash."""
        return self.url(self.key("outputs", *_name_and_key(address), f"{job_id[:12]}-{number}", ""))

    # one attempt

    def claim(self, job_id: str, number: int, document: Mapping[str, Any]) -> Written:
        """Claims attempt `number`, whose predecessor has its result; `nonce` and version are added here."""
        return self._once(job_id, number, "claim", document)

    def jobspec(self, job_id: str, number: int, document: Mapping[str, Any]) -> None:
        """Writes what the shim will read; to be called before RunTask."""
        self.documents.write(self.attempt_key(job_id, number, "jobspec.json"), document)

    def task(self, job_id: str, number: int, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Writes down the attempt's task; returns the document as written."""
        whole = {"version": 1, "job_id": job_id, "attempt": number, **document}
        self.documents.write(self.attempt_key(job_id, number, "task.json"), whole)
        return whole

    def tombstone(self, job_id: str, number: int, why: str, kind: str = "infrastructure") -> Written:
        """Takes the fence, so that no shim can start the attempt any more; another's fence means that one did."""
        document = {
            "closed": True,
            "written_by": "reconciler",
            "at": self.clock.stamp(),
            "why": why,
            "class": kind,
        }
        return self._once(job_id, number, "started", document)

    def close(self, job_id: str, number: int, document: Mapping[str, Any]) -> Written:
        """Ends the attempt with a result of ours (lost, stopped), unless it has one: then that is the truth."""
        ours = {"written_by": "reconciler", "exit_code": None, "finished_at": self.clock.stamp()}
        return self._once(job_id, number, "result", {**ours, **document})

    def _once(self, job_id: str, number: int, name: str, document: Mapping[str, Any]) -> Written:
        whole = {"version": 1, "nonce": self.nonce(), "job_id": job_id, "attempt": number, **document}
        return self.documents.write_once(self.attempt_key(job_id, number, f"{name}.json"), whole)

    # jobs and addresses

    def identity(self, job_id: str, components: Mapping[str, Any]) -> None:
        """Writes what the job id was made of, so that a later plan can say what changed."""
        document = {
            "version": 1,
            "job_id": job_id,
            "components": job.without_secrets(components),
            "digests": job.component_digests(components),
        }
        self.documents.write(self.key("jobs", job_id, "identity.json"), document)

    def address(self, address: str, job_id: str) -> None:
        """Writes that `address` means this job from now on; nothing where it already does."""
        name, key = _name_and_key(address)
        folder = self.key("addresses", name, key, "")
        known = sorted(meaning for _, meaning in self._meanings(self.documents.list(folder)))
        if known and known[-1].job_id == job_id:
            return
        seq = known[-1].seq + 1 if known else 1
        document = {"version": 1, "address": address, "job_id": job_id, "at": self.clock.stamp()}
        self.documents.write(f"{folder}{seq:08d}-{job_id}.json", document)

    def meanings(self, under: str = "job") -> dict[str, list[Meaning]]:
        """What every address at or below `under` (`job`, `job/NAME`) has meant, oldest first; one listing."""
        folder = self.key("addresses", *under.split("/")[1:2], "")
        found: dict[str, list[Meaning]] = defaultdict(list)
        for address, meaning in self._meanings(self.documents.list(folder)):
            if under in ("job", address) or address.startswith(f"{under}/"):
                found[address].append(meaning)
        return {address: sorted(meanings) for address, meanings in sorted(found.items())}

    def newest(self, wanted: Iterable[str]) -> dict[str, str]:
        """The newest job of each address that one of `wanted` matches.

        Raises BunniesError for one that never ran.
        """
        asked = list(wanted)
        known = self.meanings(asked[0] if len(asked) == 1 and not _is_pattern(asked[0]) else "job")
        found: dict[str, str] = {}
        for under in asked:
            below = [address for address in known if matches(under, address)]
            if not below:
                raise errors.BunniesError(f"{under} never ran. `bunnies status` lists the jobs that did.")
            found |= {address: known[address][-1].job_id for address in below}
        return found

    def history(self, wanted: Mapping[str, str]) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """Of each address that meant another job than `wanted` says: that job, and its identity's components ({} where
        they are gone).
        """
        newest = {
            at: found[-1].job_id
            for at, found in self.meanings().items()
            if at in wanted and found[-1].job_id != wanted[at]
        }
        keys = [self.key("jobs", job_id, "identity.json") for job_id in newest.values()]
        identities = aws_.parallel(self.documents.read, keys)
        return {
            address: (job_id, (identity or {}).get("components", {}))
            for (address, job_id), identity in zip(newest.items(), identities, strict=True)
        }

    def _meanings(self, listed: Iterable[Listed]) -> Iterable[tuple[str, Meaning]]:
        below = len(self.key("addresses", ""))
        for entry in listed:
            if found := _MEANING.fullmatch(entry.key[below:]):
                name, key, seq, job_id = found.groups()
                address = f"job/{name}" if key == KEYLESS else f"job/{name}/{key}"
                yield address, Meaning(int(seq), entry.modified, job_id)

    # reading

    def records(
        self, job_ids: Iterable[str], known: Records | None = None, *, lean: bool = False
    ) -> dict[str, JobRecord]:
        """All that is written of each job: its claims and results, and task and fence where no shim wrote the result.

        `known` are records read before: what was written once is not read again. With `lean` the claims of attempts
        that succeeded are left out: nobody decides by them.
        """
        wanted = sorted(set(job_ids))
        known = known or {}
        names = self._attempt_documents(wanted)
        work = [
            (job_id, number, found, _attempt(known.get(job_id), number))
            for job_id in wanted
            for number, found in sorted(names.get(job_id, {}).items())
        ]
        read: dict[str, list[Attempt]] = defaultdict(list)
        attempts = aws_.parallel(lambda item: self._read_attempt(*item, lean=lean), work)
        for (job_id, *_), attempt in zip(work, attempts, strict=True):
            read[job_id].append(attempt)
        return {job_id: JobRecord(job_id, tuple(read[job_id])) for job_id in wanted}

    def _attempt_documents(self, job_ids: list[str]) -> dict[str, dict[int, set[str]]]:
        """Which documents the attempts of each job have. Many jobs: sixteen listings over all that ever ran."""
        below = len(self.key("jobs", ""))
        few = len(job_ids) <= _FEW
        prefixes = [f"{job_id}/attempts/" for job_id in job_ids] if few else list("0123456789abcdef")
        found: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        wanted = set(job_ids)
        for listed in aws_.parallel(lambda p: list(self.documents.list(self.key("jobs", p))), prefixes):
            for entry in listed:
                job_id, _, rest = entry.key[below:].partition("/attempts/")
                if job_id in wanted and (match := _DOCUMENT.fullmatch(rest)):
                    found[job_id][int(match["number"])].add(match["name"])
        return found

    def _read_attempt(
        self, job_id: str, number: int, names: set[str], known: Attempt, *, lean: bool
    ) -> Attempt:
        def document(name: str) -> Mapping[str, Any] | None:
            kept: Mapping[str, Any] | None = getattr(known, name)
            if kept is not None or name not in names:
                return kept
            return self.documents.read(self.attempt_key(job_id, number, f"{name}.json"))

        attempt = replace(known, result=document("result"))
        if lean and attempt.result is not None and attempt.result["status"] == "succeeded":
            return attempt
        attempt = replace(attempt, claim=document("claim"))
        if attempt.result is not None and attempt.result.get("written_by") == "shim":
            return attempt
        return replace(attempt, task=document("task"), started=document("started"))


def matches(wanted: str, address: str) -> bool:
    """Whether `wanted` names the address, or its array (`job/NAME`), or is a pattern for it (`job/align/s0*`)."""
    if _is_pattern(wanted):
        return fnmatch.fnmatchcase(address, wanted)
    return address == wanted or address.startswith(f"{wanted}/")


def _is_pattern(wanted: str) -> bool:
    return any(mark in wanted for mark in "*?[")


def _attempt(record: JobRecord | None, number: int) -> Attempt:
    for attempt in record.attempts if record else ():
        if attempt.number == number:
            return attempt
    return Attempt(number)


def _name_and_key(address: str) -> tuple[str, str]:
    _, name, *key = address.split("/", 2)
    return name, key[0] if key else KEYLESS
