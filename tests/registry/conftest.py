"""Small registries on loopback; no other address can be reached from these tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_socket

from reconciler import registry
from reconciler.clock import Clock
from tests.registry import server


def pytest_runtest_setup() -> None:
    pytest_socket.socket_allow_hosts(["127.0.0.1"], allow_unix_socket=True)


def pytest_runtest_teardown() -> None:
    pytest_socket._remove_restrictions()


@pytest.fixture
def one() -> Iterator[server.Registry]:
    with server.serving() as found:
        yield found


@pytest.fixture
def other() -> Iterator[server.Registry]:
    with server.serving() as found:
        yield found


@dataclass
class Time:
    """A clock that nobody waits for; `slept` are the waits."""

    now: datetime = datetime(2026, 1, 31, 12, tzinfo=UTC)
    slept: list[float] = field(default_factory=list)

    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, sleep=self.sleep, chance=lambda: 0.0)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def registries(time: Time, tmp_path: Path) -> Iterator[registry.Registries]:
    """Our client, with a user's password for every host in Docker's configuration."""
    found = registry.Registries({"DOCKER_CONFIG": str(tmp_path)}, time.clock())
    yield found
    found.close()


def login(folder: Path, host: str, **entry: str) -> None:
    """What `docker login` leaves."""
    auth = {"auth": base64.b64encode(b"user:pass").decode(), **entry}
    (folder / "config.json").write_text(json.dumps({"auths": {host: auth}}))
