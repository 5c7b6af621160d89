"""bunny-init's own words: one JSON object a line on stderr, apart from the user's output.

Job: write events. Input: a name, fields. Output: lines. Must not: fail, buffer, or wait long for whoever reads stderr.
"""

from __future__ import annotations

import os
import select
import time

_PATIENCE = 1000  # milliseconds for a log driver that is stuck
_AT_ONCE = 4096  # what a pipe takes without blocking where poll says that it is writable


def tell(event: str, **fields: object) -> None:
    """Writes `{"bunnies": EVENT, "at": …, …}`; a stderr that is closed or stuck is no reason to stop."""
    import json

    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    rest = json.dumps({"bunnies": event, "at": stamp, **fields}, default=str).encode() + b"\n"
    try:
        poller = select.poll()
        poller.register(2, select.POLLOUT)
        while rest and poller.poll(_PATIENCE):
            rest = rest[os.write(2, rest[:_AT_ONCE]) :]
    except OSError:
        return
