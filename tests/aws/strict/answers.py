"""What a service says no with, in botocore's own form.

Job: be an error on the way out of the strict services. Input: code, message. Output: what botocore parses an
answer into. Must not: decide anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class Refusal(Exception):  # noqa: N818 - an answer, which is an exception only on its way
    """An error that AWS answers; `members` are the modelled ones beside Error, as a ConflictException's resourceIds."""

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members

    def parsed(self) -> dict[str, Any]:
        """As botocore's parser gives it to `after-call`."""
        metadata = {"HTTPStatusCode": self.status, "RequestId": "strict", "RetryAttempts": 0}
        error = {"Code": self.code, "Message": self.message}
        return {"Error": error, "ResponseMetadata": metadata, **self.members}


@dataclass
class Http:
    """The HTTP answer that botocore looks at: its status."""

    status_code: int = 200


def invalid(message: str) -> Refusal:
    """InvalidParameterException: what ECS says to a parameter that it does not take."""
    return Refusal("InvalidParameterException", message)


def client(message: str) -> Refusal:
    """ClientException: what ECS says to nearly everything else that a client did wrong (aws-facts 17)."""
    return Refusal("ClientException", message)
