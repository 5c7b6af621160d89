"""What each answer means, but for the network's.

Job: one pure function for each kind of thing. Input: Ground, Answers. Output: Findings, in the order of the manifests'
names. Must not: ask anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconciler.errors import BunniesError, ManifestError
from reconciler.kinds import bases
from reconciler.model import Ref
from reconciler.permissions.ground import Ground, awslogs
from reconciler.verify import questions
from reconciler.verify.finding import Answers, Finding, Level, unread

Findings = Iterator[Finding]

_TASKS: Final = "ecs-tasks.amazonaws.com"
_ECS: Final = "ecs.amazonaws.com"
_BOOTSTRAP: Final = "Run `bunnies bootstrap`."


def account(found: str, wanted: str | None) -> Finding:
    """Whether the credentials are for the account that Settings names."""
    if wanted is None:
        return Finding(
            Level.WARN,
            "account",
            f"the credentials are for {found}, and Settings names none",
            f'Write account: "{found}" in Settings, so that no other is ever changed.',
        )
    if found != wanted:
        return Finding(
            Level.FAIL,
            "account",
            f"the credentials are for {found}, Settings.account is {wanted}",
            "Use the credentials of that account, or correct Settings.",
        )
    return Finding(Level.OK, "account", found)


def cluster(ground: Ground, answers: Answers) -> Findings:
    """There, ACTIVE, and with the capacity providers that jobs ask for."""
    about, answer = f"cluster {ground.settings.cluster}", answers.get("cluster", ground.settings.cluster)
    if isinstance(answer, BunniesError):
        yield unread(about, answer, ("ClusterNotFoundException",), _BOOTSTRAP)
        return
    active = [one for one in answer if one.get("status") == "ACTIVE"]
    if not active:
        yield Finding(Level.FAIL, about, "is not there", _BOOTSTRAP)
        return
    wanted = {
        entry["capacityProvider"]
        for job in ground.manifests.of("Job")
        for entry in job.body.get("capacityProviderStrategy") or ()
    }
    if missing := sorted(wanted - set(active[0].get("capacityProviders", ()))):
        names = ", ".join(missing)
        do = f"Add {names} to the cluster (PutClusterCapacityProviders)."
        yield Finding(Level.FAIL, about, f"has no capacity provider {names}, which jobs ask for", do)
    else:
        yield Finding(Level.OK, about, "is ACTIVE")


def buckets(ground: Ground, answers: Answers) -> Findings:
    """There, in our region, private and encrypted where it is ours."""
    ours = ground.settings.bucket
    for name in questions.bucket_names(ground):
        about, answer = f"bucket {name}", answers.get("bucket", name)
        if isinstance(answer, BunniesError):
            do = _BOOTSTRAP if name == ours else "Create it, or correct the address in the manifests."
            yield unread(about, answer, ("NoSuchBucket", "404"), do)
            continue
        region = answer.get("BucketRegion") or ground.settings.region
        if region != ground.settings.region:
            what = (
                f"is in {region}, and tasks run in {ground.settings.region}: transfers cost, and take longer"
            )
            yield Finding(Level.WARN, about, what, "Use a bucket of the same region where that matters.")
        else:
            yield Finding(Level.OK, about, "is there")
    yield from _private(answers, ours)
    yield from _encrypted(answers, ours)


def _private(answers: Answers, name: str) -> Findings:
    about, answer = f"public access block of {name}", answers.get("public access block", name)
    if isinstance(answer, BunniesError):
        if getattr(answer, "code", "") == "NoSuchPublicAccessBlockConfiguration":
            yield Finding(Level.WARN, about, "is not set: a policy could make the bucket public", _BOOTSTRAP)
        elif getattr(answer, "code", "") not in ("NoSuchBucket", "404"):
            yield unread(about, answer, (), "")
    elif all(answer.values()):
        yield Finding(Level.OK, about, "blocks all of it")
    else:
        off = ", ".join(sorted(key for key, value in answer.items() if not value))
        yield Finding(Level.WARN, about, f"leaves out {off}", _BOOTSTRAP)


def _encrypted(answers: Answers, name: str) -> Findings:
    about, answer = f"encryption of {name}", answers.get("encryption", name)
    if isinstance(answer, BunniesError):
        if getattr(answer, "code", "") not in ("NoSuchBucket", "404"):
            absent = ("ServerSideEncryptionConfigurationNotFoundError",)
            yield unread(about, answer, absent, _BOOTSTRAP)
        return
    key = questions.encryption_key(answer)
    what = f"with {key}: the task role and whoever applies need kms:Decrypt and kms:GenerateDataKey on it"
    yield Finding(Level.OK, about, what if key else "is on")


def log_groups(ground: Ground, answers: Answers) -> Findings:
    """There, unless the driver makes them."""
    made = {
        awslogs(container).get("awslogs-group")
        for _, container in ground.containers()
        if awslogs(container).get("awslogs-create-group") == "true"
    }
    for arn in ground.log_groups():
        name, region = arn.partition(":log-group:")[2], arn.split(":")[3]
        about, answer = f"log group {name}", answers.get("log group", name)
        if region != ground.settings.region:
            yield Finding(Level.WARN, about, f"is in {region}, and was not looked at")
        elif isinstance(answer, BunniesError):
            yield unread(about, answer, (), "")
        elif answer or name in made:
            yield Finding(Level.OK, about, "is there" if answer else "will be made by the first task")
        else:
            yield Finding(Level.FAIL, about, "is not there, and a task would not start", _BOOTSTRAP)


def roles(ground: Ground, answers: Answers) -> Findings:
    """There, and to be assumed by the service that has to."""
    wanted = dict.fromkeys(ground.passed_roles(), _TASKS) | dict.fromkeys(ground.volume_roles(), _ECS)
    for arn, service in sorted(wanted.items()):
        about, answer = f"role {arn.rpartition('/')[2]}", answers.get("role", arn.rpartition("/")[2])
        if arn.split(":")[4] != ground.account:
            what = f"is of account {arn.split(':')[4]}, and ECS takes roles of its own account only"
            yield Finding(Level.FAIL, about, what, f"Name a role of {ground.account}.")
        elif isinstance(answer, BunniesError):
            do = "Create it (`bunnies iam-policy` prints its policy), or correct the ARN in the manifests."
            yield unread(about, answer, ("NoSuchEntity",), do)
        elif answer["Arn"] != arn:
            yield Finding(Level.FAIL, about, f"has the ARN {answer['Arn']}", "Write that in the manifests.")
        elif not _may_assume(answer.get("AssumeRolePolicyDocument") or {}, service):
            what = f"cannot be assumed by {service}"
            yield Finding(
                Level.FAIL, about, what, "Allow it sts:AssumeRole as a Service principal in the trust policy."
            )
        else:
            yield Finding(Level.OK, about, f"can be assumed by {service}")
    yield from _without_role(ground)


def _without_role(ground: Ground) -> Findings:
    for definition in ground.manifests.of("TaskDefinition"):
        on_fargate = "FARGATE" in (definition.body.get("requiresCompatibilities") or ())
        if on_fargate and not ground.execution_role(definition):
            what = "has no execution role, and Fargate pulls images of ECR and writes logs with it"
            yield Finding(
                Level.FAIL, definition.address, what, "Write executionRoleArn: in Settings or here."
            )


def _may_assume(policy: Any, service: str) -> bool:
    """Whether a trust policy lets the service in; conditions are not weighed."""
    statements = policy.get("Statement", ()) if isinstance(policy, Mapping) else ()
    for one in [statements] if isinstance(statements, Mapping) else statements:
        principal = one.get("Principal") or {}
        services = _listed(principal.get("Service")) if isinstance(principal, Mapping) else [principal]
        allows = one.get("Effect") == "Allow" and {"sts:AssumeRole", "sts:*", "*"} & set(
            _listed(one.get("Action"))
        )
        if allows and {service, "*"} & set(services):
            return True
    return False


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def secrets(ground: Ground, answers: Answers) -> Findings:
    """There, and not on their way out."""
    for arn in questions.secret_arns(ground):
        about, answer = f"secret {arn.rpartition(':')[2]}", answers.get("secret", arn)
        if answer is None:
            yield Finding(Level.WARN, about, f"is in {arn.split(':')[3]}, and was not looked at")
        elif isinstance(answer, BunniesError):
            yield unread(
                about,
                answer,
                ("ResourceNotFoundException",),
                "Create it, or correct valueFrom in the manifests.",
            )
        elif answer.get("DeletedDate"):
            yield Finding(Level.FAIL, about, "is scheduled for deletion", "Restore it (RestoreSecret).")
        else:
            yield Finding(Level.OK, about, "is there")


def parameters(ground: Ground, answers: Answers) -> Findings:
    """None of them among GetParameters' InvalidParameters."""
    for question, answer in answers.given.items():
        if question.what != "parameters":
            continue
        for name in question.names:
            about = f"parameter {name}"
            if isinstance(answer, BunniesError):
                yield unread(about, answer, (), "")
            elif name in answer:
                do = f"Create it in {ground.settings.region}, or correct valueFrom in the manifests."
                yield Finding(Level.FAIL, about, "is not there", do)
            else:
                yield Finding(Level.OK, about, "is there")


def keys(ground: Ground, answers: Answers) -> Findings:
    """Every key of KMS that something here is encrypted with."""
    for name in answers.names("key"):
        about, answer = f"key {name}", answers.get("key", name)
        if isinstance(answer, BunniesError):
            yield unread(about, answer, ("NotFoundException",), "Name a key of this region that is there.")
        elif answer.get("KeyState") != "Enabled":
            yield Finding(Level.FAIL, about, f"is {answer.get('KeyState')}", "Enable it, or name another.")
        else:
            yield Finding(Level.OK, about, "is Enabled")


def images(ground: Ground, answers: Answers) -> Findings:
    """The users' images, where their registries have them, for the platforms that run them."""
    for image in ground.manifests.of("Image"):
        yield _image(image.address, answers.get("image", image.address))
    for definition, container in ground.containers():
        named, platform = container.get("image"), questions.platform_of(definition)
        if isinstance(named, str):
            yield _image(f"image {named}", answers.get("reference", named, platform))
        elif isinstance(named, Ref):
            made = [one for one in ground.manifests.of("Image") if one.address == named.address]
            offered = [name for one in made for name in bases.platforms(one.body)]
            if made and platform not in offered:
                do = f"Add it to platforms: of {named.address}, or change runtimePlatform."
                yield Finding(
                    Level.FAIL,
                    definition.address,
                    f"runs on {platform}, which {named.address} is not made for",
                    do,
                )


def _image(about: str, answer: Any) -> Finding:
    if isinstance(answer, ManifestError):
        return Finding(Level.FAIL, about, "; ".join(one.what.rstrip(".") for one in answer.problems))
    if isinstance(answer, BunniesError):
        return Finding(Level.FAIL, about, str(answer).rstrip("."))
    return Finding(Level.OK, about, ", ".join(f"{name} is {digest}" for name, digest in answer.items()))
