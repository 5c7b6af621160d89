"""Our own fields of the manifests, as JSON Schema.

Job: say what each kind takes besides AWS's fields. Input and output: none, data. Must not: repeat what botocore knows.
`patternErrorMessage` (known to editors) is what a person reads instead of the pattern.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string", "minLength": 1}
BOOLEAN: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 1}
STRINGS: Schema = {"type": "array", "items": STRING}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _said(description: str, schema: Schema) -> Schema:
    return {"description": description, **schema}


def _mapping(**properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


_DURATION = _ref("duration")
_EXIT_CODES: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": 255,
        "pattern": r"^[0-9]{1,3}(-[0-9]{1,3})?$",
        "patternErrorMessage": "an exit code, or a range as 64-78",
    },
}
_FILE = _mapping(file=_said("a path relative to this file", STRING))

FORMS: dict[str, Schema] = {
    "template": {
        "type": "string",
        "pattern": r"\{\{[\s\S]*\}\}",
        "patternErrorMessage": "a template {{ … }}",
    },
    "duration": {
        "type": ["string", "integer"],
        "minimum": 1,
        "pattern": r"^(?=.)(?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?$|\{\{",
        "patternErrorMessage": "a duration as 2h, 90m, 1h30m, 30s, or an integer of seconds",
    },
    "size": {"type": ["string", "integer"], "minLength": 1, "minimum": 1},
    "environment": {
        "type": "object",
        "additionalProperties": {"type": ["string", "integer"]},
        "propertyNames": {"pattern": "^[^=\\s]+$", "patternErrorMessage": "a name without = and blanks"},
    },
    "words": _said(
        "one word each; integers become text", {"type": "array", "items": {"type": ["string", "integer"]}}
    ),
    "tags": {
        "type": ["object", "array"],
        "additionalProperties": {"type": "string"},
        "items": {**_mapping(key=STRING, value={"type": "string"}), "required": ["key"]},
    },
    "document": {"type": "object", "minProperties": 1},
    "prevent": {"type": "string", "enum": ["destroy"]},
    "input": {
        "type": ["string", "array", "object"],
        "minLength": 1,
        "minItems": 1,
        "items": STRING,
        "additionalProperties": False,
        "required": ["from"],
        "properties": {
            "from": _said(
                "s3://BUCKET/KEY, s3://BUCKET/PREFIX/, ${job.NAME.outputs.O}, or a list of them",
                {"type": ["string", "array"], "minLength": 1, "minItems": 1, "items": STRING},
            ),
            "as": _said("where it lies, relative to /input: a file, or a folder/", STRING),
        },
    },
    "output": {
        "type": ["string", "object"],
        "minLength": 1,
        "additionalProperties": False,
        "required": ["path"],
        "properties": {
            "path": _said("relative to /output: a file, a glob, or a folder/", STRING),
            "optional": _said("no failure where it is missing", BOOLEAN),
            "temp": _said("`bunnies clean` may remove it once the jobs that need it have succeeded", BOOLEAN),
            "publish": _said(
                "s3://BUCKET/KEY that gets a copy",
                {**STRING, "pattern": r"^s3://[^/]+/|\{\{", "patternErrorMessage": "s3://BUCKET/KEY"},
            ),
        },
    },
    "foreach": _mapping(
        items=_said("the elements: mappings, or plain values", {"type": "array"}),
        file=_said("a CSV or TSV with a header, relative to this file; cells are strings", STRING),
        distinct=_said("keep these columns, and each combination once", {**STRINGS, "minItems": 1}),
        matrix=_said(
            "names and their values, crossed with the elements",
            {"type": "object", "minProperties": 1, "additionalProperties": {"type": "array"}},
        ),
        where=_said('keep the elements for which this is true: "{{ … }}"', {"type": ["string", "boolean"]}),
    ),
}
_NAMES: Schema = {
    "propertyNames": {
        "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$",
        "patternErrorMessage": "a letter or _, then letters, digits and _, 64 at most",
    }
}


def _name(pattern: str, message: str, description: str) -> Schema:
    return {
        "description": description,
        "type": "string",
        "pattern": rf"^(?:{pattern})$|\{{\{{",
        "patternErrorMessage": message,
    }


_PATH_NAME = r"(?=.{2,256}$)[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_MANAGED: dict[str, Schema] = {
    "adopt": _said("take over one that is there and not ours", BOOLEAN),
    "prevent": _said(
        "destroy: --prune never deletes it, not even when this manifest is gone", _ref("prevent")
    ),
    "ignoreChanges": _said("fields whose live value is left alone", STRINGS),
}

JOB_FIELDS: dict[str, Schema] = {
    "name": _name(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
        "letters, digits, and . _ - after the first, 100 at most",
        "the job's name; its address is job/NAME",
    ),
    "taskDefinition": _said("the name of a TaskDefinition manifest", STRING),
    "container": _said("its container that runs the job; default: the one essential container", STRING),
    "foreach": _said("an array: one job for each element", _ref("foreach")),
    "key": _said("what tells the elements apart; address job/NAME/KEY", STRING),
    "command": _said("arguments after the image's entrypoint", _ref("words")),
    "script": _said(
        "taken literally but for {input.N}, {output.N}, {task.…}; or {file: path}",
        {
            "type": ["string", "object"],
            "minLength": 1,
            "additionalProperties": False,
            "required": ["file"],
            "properties": {"file": STRING},
        },
    ),
    "entrypoint": _said("instead of the image's entrypoint", _ref("words")),
    "environment": _said(
        "names and their text; secrets belong in the task definition's secrets", _ref("environment")
    ),
    "inputs": _said(
        "files that lie in /input/NAME/ before the command runs",
        {"type": "object", **_NAMES, "additionalProperties": _ref("input")},
    ),
    "outputs": _said(
        "files that the command leaves in /output",
        {"type": "object", **_NAMES, "additionalProperties": _ref("output")},
    ),
    "cpu": _said("for this job, instead of the task definition's", _ref("size")),
    "memory": _said("for this job, instead of the task definition's", _ref("size")),
    "after": _said("addresses of jobs that must have succeeded first", STRINGS),
    "retry": _mapping(
        attempts=_said("of a command that fails; default 1", COUNT),
        backoff=_said("the longest wait before the second attempt, doubled for each further one", _DURATION),
        maxMemory=_said("after want of memory: the next size that Fargate has, up to this", _ref("size")),
        rules=_said(
            "by exit code; the first that names it holds, none does: no further attempt",
            {
                "type": "array",
                "minItems": 1,
                "items": {
                    **_mapping(
                        exitCodes=_EXIT_CODES,
                        attempts=_said("default: those of retry", COUNT),
                    ),
                    "required": ["exitCodes"],
                },
            },
        ),
    ),
    "timeout": _said("how long the command may take", _DURATION),
    "queueTimeout": _said("how long it may wait to start", _DURATION),
    "deadline": _said("how long all attempts may take together", _DURATION),
    "maxParallel": _said("how many elements may run at once", COUNT),
    "generation": _said(
        "a word; another word means run again", {"type": ["string", "integer"], "minLength": 1}
    ),
    "workRoot": _said(
        "input/ and output/ lie below it; default /",
        {"type": "string", "pattern": r"^/|\{\{", "patternErrorMessage": "an absolute path"},
    ),
    "restart": _said(
        "the command runs again in the same task after these exit codes (128+n for signal n)",
        {
            **_mapping(
                exitCodes=_EXIT_CODES,
                attempts=_said("how often it runs in all", COUNT),
                backoff=_said("before the second run, doubled for each further one; default 0", _DURATION),
            ),
            "required": ["exitCodes", "attempts"],
        },
    ),
    "tags": _ref("tags"),
}

KINDS: dict[str, Schema] = {
    "Settings": {
        "description": "Exactly one: who we are and where things run.",
        "required": ["name", "region", "cluster", "bucket"],
        "properties": {
            "name": _name(
                r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}",
                "letters, digits, and _ - after the first, 100 at most",
                "the owner: what is managed carries the tag bunnies:owner",
            ),
            "region": {
                **STRING,
                "description": "the AWS region",
                "pattern": r"^[a-z]{2}(?:-[a-z]+)+-[0-9]+$|\{\{",
                "patternErrorMessage": "a region as us-east-1",
            },
            "account": _name(
                r"[0-9]{12}", "an account id: 12 digits in quotes", "the only account that may be changed"
            ),
            "cluster": _said("the ECS cluster", STRING),
            "bucket": _name(
                r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
                "the bucket's name alone",
                "holds the ledger, outputs and logs",
            ),
            "prefix": _said("where in the bucket; default bunnies/OWNER", STRING),
            "network": _said(
                "an awsvpcConfiguration",
                {
                    **_mapping(
                        subnets={**STRINGS, "minItems": 1},
                        securityGroups=STRINGS,
                        assignPublicIp={"type": "string", "enum": ["ENABLED", "DISABLED"]},
                    ),
                    "required": ["subnets"],
                },
            ),
            "executionRoleArn": _said("what ECS pulls images and writes logs with", STRING),
            "taskRoleArn": _said("what jobs read and write S3 with", STRING),
            "vars": _said("names for {{ }}; not filled in themselves", {"type": "object"}),
            "defaults": _said(
                "per kind, top-level fields; the manifest wins",
                _mapping(
                    **{kind: {"type": "object"} for kind in ("Repository", "Image", "TaskDefinition", "Job")}
                ),
            ),
            "guards": _mapping(
                maxDeletePercent={"type": "integer", "minimum": 0, "maximum": 100},
                maxRuns=COUNT,
                requireDigest=BOOLEAN,
            ),
            "ignoreTags": _said("tag keys (or prefixes with *) that are left alone", STRINGS),
            "maxParallel": _said("how many jobs may run at once", COUNT),
            "redact": _said(
                "names of environment variables and the like whose values are never shown", STRINGS
            ),
        },
    },
    "Repository": {
        "description": "An ECR repository.",
        "required": ["name"],
        "properties": {
            "name": _name(
                _PATH_NAME,
                "lower-case words with . _ - or / between them, 2 to 256 characters",
                "the repository's name",
            ),
            "external": _said("another team's: read, never managed", BOOLEAN),
            "lifecyclePolicy": _said("a mapping, or {file: path}", _ref("document")),
            "repositoryPolicy": _said("an IAM document, or {file: path}", _ref("document")),
            "tags": _ref("tags"),
            "forceDelete": _said("delete it with the images in it", BOOLEAN),
            **_MANAGED,
        },
    },
    "Image": {
        "description": "A user's image plus the platform layer.",
        "required": ["name", "repository"],
        "properties": {
            "name": _name(
                r"[A-Za-z0-9][A-Za-z0-9._/-]{0,254}",
                "letters, digits, and . _ - / after the first",
                "for ${image.NAME}",
            ),
            "from": _said("a registry reference, or docker-daemon:NAME", STRING),
            "build": {
                **_mapping(
                    context=_said("a folder, relative to this file", STRING),
                    dockerfile=_said("relative to the context; default Dockerfile", STRING),
                    args={"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
                    target=STRING,
                ),
                "required": ["context"],
            },
            "builder": _said(
                "who makes it: auto (the default) takes the registry wherever it can",
                {"type": "string", "enum": ["auto", "registry", "engine"]},
            ),
            "repository": _said("the name of a Repository manifest", STRING),
            "platforms": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "enum": ["linux/amd64", "linux/arm64"]},
            },
        },
    },
    "TaskDefinition": {
        "description": "An ECS task definition, in the API's own fields; name is the family.",
        "required": ["name", "containerDefinitions"],
        "properties": {
            "name": _name(r"[A-Za-z0-9_-]{1,255}", "letters, digits, _ and -, 255 at most", "the family"),
            "cpu": _said("1 vCPU, .25 vCPU, or units: 1024", _ref("size")),
            "memory": _said("2 GB, or MiB: 2048", _ref("size")),
            "tags": _ref("tags"),
            "keepRevisions": _said("how many older revisions stay active", {"type": "integer", "minimum": 0}),
            **_MANAGED,
        },
    },
    "Job": {
        "description": "A run of a container, or an array of runs.",
        "required": ["name", "taskDefinition"],
        "properties": {},
    },
}
