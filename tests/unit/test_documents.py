from __future__ import annotations

import pytest

from reconciler.documents import slow_down, unheard
from reconciler.errors import AwsError

ANSWERS = [
    # code, message, status, unheard, slow down
    ("ReadTimeoutError", "no answer", 0, True, False),
    ("EndpointConnectionError", "no route", 0, True, False),
    ("NoCredentialsError", "log in", 0, False, False),
    ("InternalError", "sorry", 500, True, False),
    ("SlowDown", "please", 503, True, True),
    ("ThrottlingException", "Rate exceeded", 400, False, True),
    ("InvalidParameterException", "Rate exceeded (Service: X; ErrorCode: Throttling)", 400, False, True),
    ("InvalidParameterException", "no such subnet", 400, False, False),
    ("AccessDenied", "no", 403, False, False),
    ("PreconditionFailed", "there", 412, False, False),
]


@pytest.mark.parametrize(("code", "message", "status", "lost", "slow"), ANSWERS)
def test_an_error_is_known_for_what_it_asks_of_us(
    code: str, message: str, status: int, lost: bool, slow: bool
) -> None:
    error = AwsError("PutObject", code, message, status)
    assert unheard(error) is lost
    assert slow_down(error) is slow
