"""What people ask about jobs: how they are, where their files are, what they said.

Job: answer from the ledger alone, so that no manifest, image or engine is needed. Input: addresses. Output: rows,
files, lines of logs. Must not: change anything in AWS, or print.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from reconciler import attempts, errors
from reconciler import aws as aws_
from reconciler.clock import moment
from reconciler.ledger import Ledger
from reconciler.model import Attempt, JobRecord

_BLOCK: Final = 1024 * 1024
_POLL: Final = 2.0  # seconds between two looks at CloudWatch

Files = Mapping[str, list[Mapping[str, Any]]]
"""Output → its files, as result.json lists them: url, path, size, sha256."""


@dataclass(frozen=True, slots=True)
class Row:
    """One job as it is now. `state`: new, claimed, starting, running, or the status of its last result.

    `seconds` from the fence, or the claim where there is none, to the result, or to now.
    """

    address: str
    state: str
    job_id: str | None = None
    attempt: int | None = None
    exit_code: int | None = None
    seconds: float | None = None
    why: str = ""
    task_arn: str | None = None


def status(ledger: Ledger, wanted: Iterable[str] | None = None) -> tuple[Row, ...]:
    """A row for each of `wanted`, in that order; None: for every address that ever ran."""
    newest = {address: found[-1].job_id for address, found in ledger.meanings().items()}
    addresses = list(newest) if wanted is None else list(wanted)
    records = ledger.records(newest[address] for address in addresses if address in newest)
    now = ledger.clock.now()
    return tuple(
        _row(address, records[newest[address]], now) if address in newest else Row(address, "new")
        for address in addresses
    )


def outputs(ledger: Ledger, addresses: Iterable[str]) -> dict[str, Files]:
    """The outputs of each address's newest job, where it succeeded; `job/NAME` stands for all its elements.

    Raises BunniesError for an address that never ran.
    """
    newest = ledger.newest(addresses)
    records = ledger.records(newest.values())
    return {
        address: result.get("outputs") or {}
        for address, job_id in newest.items()
        if (result := attempts.succeeded(records[job_id]))
    }


def get(ledger: Ledger, what: str, destination: Path) -> Iterator[Path]:
    """Brings the files of ADDRESS or ADDRESS:OUTPUT to `destination`, yielding each path when it is whole.

    One file goes to `destination` itself unless that is a folder already; otherwise files keep their paths
    below it, under KEY/ where there are several elements and under OUTPUT/ where there are several outputs.
    Raises BunniesError where there is nothing to bring.
    """
    address, _, name = what.partition(":")
    files = list(_chosen(outputs(ledger, [address]), name))
    if not files:
        raise errors.BunniesError(f"{what} has no files: no attempt succeeded, or it has no such output.")
    if len(files) == 1 and not destination.is_dir():
        files = [(PurePosixPath(), files[0][1])]
    for path, file in files:
        target = destination.joinpath(*path.parts)
        if ".." in path.parts or path.is_absolute():
            raise errors.BunniesError(f"{file['url']} would be written outside of {destination}: {path}.")
        _download(ledger, str(file["url"]), target)
        yield target


def logs(ledger: Ledger, address: str, number: int | None = None, *, follow: bool = False) -> Iterator[bytes]:
    """What an attempt (the last one, unless `number` says which) wrote: pieces of stdout, then of stderr.

    The logs in S3 where its shim brought them there, else those of CloudWatch. `follow` goes on until the
    attempt is closed. Raises BunniesError where there is no such attempt.
    """
    attempt, job_id = _attempt(ledger, address, number)
    if attempt.result is not None:
        kept = [
            ledger.documents.read_bytes(ledger.attempt_key(job_id, attempt.number, name))
            for name in ("stdout.log", "stderr.log")
        ]
        if any(body is not None for body in kept):
            yield from (body for body in kept if body)
            return
    yield from _from_cloudwatch(ledger, job_id, attempt, follow=follow)


def _row(address: str, record: JobRecord, now: datetime) -> Row:
    attempt = record.last
    if attempt is None:
        return Row(address, "new", record.job_id)
    result, fence = attempt.result or {}, attempt.started or {}
    began = result.get("started_at") or fence.get("started_at") or (attempt.claim or {}).get("claimed_at")
    end = moment(result["finished_at"]) if result else now
    state = "running" if fence else "starting" if (attempt.task or {}).get("task_arn") else "claimed"
    return Row(
        address,
        str(result.get("status", state)),
        record.job_id,
        attempt.number,
        result.get("exit_code"),
        max(0.0, (end - moment(began)).total_seconds()) if began else None,
        str((result.get("error") or {}).get("message", "")),
        (result.get("task") or {}).get("arn") or (attempt.task or {}).get("task_arn"),
    )


def _chosen(found: Mapping[str, Files], name: str) -> Iterator[tuple[PurePosixPath, Mapping[str, Any]]]:
    """Each file with its path below the destination."""
    for address, made in found.items():
        element = [address.split("/", 2)[2]] if len(found) > 1 and address.count("/") > 1 else []
        for output, files in made.items():
            if name in ("", output):
                folder = [output] if not name and len(made) > 1 else []
                for file in files:
                    yield PurePosixPath(*element, *folder, file["path"]), file


def _download(ledger: Ledger, url: str, target: Path) -> None:
    """Streams an object to a name beside the target, then renames: a file that is there is whole."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{ledger.nonce()}.part")
    try:
        answer = ledger.aws.call("s3", "GetObject", Bucket=bucket, Key=key)
        with part.open("xb") as file, aws_.translated("GetObject"):
            while block := answer["Body"].read(_BLOCK):
                file.write(block)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _attempt(ledger: Ledger, address: str, number: int | None) -> tuple[Attempt, str]:
    newest = ledger.newest([address])
    if address not in newest:
        elements = ", ".join(list(newest)[:3])
        raise errors.BunniesError(f"{address} has several elements: name one, as {elements}.")
    job_id = newest[address]
    all_ = ledger.records([job_id])[job_id].attempts
    for attempt in reversed(all_):
        if number in (None, attempt.number):
            return attempt, job_id
    said = ", ".join(str(attempt.number) for attempt in all_) or "none"
    raise errors.BunniesError(f"{address} has no attempt {number or ''}. It has: {said}.")


def _from_cloudwatch(ledger: Ledger, job_id: str, attempt: Attempt, *, follow: bool) -> Iterator[bytes]:
    token: str | None = None
    while True:
        if attempt.result is not None:
            follow = False  # one last look: what was written up to the end
        place = _log_stream(ledger, attempt)
        while place is not None:
            answer = _events(ledger.aws, place, token)
            for event in answer.get("events", ()):
                yield f"{event['message']}\n".encode()
            # The same token again says that there is nothing more for now.
            last, token = token, answer.get("nextForwardToken")
            if token == last or not answer.get("events"):
                break
        if not follow:
            return
        ledger.clock.sleep(_POLL)
        all_ = ledger.records([job_id])[job_id].attempts
        attempt = next(other for other in all_ if other.number == attempt.number)


def _events(aws: aws_.Aws, place: tuple[str, str], token: str | None) -> dict[str, Any]:
    """A page of events; an empty one where the stream is not there yet."""
    more: dict[str, Any] = {"startFromHead": True}  # a forward token asks for it too
    if token:
        more["nextToken"] = token
    try:
        return aws.call("logs", "GetLogEvents", logGroupName=place[0], logStreamName=place[1], **more)
    except errors.AwsError as error:
        if error.code == "ResourceNotFoundException":
            return {}
        raise


def _log_stream(ledger: Ledger, attempt: Attempt) -> tuple[str, str] | None:
    """Group and stream of the attempt's container: PREFIX/CONTAINER/TASK, as the awslogs driver names it."""
    arn = ((attempt.result or {}).get("task") or {}).get("arn") or (attempt.task or {}).get("task_arn")
    request = (attempt.claim or {}).get("request")
    if not arn or not request:
        return None
    name = request["overrides"]["containerOverrides"][0]["name"]
    answer = ledger.aws.call("ecs", "DescribeTaskDefinition", taskDefinition=request["taskDefinition"])
    for container in answer["taskDefinition"]["containerDefinitions"]:
        logging = container.get("logConfiguration") or {}
        options = logging.get("options", {})
        if container["name"] == name and logging.get("logDriver") == "awslogs":
            stream = f"{options.get('awslogs-stream-prefix', 'ecs')}/{name}/{str(arn).rpartition('/')[2]}"
            return options["awslogs-group"], stream
    return None
