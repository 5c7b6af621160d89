"""Which places a set of manifests names."""

from __future__ import annotations

from typing import Any

from reconciler import bootstrap
from reconciler.model import Manifest, ManifestSet, Settings, Source

SETTINGS = Settings("reprod", "us-east-1", "reprod", "reprod-bucket", "bunnies/reprod")


def definition(*options: dict[str, Any], driver: str = "awslogs") -> Manifest:
    containers = [{"name": "c", "logConfiguration": {"logDriver": driver, "options": one}} for one in options]
    return Manifest("TaskDefinition", "t", {"containerDefinitions": containers}, Source("f", 1, 1))


def names(*manifests: Manifest) -> list[str]:
    return [str(place) for place in bootstrap.wanted(ManifestSet(SETTINGS, manifests))]


BASICS = [
    "bucket reprod-bucket",
    "public access block reprod-bucket",
    "encryption reprod-bucket",
    "cluster reprod",
]


def test_the_settings_alone_name_a_bucket_and_a_cluster() -> None:
    assert names() == BASICS


def test_each_log_group_of_the_awslogs_driver_is_named_once_in_order() -> None:
    found = names(
        definition({"awslogs-group": "/ecs/b", "awslogs-region": "us-east-1"}, {"awslogs-group": "/ecs/a"}),
        definition({"awslogs-group": "/ecs/b"}),
    )
    assert found == [*BASICS, "log group /ecs/a", "log group /ecs/b"]


def test_another_driver_another_region_and_no_options_name_none() -> None:
    bare = Manifest("TaskDefinition", "t", {"containerDefinitions": [{"name": "c"}]}, Source("f", 1, 1))
    found = names(
        definition({"awslogs-group": "x"}, driver="splunk"),
        definition({"awslogs-group": "x", "awslogs-region": "eu-west-1"}),
        definition({}),
        bare,
        Manifest("TaskDefinition", "u", {}, Source("f", 1, 1)),
    )
    assert found == BASICS
