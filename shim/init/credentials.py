"""Where the shim's AWS credentials come from, renewed while a job lasts.

Job: environment, or the container credentials endpoint of ECS. Input: environment. Output: what obstore asks for.
Must not: log or keep a secret. https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from shim.init import machine
from shim.init.errors import ShimError

Provider = Callable[[], Any]

_ECS_ADDRESS = "http://169.254.170.2"
#: Plain HTTP is accepted from these only, or from anywhere with a local cloud (AWS_ENDPOINT_URL).
_PLAIN_HOSTS = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost", "127.0.0.1", "::1"})
_ATTEMPTS = 5


def provider(environ: Mapping[str, str]) -> Provider:
    """A function that returns credentials with their expiry; ShimError (infrastructure) where there are none."""
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        return lambda: {
            "access_key_id": environ["AWS_ACCESS_KEY_ID"],
            "secret_access_key": environ["AWS_SECRET_ACCESS_KEY"],
            "token": environ.get("AWS_SESSION_TOKEN") or None,
            "expires_at": None,
        }
    url = address(environ)
    return lambda: _fetch(url, environ)


def address(environ: Mapping[str, str]) -> str:
    """The credentials endpoint that ECS names in the environment."""
    if relative := environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        return _ECS_ADDRESS + relative
    full = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not full:
        raise ShimError(
            "infrastructure",
            "there are no AWS credentials in this container: set taskRoleArn in the Settings or the task.",
        )
    parts = urlsplit(full)
    if parts.scheme != "https" and parts.hostname not in _PLAIN_HOSTS and not environ.get("AWS_ENDPOINT_URL"):
        raise ShimError("infrastructure", f"credentials are not fetched from {parts.hostname} by plain HTTP.")
    return full


def _fetch(url: str, environ: Mapping[str, str]) -> Mapping[str, Any]:
    headers = {"Authorization": token} if (token := _token(environ)) else {}
    for attempt in range(_ATTEMPTS):
        try:
            return _read(json.loads(machine.get(url, headers, seconds=5)))
        except (OSError, ValueError, KeyError) as error:
            if attempt == _ATTEMPTS - 1:
                raise ShimError(
                    "infrastructure", f"the credentials endpoint of ECS did not answer: {error}."
                ) from error
            time.sleep(0.2 * 2**attempt)
    raise AssertionError


def _read(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "access_key_id": body["AccessKeyId"],
        "secret_access_key": body["SecretAccessKey"],
        "token": body.get("Token"),
        "expires_at": datetime.fromisoformat(body["Expiration"]) if body.get("Expiration") else None,
    }


def _token(environ: Mapping[str, str]) -> str:
    if path := environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    return environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
