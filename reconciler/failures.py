"""A set that failed: which jobs, how each ended, and the last thing that it said.

Job: show at a glance what a person must look at. Input: addresses. Output: Failures. Must not: decide what follows,
or read whole logs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from reconciler import aws as aws_
from reconciler import retry
from reconciler.errors import AwsError
from reconciler.ledger import Ledger
from reconciler.model import Attempt

_TAIL: Final = 4096  # bytes of a log that its last line is looked for in
_LINE: Final = 200  # characters of it that are shown


@dataclass(frozen=True, slots=True)
class Failure:
    """A job whose last attempt ended badly; `kind` as retry has it, `said` the last line of its log, else why it ended."""

    address: str
    status: str
    kind: str
    exit_code: int | None
    attempt: int
    said: str


def failures(ledger: Ledger, wanted: Iterable[str] | None = None) -> tuple[Failure, ...]:
    """Those of `wanted` (None: of every address that ever ran) whose newest job failed, in that order."""
    newest = {address: found[-1].job_id for address, found in ledger.meanings().items()}
    addresses = [address for address in (newest if wanted is None else wanted) if address in newest]
    records = ledger.records((newest[address] for address in addresses), lean=True)
    failed = [
        (address, newest[address], last)
        for address in addresses
        if (last := records[newest[address]].last)
        and last.result is not None
        and last.result["status"] != "succeeded"
    ]
    return tuple(aws_.parallel(lambda one: _failure(ledger, *one), failed))


def _failure(ledger: Ledger, address: str, job_id: str, attempt: Attempt) -> Failure:
    result = attempt.result or {}
    said = _last_line(ledger, job_id, attempt.number) if result.get("written_by") == "shim" else ""
    said = said or str((result.get("error") or {}).get("message", ""))
    return Failure(
        address, str(result["status"]), retry.kind(attempt), result.get("exit_code"), attempt.number, said
    )


def _last_line(ledger: Ledger, job_id: str, number: int) -> str:
    """Of stderr, else of stdout; "" where neither came to S3 or both are empty."""
    for name in ("stderr.log", "stdout.log"):
        try:
            key = ledger.attempt_key(job_id, number, name)
            body = ledger.documents.read_bytes(key, Range=f"bytes=-{_TAIL}")
        except AwsError as error:
            if error.status != 416:  # an empty object has no range
                raise
            continue
        lines = [
            line.strip() for line in (body or b"").decode("utf-8", "replace").splitlines() if line.strip()
        ]
        if lines:
            return lines[-1][:_LINE]
    return ""
