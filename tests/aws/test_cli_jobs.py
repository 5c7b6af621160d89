"""The commands about jobs, through the command line, on moto: the lock, and what the ledger tells."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import moto
import pytest

from reconciler import cli, clock
from reconciler.aws import Aws
from reconciler.ledger import Ledger
from reconciler.lock import Lock

SETTINGS = """\
kind: Settings
name: lab
region: us-east-1
account: "123456789012"
cluster: lab
bucket: lab-bucket
"""
REPOSITORY = "---\nkind: Repository\nname: tools\n"
JOB_ID = "a1" * 32

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with moto.mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        aws = Aws("us-east-1")
        aws.call("s3", "CreateBucket", Bucket="lab-bucket")
        aws.call("ecs", "CreateCluster", clusterName="lab")
        path = tmp_path_factory.mktemp("lab")
        (path / "lab.yaml").write_text(SETTINGS + REPOSITORY)
        patch.chdir(path)
        _job_that_ran(aws)
        yield path


def _ledger(aws: Aws) -> Ledger:
    nonces = itertools.count()
    return Ledger(aws, "lab-bucket", "bunnies/lab", clock.system(), lambda: f"nonce-{next(nonces):016d}")


def _job_that_ran(aws: Aws) -> None:
    book = _ledger(aws)
    book.identity(JOB_ID, {"command": ["align"]})
    book.address("job/align/s1", JOB_ID)
    url = book.outputs_url("job/align/s1", JOB_ID, 1) + "s1.bam"
    claim = {
        "claimed_at": book.clock.stamp(),
        "by": "me@here",
        "why": "new",
        "source": {"commit": "c" * 40, "clean": True},
    }
    book.claim(JOB_ID, 1, {**claim, "request": {}, "jobspec": {"command": ["align"], "inputs": {}}})
    book.close(
        JOB_ID,
        1,
        {
            "status": "succeeded",
            "error": None,
            "outputs": {"bam": [{"url": url, "path": "s1.bam", "size": 3}]},
        },
    )


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def words(*given: str) -> tuple[int, str, str]:
        code = cli.run(list(given))
        return (code, *capsys.readouterr())

    return words


def test_an_apply_under_anothers_lock_is_refused_with_5_and_says_who(run: Run) -> None:
    aws = Aws("us-east-1")
    book = _ledger(aws)
    lock = Lock(aws, book.bucket, book.key("lock.json"), book.clock, book.nonce)
    lock.take("ci@elsewhere", "apply")
    code, _, err = run("apply", "--yes")
    assert code == 5
    assert "ci@elsewhere" in err
    assert run("apply", "--yes", "--lock-timeout", "1s")[0] == 5
    code, _, err = run("unlock")
    assert (code, "ci@elsewhere" in err) == (0, True)
    assert run("apply", "--yes")[0] == 0
    assert "nobody" in run("unlock")[2]  # the apply let it go


def test_a_wrong_duration_is_wrong_usage(run: Run) -> None:
    assert run("apply", "--yes", "--lock-timeout", "soon")[0] == 1


def test_there_is_nothing_to_go_on_with_before_an_apply_with_jobs(run: Run) -> None:
    code, _, err = run("apply", "--continue")
    assert (code, "Run `bunnies apply`" in err) == (1, True)


def test_a_job_is_explained_in_words_and_in_json(run: Run) -> None:
    code, out, _ = run("explain", "job/align/s1")
    assert code == 0
    for words in ("job/align/s1", "attempt 1: succeeded", "why: new", "commit: cccccccccccc", "s1.bam"):
        assert words in out
    assert json.loads(run("explain", "--json", "job/align/s1")[1])["job_id"] == JOB_ID
    assert run("explain", "job/none")[0] == 1


def test_a_file_has_its_provenance(run: Run) -> None:
    place = _ledger(Aws("us-east-1")).outputs_url("job/align/s1", JOB_ID, 1)
    code, out, _ = run("provenance", f"{place}s1.bam")
    assert code == 0
    assert json.loads(out)["jobs"][JOB_ID]["source"] == {"commit": "c" * 40, "clean": True}


def test_what_no_manifest_wants_is_listed_and_removed_when_said_so(run: Run) -> None:
    aws = Aws("us-east-1")
    key = f"bunnies/lab/outputs/align/s1/{JOB_ID[:12]}-1/s1.bam"
    aws.call("s3", "PutObject", Bucket="lab-bucket", Key=key, Body=b"bam")
    code, out, err = run("clean")
    assert (code, key in out, "clean --yes" in err) == (0, True, True)
    code, _, err = run("clean", "--yes")
    assert (code, "removed: 1 files" in err) == (0, True)
    assert "nothing to remove" in run("clean")[2]


def test_when_nothing_failed_status_says_nothing(run: Run) -> None:
    assert run("status", "--failed") == (0, "", "")
