from __future__ import annotations

import pytest

from shim.layer import recipe


def test_the_digest_of_the_recipe_depends_on_platform_and_versions_alone() -> None:
    amd64, arm64 = recipe.PLATFORMS["linux/amd64"], recipe.PLATFORMS["linux/arm64"]
    one = recipe.digest(amd64, {"a": "1", "b": "2"})
    assert one == recipe.digest(amd64, {"b": "2", "a": "1"})
    assert (
        len({one, recipe.digest(arm64, {"a": "1", "b": "2"}), recipe.digest(amd64, {"a": "1", "b": "3"})})
        == 3
    )


@pytest.mark.parametrize("name", ["main.py", "supervise.py", "job.py", "stage.py", "finish.py", "s3.py"])
def test_bunny_init_is_in_the_recipe_and_the_recipe_itself_not_in_the_layer(name: str) -> None:
    assert name in {path.name for path in recipe.init_files()}
    assert set(recipe.init_files()) < set(recipe.source_files())
    assert "tree.py" not in {path.name for path in recipe.init_files()}
