"""The local cloud's settings, and what it makes of what an earlier one left behind. Running it: tests/e2e."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from reconciler import errors, local


@pytest.mark.parametrize(("text", "port"), [(None, 4566), ("", 4566), ("4711", 4711), ("65535", 65535)])
def test_the_port_is_4566_or_what_the_environment_says(text: str | None, port: int) -> None:
    assert local.port_of({} if text is None else {"BUNNIES_LOCAL_PORT": text}) == port


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "4566.0", "²"])
def test_what_is_no_port_is_told(text: str) -> None:
    with pytest.raises(errors.BunniesError, match="BUNNIES_LOCAL_PORT"):
        local.port_of({"BUNNIES_LOCAL_PORT": text})


def test_env_points_every_tool_to_loopback_with_test_credentials() -> None:
    assert local.env(4711) == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4711",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "BUNNIES_REGISTRY": "127.0.0.1:4711",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"pid": 1}),
        json.dumps(
            {
                "pid": os.getpid(),  # another process has the number by now
                "port": 4566,
                "listens": ["127.0.0.1"],
                "folder": "x",
                "engine": "x",
                "instance": "x",
                "reached": True,
            }
        ),
    ],
)
def test_what_a_crash_left_behind_is_not_taken_for_a_running_cloud(tmp_path: Path, text: str) -> None:
    (tmp_path / "cloud.json").write_text(text)
    assert local.status(tmp_path) is None
    assert local.down(tmp_path) is None
    assert not (tmp_path / "cloud.json").exists()


def test_nothing_runs_where_nothing_was_started(tmp_path: Path) -> None:
    assert local.status(tmp_path) is None
    assert local.down(tmp_path / "never") is None
    assert not (tmp_path / "never").exists()
