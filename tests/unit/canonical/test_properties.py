"""What holds for every task definition, not only for those of the cases."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import canonical, diff
from reconciler.aws import Aws
from reconciler.canonical import Keyed, ecr, ecs
from reconciler.model import UNKNOWN, Ref

ORDERED = ("command", "entryPoint", "links", "dnsServers", "dnsSearchDomains", "environmentFiles")

words = st.text(st.sampled_from("abcXYZ019._-#"), min_size=1, max_size=5)
maybe = st.one_of(words, st.just(""), st.integers(0, 3), st.none())


def pairs(name: str, value: str) -> st.SearchStrategy[Any]:
    return st.lists(st.fixed_dictionaries({name: words, value: maybe}), max_size=4)


containers = st.fixed_dictionaries(
    {"name": words},
    optional={
        "image": st.one_of(words, st.just(Ref("image/a", "uri")), st.just(UNKNOWN)),
        "command": st.lists(words, max_size=3),
        "cpu": st.sampled_from([0, 1, "256", 256]),
        "essential": st.booleans(),
        "environment": pairs("name", "value"),
        "secrets": pairs("name", "valueFrom"),
        "extraHosts": pairs("hostname", "ipAddress"),
        "dockerLabels": st.dictionaries(words, words, max_size=3),
        "mountPoints": st.lists(
            st.fixed_dictionaries({"containerPath": words, "sourceVolume": words, "readOnly": st.booleans()}),
            max_size=3,
        ),
        "portMappings": st.lists(
            st.fixed_dictionaries(
                {"containerPort": st.integers(1, 3)},
                optional={"hostPort": st.integers(0, 3), "protocol": st.sampled_from(["tcp", "udp"])},
            ),
            max_size=4,
        ),
        "healthCheck": st.fixed_dictionaries(
            {}, optional={"command": st.lists(words, max_size=2), "interval": st.integers(5, 30)}
        ),
        "linuxParameters": st.fixed_dictionaries(
            {}, optional={"capabilities": st.fixed_dictionaries({"add": st.lists(words, max_size=2)})}
        ),
        "novelty": st.dictionaries(words, maybe, max_size=2),
    },
)
definitions = st.fixed_dictionaries(
    {"family": words, "containerDefinitions": st.lists(containers, max_size=3)},
    optional={
        "cpu": st.sampled_from([256, "256", ".25 vCPU", "1 vCPU", "none of these"]),
        "networkMode": st.sampled_from(["awsvpc", "bridge", "host"]),
        "requiresCompatibilities": st.lists(st.sampled_from(["FARGATE", "EC2", "EXTERNAL"]), max_size=3),
        "volumes": st.lists(st.fixed_dictionaries({"name": words, "host": st.just({})}), max_size=2),
        "tags": st.dictionaries(words, words, max_size=2),
    },
)


def shuffled(draw: st.DataObject, value: Any, key: str = "") -> Any:
    """`value` with every set in it in another order."""
    if isinstance(value, dict):
        return {name: shuffled(draw, item, name) for name, item in value.items()}
    if isinstance(value, list):
        items = [shuffled(draw, item) for item in value]
        return items if key in ORDERED else draw.draw(st.permutations(items))
    return value


@given(definitions, st.data())
def test_the_order_of_sets_never_matters(body: dict[str, Any], draw: st.DataObject) -> None:
    one, other = ecs.canonical(body), ecs.canonical(shuffled(draw, body))
    assert one == other
    assert canonical.digest(one) == canonical.digest(other)


@given(definitions)
def test_the_canonical_form_of_a_canonical_form_is_itself(body: dict[str, Any]) -> None:
    spec = ecs.canonical(body)
    assert ecs.canonical(spec) == spec


@given(definitions)
def test_what_is_registered_reads_back_the_same(body: dict[str, Any]) -> None:
    spec = ecs.canonical(body)
    assert ecs.canonical(ecs.to_api(spec)) == spec


@given(definitions)
def test_the_body_itself_is_left_alone(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    ecs.canonical(body)
    assert body == before


@given(st.lists(words, min_size=2, max_size=4, unique=True), st.data(), st.sampled_from(ORDERED))
def test_the_order_of_a_command_always_matters(items: list[str], draw: st.DataObject, field: str) -> None:
    other = draw.draw(st.permutations(items).filter(lambda found: found != items))
    one = [ecs.canonical({"containerDefinitions": [{"name": "a", field: value}]}) for value in (items, other)]
    assert len(diff.compare(*one)) == 1


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), words, st.just("")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=8,
)
statements = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "deny"])},
    optional={
        "Sid": words,
        "Action": st.one_of(words, st.lists(words, max_size=3)),
        "Principal": st.one_of(
            st.just("*"), st.fixed_dictionaries({"AWS": st.lists(st.just("123456789012"), min_size=1)})
        ),
        "Condition": st.dictionaries(
            words, st.dictionaries(words, st.one_of(words, st.booleans())), max_size=2
        ),
        "Novelty": json_values,
    },
)


@given(st.lists(statements, max_size=4), st.data())
def test_policies_have_one_form(given_statements: list[Any], draw: st.DataObject) -> None:
    form = ecr.repository_policy({"Statement": given_statements})
    assert ecr.repository_policy({"Statement": draw.draw(st.permutations(given_statements))}) == form
    assert ecr.repository_policy(form) == form


@given(st.dictionaries(words, json_values, max_size=4))
def test_every_repository_has_a_form(body: dict[str, Any]) -> None:
    spec = ecr.repository(body)
    assert ecr.repository(spec) == spec


def names(service: dict[str, Any], shape: str, found: set[str]) -> set[str]:
    described = service["shapes"][shape]
    for name, member in described.get("members", {}).items():
        found.add(name)
        names(service, member["shape"], found)
    if described["type"] == "list":
        names(service, described["member"]["shape"], found)
    return found


def test_we_know_every_field_that_botocore_does() -> None:
    ecs_model, ecr_model = (Aws("us-east-1").service_model(name) for name in ("ecs", "ecr"))
    assert names(ecs_model, "RegisterTaskDefinitionRequest", set()) - {"key"} <= ecs.KNOWN
    assert names(ecr_model, "Repository", set()) - ecr.DESCRIBED <= ecr.KNOWN


def test_what_describe_adds_is_told_apart() -> None:
    shapes = Aws("us-east-1").service_model("ecs")["shapes"]
    described, registered = (
        set(shapes[name]["members"]) for name in ("TaskDefinition", "RegisterTaskDefinitionRequest")
    )
    assert described - registered == ecs.DESCRIBED


def test_a_field_that_only_aws_gives_and_nobody_knows_is_left_alone() -> None:
    found = {
        "cpu": "1",
        "novelty": 1,
        "containerDefinitions": Keyed({"a": {"name": "a", "odd": 1, "wanted": 2}}),
    }
    wanted = {"containerDefinitions": Keyed({"a": {"name": "a", "wanted": 3}})}
    kept = canonical.without_strangers(found, wanted, ecs.KNOWN)
    assert kept == {"cpu": "1", "containerDefinitions": {"a": {"name": "a", "wanted": 2}}}
    assert isinstance(kept["containerDefinitions"], Keyed)


def test_a_digest_does_not_cover_tags_and_names_its_version() -> None:
    assert canonical.digest({"cpu": "1", "tags": {"a": "b"}}) == canonical.digest({"cpu": "1"})
    assert canonical.digest({"cpu": "1"}) != canonical.digest({"cpu": "2"})
    assert canonical.digest({}).startswith("v1:")


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("us-east-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-isob-east-1", "aws-iso-b"),
    ],
)
def test_a_region_lies_in_a_partition(region: str, partition: str) -> None:
    assert ecr.partition_in(region) == partition


@pytest.mark.parametrize("policy", ["{", "[1]", '"x"'])
def test_a_policy_that_is_none_is_refused(policy: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|object"):
        ecr.lifecycle_policy(policy)
