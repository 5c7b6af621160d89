"""No test here opens a socket, and none depends on how fast the machine is."""

import hypothesis
import pytest_socket

hypothesis.settings.register_profile("bunnies", deadline=None)  # the first call may import a library
hypothesis.settings.load_profile("bunnies")


def pytest_runtest_setup() -> None:
    pytest_socket.disable_socket(allow_unix_socket=True)


def pytest_runtest_teardown() -> None:
    pytest_socket.enable_socket()
