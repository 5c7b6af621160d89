"""A duration on the command line: `90`, `30s`, `10m`, `2h`, `7d`, `1h30m`.

Input: a word. Output: seconds. Must not: know what it is for.
"""

from __future__ import annotations

import re
from typing import Any, Final

import click

_UNITS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}


class Duration(click.ParamType[int]):
    """Seconds, of words as manifests write them."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds."""
        words = str(value)
        if words.isdecimal():
            return int(words)
        if not re.fullmatch(r"(?=.)(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?", words):
            self.fail(f"{words!r} is not a duration. Write 30s, 10m, 2h, 7d or 1h30m.", param, ctx)
        return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([dhms])", words))


DURATION: Final = Duration()
