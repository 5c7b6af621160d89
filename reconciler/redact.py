"""What must not be read by anyone: secret values, taken out of whatever is printed or written down.

Job: tell names that look secret, and hide their values wherever they turn up. Input: names, texts, plain data.
Output: the same with HIDDEN in place of each secret. Must not: read anything, or be asked whether to.

Two ways, both always: by name (a field of an environment, of options, labels, tags or build arguments) where data are
shown field by field, and by value in every text that leaves the process, an exception's too. A value of fewer than
SHORTEST characters, a number or a word such as `true` is hidden by name alone: it would blot out innocent words.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

HIDDEN: Final = "(hidden)"
SHORTEST: Final = 6
"""Characters of the shortest value that is looked for in texts."""

_WORDS: Final = re.compile(
    r"passw(?:or)?d|passphrase|passwd|secret|token|credential|api_?key|access_?key|private_?key|session_?key"
    r"|(?:^|_)(?:pwd|pass|auth|key|salt|signature|bearer|cookie|dsn)(?:$|_)",
    re.IGNORECASE,
)
_MAPS: Final = r"environment|options|dockerLabels|tags|args|vars"
_NAMED: Final = re.compile(rf"(?:^|[.\]])(?:{_MAPS})(?:\[(?P<key>[^\]]+)\]|\.(?P<field>[^.\[\]]+))")
_INNOCENT: Final = re.compile(
    r"[\d.,:+-]*|true|false|none|null|enabled|disabled|default|changeme", re.IGNORECASE
)
_POINTERS: Final = ("arn:", "${", "{{", "s3://")
"""How a value begins that says where a secret is, and is none."""

_QUOTED: Final = r'(?:"(?:[^"\\]|\\.)*"|\S+)'
_ARROW: Final = re.compile(rf"\b(?P<path>(?:environment|args)\.(?P<name>[^\s;\"]+)) {_QUOTED} → {_QUOTED}")
"""What a plan says of a job whose environment changed; its values may be cut, so they are hidden by name."""

_SHAPES: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    # a presigned address: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    (
        re.compile(
            r"(?P<keep>[?&](?:X-Amz-(?:Signature|Credential|Security-Token)|Signature|AWSAccessKeyId|x-amz-security-token)=)"
            r"[^&\s\"'<>]+",
            re.IGNORECASE,
        ),
        rf"\g<keep>{HIDDEN}",
    ),
    (
        re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9+/=._~-]{16,}", re.IGNORECASE),
        rf"\g<keep>{HIDDEN}",
    ),
    (
        re.compile(
            r"(?P<keep>(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://[^/\s:@\"']{0,100}:)[^/\s@\"']{1,500}(?=@)",
            re.IGNORECASE,
        ),
        rf"\g<keep>{HIDDEN}",
    ),
    # access key ids: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"), HIDDEN),
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}\b|\bgithub_pat_[A-Za-z0-9_]{20,}\b"), HIDDEN),
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
        HIDDEN,
    ),
)


def looks_secret(name: str, listed: Iterable[str] = ()) -> bool:
    """Whether a value under this name is hidden: DB_PASSWORD, GITHUB_TOKEN, apiKey; or one of `listed`, any case."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").replace(".", "_")
    return bool(_WORDS.search(plain)) or name.lower() in {one.lower() for one in listed}


@dataclass(frozen=True)
class Redactor:
    """Hides `values` wherever they turn up, and what stands under names that look secret or are `listed`."""

    values: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()

    def knowing(self, values: Iterable[Any] = (), listed: Iterable[str] = ()) -> Redactor:
        """This one, and more to hide."""
        more = {str(value) for value in values if _tells(value)}
        return Redactor(self.values | more, self.listed | set(listed))

    def text(self, words: str) -> str:
        """`words` without secrets: known values (as they are, in JSON, in an address, in base64) and known shapes."""
        if self._pattern is not None:
            words = self._pattern.sub(HIDDEN, words)
        for shape, instead in _SHAPES:
            words = shape.sub(instead, words)
        return _ARROW.sub(self._arrow, words) if " → " in words else words

    def _arrow(self, found: re.Match[str]) -> str:
        return f"{found['path']} {HIDDEN} → {HIDDEN}" if self.secret(found["name"]) else found[0]

    def data(self, value: Any, path: str = "") -> Any:
        """Plain data without secrets: by name within environments, options, labels, tags and arguments, and by value."""
        if self.hides(path) and value is not None and not isinstance(value, Mapping | list | tuple):
            return HIDDEN
        if isinstance(value, Mapping):
            named = "value" in value and isinstance(name := value.get("name"), str) and self.secret(name)
            return {
                self.text(str(key)): HIDDEN if named and key == "value" else self.data(item, f"{path}.{key}")
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.data(item, path) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def hides(self, path: str) -> bool:
        """Whether a field of a plan is hidden by its path: `…environment[DB_PASSWORD]`, `build.args.TOKEN`."""
        return any(self.secret(found["key"] or found["field"]) for found in _NAMED.finditer(path))

    def secret(self, name: str) -> bool:
        """Whether what stands under this name is hidden."""
        return looks_secret(name, self.listed)

    def stream(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Bytes as they come, without known values, one that is cut by the end of a piece too; nothing waits longer."""
        if not self.values:
            yield from pieces
            return
        hidden = sorted((word.encode() for word in self._forms), key=len, reverse=True)
        pattern = re.compile(b"|".join(map(re.escape, hidden)))
        held = b""
        for piece in pieces:
            held = pattern.sub(HIDDEN.encode(), held + piece)
            keep = _begun(held, hidden)
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
        yield held

    @cached_property
    def _forms(self) -> frozenset[str]:
        """Each value as texts carry it."""
        writings: tuple[Callable[[str], str], ...] = (
            str,
            lambda value: json.dumps(value)[1:-1],
            lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
            lambda value: repr(value)[1:-1],
            lambda value: urllib.parse.quote(value, safe=""),
            lambda value: base64.b64encode(value.encode()).decode(),
        )
        return frozenset(write(value) for value in self.values for write in writings)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self._forms, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _tells(value: Any) -> bool:
    innocent = isinstance(value, str) and (_INNOCENT.fullmatch(value) or value.startswith(_POINTERS))
    return isinstance(value, str) and len(value) >= SHORTEST and not innocent


def _begun(text: bytes, words: Iterable[bytes]) -> int:
    """How many bytes at the end of `text` may be the beginning of one of `words`."""
    longest = 0
    for word in words:
        for length in range(min(len(word) - 1, len(text)), longest, -1):
            if text.endswith(word[:length]):
                longest = length
                break
    return longest
