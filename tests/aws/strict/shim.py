"""What bunny-init does to S3, without a container: so that whole graphs of jobs run in milliseconds.

Job: read the job spec, take the fence, check the inputs, write outputs and the result, each by the conditional writes
of the shim's contract. Input: tasks, S3. Output: objects, an exit code. Must not: import the product or the shim;
schemas/ is what all three share.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.aws.strict.ecs_tasks import Task
from tests.aws.strict.faults import jobspec
from tests.aws.strict.s3 import S3
from tests.aws.strict.timeline import Timeline

SCHEMAS: Final = Path(__file__).resolve().parents[3] / "schemas"
FENCED: Final = 121  # an exit code of the shim's own

User = Callable[[Mapping[str, Any]], int]
"""The user's command: a job spec in, an exit code out."""


@dataclass
class Shim:
    """Every container's PID 1; `effects` counts, by job id and attempt, the commands that were begun."""

    s3: S3
    timeline: Timeline
    user: User = lambda _: 0
    seconds: Callable[[Mapping[str, Any]], float] = lambda _: 60.0
    effects: Counter[tuple[str, int]] = field(default_factory=Counter)
    fenced: int = 0

    def begin(self, task: Task) -> float | int:
        """Reads the job spec and takes the fence."""
        spec = self._spec(task)
        if not self._once(spec, "started", self._started(task)):
            self.fenced += 1
            return FENCED
        self.effects[spec["job_id"], spec["attempt"]] += 1
        for entry in spec["inputs"].values():
            for wanted in entry["objects"]:
                found = self.s3.get(wanted["url"])
                if found is None or found.etag.strip('"') != wanted.get("etag", found.etag.strip('"')):
                    self._result(task, spec, "failed", None, {"class": "input", "message": wanted["url"]})
                    return FENCED + 1
        return self.seconds(spec)

    def end(self, task: Task) -> int:
        """Runs the user's command, and writes outputs, then the result."""
        spec = self._spec(task)
        code = self.user(spec)
        if code:
            error = {"class": "user", "message": f"the command ended with exit code {code}"}
            self._result(task, spec, "failed", code, error)
            return code
        outputs = {name: self._output(spec, name) for name in spec["outputs"]}
        return 0 if self._result(task, spec, "succeeded", 0, None, outputs=outputs) else FENCED

    def interrupted(self, task: Task) -> int:
        """SIGTERM: the result first, without outputs."""
        spec = self._spec(task)
        error = {"class": "infrastructure", "message": "SIGTERM"}
        self._result(task, spec, "interrupted", 143, error, signal=15)
        return 143

    def _spec(self, task: Task) -> dict[str, Any]:
        found = self.s3.get(jobspec(task.request))
        if found is None:
            raise AssertionError(f"{jobspec(task.request)}: RunTask came before the job spec")
        spec: dict[str, Any] = json.loads(found.body)
        _validate("jobspec", spec)
        return spec

    def _started(self, task: Task) -> dict[str, Any]:
        return {"version": 1, "started_at": self._stamp(), "task": {"arn": task.arn}}

    def _result(
        self,
        task: Task,
        spec: Mapping[str, Any],
        status: str,
        code: int | None,
        error: dict[str, str] | None,
        **more: Any,
    ) -> bool:
        document = {
            "version": 1,
            "written_by": "shim",
            "address": spec["address"],
            "status": status,
            "exit_code": code,
            "error": error,
            "started_at": self._stamp(),
            "finished_at": self._stamp(),
            "task": {"arn": task.arn},
            **more,
        }
        return self._once(spec, "result", document)

    def _once(self, spec: Mapping[str, Any], name: str, document: dict[str, Any]) -> bool:
        whole = {**document, "job_id": spec["job_id"], "attempt": spec["attempt"]}
        whole["nonce"] = hashlib.sha256(json.dumps([name, whole]).encode()).hexdigest()
        if name == "result":
            _validate("result", whole)
        return self.s3.put(f"{spec['attempt_url']}{name}.json", json.dumps(whole).encode(), once=True)

    def _output(self, spec: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
        """One file, or two where it is a folder; the bytes come from the command and the inputs, as a real one's do."""
        wanted = spec["outputs"][name]
        single = wanted["kind"] == "file"
        paths = [wanted["path"]] if single else [f"{wanted['path']}/part.{part}" for part in "ab"]
        made = []
        for path in paths:
            etags = [o.get("etag") for entry in spec["inputs"].values() for o in entry["objects"]]
            body = json.dumps([spec.get("command"), spec.get("script"), etags, path]).encode()
            url = spec["outputs_url"] + path
            self.s3.put(url, body)
            relative = path if single else path.removeprefix(f"{wanted['path']}/")
            digest = hashlib.sha256(body).hexdigest()
            stored = self.s3.get(url)
            etag = stored.etag.strip('"') if stored else ""
            made.append({"url": url, "path": relative, "size": len(body), "etag": etag, "sha256": digest})
        return made

    def _stamp(self) -> str:
        return f"{self.timeline.now:%Y-%m-%dT%H:%M:%S}.000Z"


@functools.cache
def _validator(name: str) -> Any:
    import jsonschema

    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))
    return jsonschema.Draft202012Validator(schema)


def _validate(name: str, document: Mapping[str, Any]) -> None:
    _validator(name).validate(document)
