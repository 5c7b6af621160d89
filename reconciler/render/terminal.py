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
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TimeElapsedColumn
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


_HANGING: Final = 6
_NARROWEST: Final = 20  # columns that are filled, however narrow the terminal says it is


class Terminal:
    """Where a command prints: `out` for data, `talk` for people who wait.

    Colour is on in a terminal unless NO_COLOR is set, `--no-color` is given or TERM is dumb (rich sees to it).
    """

    def __init__(self, *, no_color: bool = False) -> None:
        self._out = _console(sys.stdout, no_color)
        self._err = _console(sys.stderr, no_color)
        self._progress: Progress | None = None

    def out(self, lines: Iterable[Line]) -> None:
        """Lines on stdout."""
        with self._paused():
            for line in lines:
                _print(self._out, line)

    def talk(self, line: Line) -> None:
        """One line on stderr."""
        with self._paused():
            _print(self._err, line)

    def raw(self, words: str) -> None:
        """Text as it is, on stdout: JSON, a log."""
        with self._paused():
            sys.stdout.write(words)
            sys.stdout.flush()

    @contextmanager
    def progress(self) -> Iterator[None]:
        """While it is open, `tell` shows what is going on: in a terminal a line that moves, elsewhere nothing."""
        if not self._err.is_terminal or self._err.is_dumb_terminal:
            yield
            return
        spinner = "dots" if self._err.encoding.startswith("utf") else "line"
        columns = (SpinnerColumn(spinner), TimeElapsedColumn(), _Now())
        # the streams stay as they are: stdout may be a pipe that takes JSON while stderr is the terminal
        with Progress(
            *columns, console=self._err, transient=True, redirect_stdout=False, redirect_stderr=False
        ) as progress:
            progress.add_task("")
            self._progress = progress
            try:
                yield
            finally:
                self._progress = None

    def tell(self, words: str) -> None:
        """What is going on now."""
        if self._progress is not None:
            self._progress.update(
                self._progress.task_ids[0], description=_printable(words, self._err.encoding)
            )

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """While it is open, the line that moves is out of the way of lines that stay."""
        if self._progress is None:
            yield
            return
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    @property
    def can_ask(self) -> bool:
        """Whether a person can answer."""
        return sys.stdin.isatty() and self._err.is_terminal


class _Now(ProgressColumn):
    """What is going on, cut to one line."""

    def render(self, task: Task) -> Text:
        """The words, as they are: no markup."""
        return Text(task.description, no_wrap=True, overflow="ellipsis")


def _console(stream: TextIO, no_color: bool) -> Console:
    return Console(
        file=stream, no_color=no_color or None, highlight=False, markup=False, emoji=False, soft_wrap=True
    )


def _print(console: Console, line: Line) -> None:
    text = Text()
    for words, style in line:
        text.append(_printable(words, console.encoding), _STYLES[style])
    for part in _folded(text, console.width) if console.is_terminal else [text]:
        console.print(part)


def _folded(text: Text, width: int) -> Iterator[Text]:
    """A line as the width of a terminal takes it: what goes on below stands under its beginning, further in."""
    indent = len(text.plain) - len(text.plain.lstrip()) + _HANGING
    first = True
    while len(text) > (room := max(width - (0 if first else indent), _NARROWEST)):
        cut = text.plain.rfind(" ", 1 if first else 0, room + 1)
        cut = cut if cut > indent else room
        head, text = text[:cut], text[cut:]
        text = text[len(text.plain) - len(text.plain.lstrip()) :]
        yield head if first else Text(" " * indent).append_text(head)
        first = False
    yield text if first else Text(" " * indent).append_text(text)


def _printable(words: str, encoding: str) -> str:
    """Our few typographic signs in ASCII where the stream cannot carry them (LANG=C)."""
    try:
        words.encode(encoding)
    except UnicodeEncodeError:
        words = (
            words.replace("→", "->").replace("…", "...").encode(encoding, "backslashreplace").decode(encoding)
        )
    return words
