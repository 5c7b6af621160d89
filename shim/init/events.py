"""bunny-init's own words: one JSON object a line on stderr, apart from the user's output.

Job: write events. Input: a name, fields. Output: lines. Must not: fail, or buffer.
"""

from __future__ import annotations

import os
import time


def tell(event: str, **fields: object) -> None:
    """Writes `{"bunnies": EVENT, "at": …, …}`; a closed stderr is no reason to stop."""
    import json

    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = json.dumps({"bunnies": event, "at": stamp, **fields}, default=str)
    try:
        os.write(2, line.encode() + b"\n")
    except OSError:
        return
