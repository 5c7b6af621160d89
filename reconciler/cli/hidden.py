"""The one door of everything that the process says: secrets are taken out there, whoever prints.

Job: learn what is secret, from manifests, variables and this process's environment, and filter stdout, stderr and the
files that commands write. Input: texts. Output: the same without secrets. Must not: be passed by: cli.run puts the
filter before both streams, so that a library's warning or a defect's message goes through it too.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from reconciler.errors import BunniesError
from reconciler.model import ManifestSet
from reconciler.redact import Redactor, looks_secret

_LEAST: Final = 16
"""Characters of a secret in the process's environment: shorter ones are words of the local cloud, as `test`."""

_MAPS: Final = frozenset({"environment", "options", "dockerLabels", "tags", "args", "vars"})
_VALUE: Final = r"""(?P<value>"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,{}\[\]#&*!|>"'][^,{}\[\]#\n]*)"""
_PAIR: Final = re.compile(
    rf"""(?<![\w.-])["']?(?P<name>[A-Za-z_][\w.-]{{0,100}})["']?\s*[:=][ \t]*{_VALUE}"""
)
_ENTRY: Final = re.compile(
    rf"""["']?name["']?\s*:\s*["']?(?P<name>[\w.-]+)["']?\s*,?\s*["']?value["']?\s*:[ \t]*{_VALUE}"""
)
_LARGEST: Final = 1_000_000  # characters of a manifest that are looked at before it is loaded

_state: list[Redactor] = [Redactor()]


def redactor() -> Redactor:
    """What hides all that is known to be secret by now."""
    return _state[0]


def know(values: Iterable[Any] = (), names: Iterable[str] = ()) -> None:
    """From here on these values, and what stands under these names, are hidden."""
    _state[0] = _state[0].knowing(values, names)


def know_environment(environment: Mapping[str, str]) -> None:
    """Credentials and tokens of this process; PWD, SSH_AUTH_SOCK and AWS_WEB_IDENTITY_TOKEN_FILE are places."""
    know(
        value
        for name, value in environment.items()
        if len(value) >= _LEAST and looks_secret(name) and not os.path.exists(value)  # noqa: PTH110  any text may stand here
    )


def know_texts(files: Iterable[Path], variables: Mapping[str, str]) -> None:
    """What files of YAML seem to hold, before they are known to be valid: messages about them quote them."""
    know(value for name, value in variables.items() if looks_secret(name))
    know(value for file in files for value in _likely(file))


def know_manifests(manifests: ManifestSet) -> None:
    """What the manifests hold under names that look secret, or that Settings.redact lists."""
    know(names=manifests.settings.redact)
    know(value for manifest in manifests.manifests for value in _values(manifest.body, ""))


def write(path: Path, text: str, *, append: bool = False) -> None:
    """A file of ours, without secrets."""
    try:
        with path.open("a" if append else "w", encoding="utf-8") as stream:
            stream.write(redactor().text(text))
    except OSError as error:
        raise BunniesError(f"{path} cannot be written: {error.strerror}. Name another file.") from None


@contextmanager
def streams() -> Iterator[None]:
    """While it is open, stdout and stderr go through the filter."""
    before = sys.stdout, sys.stderr, _state[0]
    know_environment(os.environ)
    nowhere = io.TextIOWrapper(open(os.devnull, "wb"))  # noqa: SIM115, PTH123  for a stream that the caller closed
    sys.stdout, sys.stderr = _Text(sys.stdout or nowhere), _Text(sys.stderr or nowhere)
    try:
        yield
    finally:
        sys.stdout, sys.stderr, _state[0] = before
        nowhere.close()


class _Text:
    """A text stream whose words are filtered; all else is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, words: str) -> int:
        self._stream.write(redactor().text(words))
        return len(words)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        return _Bytes(self._stream.buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Bytes:
    """The bytes below a text stream, filtered where they are text."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: Any) -> int:
        words = bytes(data).decode("utf-8", "surrogateescape")
        self._stream.write(redactor().text(words).encode("utf-8", "surrogateescape"))
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _likely(file: Path) -> Iterator[str]:
    try:
        text = file.read_text("utf-8", "replace")[:_LARGEST]
    except OSError:  # load says what is wrong with it
        return
    for pattern in (_PAIR, _ENTRY):
        for found in pattern.finditer(text):
            if redactor().secret(found["name"]):
                yield found["value"].strip().strip("\"'")


def _values(value: Any, key: str) -> Iterator[Any]:
    """Values of entries `{name, value}` and of maps such as an environment, whose name looks secret."""
    hides = redactor().secret
    if isinstance(value, Mapping):
        name = value.get("name") or value.get("key")
        if isinstance(name, str) and "value" in value and hides(name):
            yield value["value"]
        for inner, item in value.items():
            if key in _MAPS and hides(str(inner)):
                yield item
            yield from _values(item, str(inner))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _values(item, "")
