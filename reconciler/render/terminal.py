"""Paint lines on a terminal, or write them plainly where there is none.

Job: the one importer of rich. Input: Lines of text.py, the two streams. Output: bytes on stdout (data) and stderr
(talk). Must not: animate off a terminal, or ask a question there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from reconciler.render.text import Line

_STYLES: Final = {
    "add": "green",
    "change": "yellow",
    "remove": "red",
    "bad": "bold red",
    "good": "green",
    "dim": "dim",
    "bold": "bold",
    "": "",
}


class Terminal:
    """Where a command prints: `out` for data, `talk` for people who wait.

    Colour is on in a terminal unless NO_COLOR is set, `--no-color` is given or TERM is dumb (rich sees to it).
    """

    def __init__(self, *, no_color: bool = False) -> None:
        self._out = _console(sys.stdout, no_color)
        self._err = _console(sys.stderr, no_color)
        self._status: Status | None = None

    def out(self, lines: Iterable[Line]) -> None:
        """Lines on stdout."""
        for line in lines:
            _print(self._out, line)

    def talk(self, line: Line) -> None:
        """One line on stderr."""
        _print(self._err, line)

    def raw(self, words: str) -> None:
        """Text as it is, on stdout: JSON, a log."""
        sys.stdout.write(words)
        sys.stdout.flush()

    @contextmanager
    def progress(self) -> Iterator[None]:
        """While it is open, `tell` shows what is going on: in a terminal a line that moves, elsewhere nothing."""
        if not self._err.is_terminal:
            yield
            return
        with self._err.status("…") as status:
            self._status = status
            try:
                yield
            finally:
                self._status = None

    def tell(self, words: str) -> None:
        """What is going on now."""
        if self._status is not None:
            self._status.update(words)

    @property
    def can_ask(self) -> bool:
        """Whether a person can answer."""
        return sys.stdin.isatty() and self._err.is_terminal


def _console(stream: TextIO, no_color: bool) -> Console:
    return Console(
        file=stream, no_color=no_color or None, highlight=False, markup=False, emoji=False, soft_wrap=True
    )


def _print(console: Console, line: Line) -> None:
    text = Text()
    for words, style in line:
        text.append(_printable(words, console.encoding), _STYLES[style])
    console.print(text)


def _printable(words: str, encoding: str) -> str:
    """Our few typographic signs in ASCII where the stream cannot carry them (LANG=C)."""
    try:
        words.encode(encoding)
    except UnicodeEncodeError:
        words = (
            words.replace("→", "->").replace("…", "...").encode(encoding, "backslashreplace").decode(encoding)
        )
    return words
