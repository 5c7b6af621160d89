"""A canary: every command with secrets planted wherever people put them, and not one of them comes out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from moto import mock_aws

from reconciler import cli
from tests.aws.cloud import BUCKET, CLUSTER, JOB_ID, OWNER, PLAIN, Bench, a_job

SECRETS = {
    "environment": "canary-Env1ronment",
    "listed": "canary-L1sted",
    "option": "canary-0ption",
    "job": 'canary-"j0b"\\x',
    "short": "k9!",
    "argument": "canary-Argument5",
    "variable": "canary-V4riable",
    "file": "canary-F1le",
    "access": "canary/AccessKey/0123456789012345678901",
    "session": "canary-Session-Token-0123456789",
    "store": "canary-St0re",
    "policy": "canary-Lab3l",
}
MANIFESTS = f"""\
kind: Settings
name: {OWNER}
region: us-east-1
cluster: {CLUSTER}
bucket: {BUCKET}
executionRoleArn: arn:aws:iam::123456789012:role/execution
taskRoleArn: arn:aws:iam::123456789012:role/task
redact: [LAB_LOGIN]
---
kind: Repository
name: tools
tags: {{api_token: "{SECRETS["policy"]}"}}
---
kind: TaskDefinition
name: secret-task
cpu: 256
memory: 512
containerDefinitions:
  - name: aligner
    image: %s
    environment:
      - {{name: DB_PASSWORD, value: "{SECRETS["environment"]}"}}
      - {{name: LAB_LOGIN, value: {SECRETS["listed"]}}}
      - {{name: PIN_SECRET, value: "{SECRETS["short"]}"}}
      - {{name: URL, value: "postgres://me:{SECRETS["environment"]}@db/{{{{ db_password }}}}"}}
      - {{name: FROM_FILE, value: "{{{{ file_token }}}}"}}
    secrets: [{{name: STORE, valueFrom: "%s"}}]
    command: ["--password={{{{ db_password }}}}"]
    logConfiguration: {{logDriver: splunk, options: {{splunk-token: "{SECRETS["option"]}", splunk-url: "https://x"}}}}
"""
JOBS = f"""\
---
kind: Image
name: analytics
build: {{context: ., args: {{NPM_TOKEN: "{SECRETS["argument"]}"}}}}
repository: tools
---
kind: Job
name: align
taskDefinition: secret-task
foreach: {{items: [s1]}}
key: "{{{{ item }}}}"
command: [align]
environment: {{API_TOKEN: {json.dumps(SECRETS["job"])}}}
"""
WRONG = f"""\
---
kind: Repository
name: Wrong
tags: {{password: {SECRETS["environment"]}}}
repositoryPolicy: "{SECRETS["policy"]}"
---
kind: Job
name: j
taskDefinition: secret-task
environment: {{API_TOKEN: [{SECRETS["file"]}], DB_PASSWORD: {SECRETS["environment"]}}}
"""
WORDS = ("-e", f"db_password={SECRETS['variable']}", "--vars", "secret.vars.yaml")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with mock_aws():  # which sets credentials of its own
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["access"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", SECRETS["session"])
        monkeypatch.setenv("BUNNIES_TRACEBACK", "1")
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        (tmp_path / "out").mkdir()
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "out" / "summary.md"))
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name, raising=False)
        yield tmp_path


def leaks(text: str) -> list[str]:
    forms = {name: {value, json.dumps(value)[1:-1], repr(value)[1:-1]} for name, value in SECRETS.items()}
    return [f"{name}: {form}" for name, some in forms.items() for form in some if form in text]


def arranged(folder: Path) -> str:
    """The manifests, a secret in Secrets Manager, a job that failed and said its token; the secret's ARN."""
    made = PLAIN.call("secretsmanager", "CreateSecret", Name="store", SecretString=SECRETS["store"])
    arn = str(made["ARN"])
    for name, text in {
        "plain/lab.yaml": MANIFESTS % ("busybox:1", arn),
        "jobs/lab.yaml": MANIFESTS % ("${image.analytics}", arn) + JOBS,
        "wrong/lab.yaml": MANIFESTS % ("busybox:1", arn) + WRONG,
        "jobs/Dockerfile": "FROM scratch\n",
        "secret.vars.yaml": f"file_token: {SECRETS['file']}\n",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    bench = Bench()
    one, other = a_job(), a_job("job/align/s2", "b2" * 32)
    for job in (one, other):
        job.spec["jobspec"]["environment"]["API_TOKEN"] = SECRETS["job"]
        job.identity["environment"] = {"API_TOKEN": SECRETS["job"]}  # type: ignore[index]
    bench.step(one, other)
    bench.fence(bench.cloud.started[0])
    key = bench.ledger.attempt_key(JOB_ID, 1, "")
    PLAIN.call(
        "s3", "PutObject", Bucket=BUCKET, Key=f"{key}stdout.log", Body=f"x {SECRETS['job']} y".encode()
    )
    error = {"class": "infrastructure", "message": f"could not log in as {SECRETS['job']}"}
    result = {"address": "job/align/s1", "status": "failed", "error": error, "outputs": {}}
    bench.ledger.close(JOB_ID, 1, result)
    return arn


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_command_lets_a_secret_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arn = arranged(here)
    task = {"family": "t", "containerDefinitions": [{"name": "a", "environment": [{"name": "DB_PASSWORD"}]}]}
    for name, value in (("one", SECRETS["environment"]), ("two", SECRETS["store"])):
        task["containerDefinitions"][0]["environment"][0]["value"] = value  # type: ignore[index]
        (here / f"{name}.json").write_text(json.dumps(task))
    plain, jobs, wrong = ("plain", *WORDS), ("jobs", *WORDS), ("wrong", *WORDS)
    of_jobs = ("--manifests", "jobs", *WORDS)
    ran: set[str] = set()
    told: dict[str, str] = {}

    def run(*words: str) -> str:
        code = cli.run(list(words))
        out, err = capsys.readouterr()
        ran.add(words[0])
        told[f"{' '.join(words[:3])} → {code}"] = out + err
        return out + err

    for command in ("validate", "plan", "apply", "verify", "status", "bootstrap"):
        run(command, *wrong)
    for command in ("validate", "plan", "apply"):
        run(command, *jobs, *(["--yes"] if command == "apply" else []))
    run("plan", *plain, "-v")
    files = ("--out", "out/plan.json", "--markdown", "out/plan.md", "--junit", "out/plan.xml")
    assert "(hidden)" in run("plan", *plain, "--json", *files)
    run("verify", *plain)
    run("bootstrap", *plain, "--yes")
    run("apply", "out/plan.json", "--yes")  # says which -e is missing
    run(
        "apply",
        "out/plan.json",
        *WORDS[:2],
        "--yes",
        "--json",
        "--markdown",
        "out/apply.md",
        "--junit",
        "out/apply.xml",
    )
    (here / "plain/lab.yaml").write_text((MANIFESTS % ("busybox:2", arn)).replace(SECRETS["short"], "z7?"))
    assert "(hidden) → (hidden)" in run("plan", *plain)
    run("apply", *plain, "--yes")
    for role in ("plan", "apply", "task", "execution"):
        run("iam-policy", role, *plain)
    assert "could not log in as (hidden)" in run("status", *jobs)
    run("status", *jobs, "--json")
    run("outputs", *of_jobs)
    run("get", "job/align/s1", "out/got", *of_jobs)
    assert "x (hidden) y" in run("logs", "job/align/s1", *of_jobs)
    run("stop", "job/align/s2", *of_jobs)
    run("retry", "job/align/s1", *of_jobs)
    assert "(hidden)" in run("diff", "--kind", "task-definition", "one.json", "two.json", "-v")
    run("schema")
    run("local", "env")
    run("local", "status")
    run("shim", "--help")
    run("init", "out/starter")
    others = set(cli.bunnies.list_commands(click.Context(cli.bunnies))) - ran
    for command in sorted(others):  # of jobs, one and all, whatever they make of it
        run(command, "job/align/s1", *of_jobs)
        run(command, *of_jobs)
    assert {name: found for name, text in told.items() if (found := leaks(text))} == {}
    written = {
        str(path): path.read_text("utf-8", "replace") for path in (here / "out").rglob("*") if path.is_file()
    }
    assert len(written) > 5
    assert {name: found for name, text in written.items() if (found := leaks(text))} == {}
    assert {key: found for key, text in bucket() if (found := leaks(text))} == {}


def bucket() -> Iterator[tuple[str, str]]:
    """What the ledger holds, but for what the shim reads a job's environment from, and the job's own log."""
    for page in PLAIN.pages("s3", "ListObjectsV2", Bucket=BUCKET):
        for entry in page.get("Contents", ()):
            key = entry["Key"]
            if not re.search(r"(jobspec\.json|claim\.json|result\.json|\.log)$", key):
                yield (
                    key,
                    PLAIN.call("s3", "GetObject", Bucket=BUCKET, Key=key)["Body"]
                    .read()
                    .decode("utf-8", "replace"),
                )


def test_a_defect_says_no_secret_either(here: Path) -> None:
    code = (
        "import os, sys\n"
        "from reconciler import cli\n"
        "from reconciler.cli import hidden\n"
        "def broken(*_): raise RuntimeError('cannot use ' + os.environ['AWS_SECRET_ACCESS_KEY'])\n"
        "cli._Lazy.get_command = broken\n"
        "sys.exit(cli.run(['plan']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "RuntimeError: cannot use (hidden)" in done.stderr
    assert leaks(done.stdout + done.stderr) == []
