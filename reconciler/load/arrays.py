"""The Jobs that one name stands for: one, or the elements of an array, and how to choose among them.

Job: `job.NAME`, `[KEY]`, `[*]`, `[FIELD=VALUE,…]`. Input: Drafts of one name, what stands between the brackets.
Output: Drafts in the order of the foreach. Must not: parse `${…}`, or look into bodies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.load.draft import Draft
from reconciler.schema import words


class WrongError(ValueError):
    """A reference that leads nowhere; `str()` is what to tell."""


class Named:
    """The manifests of one kind and name, with indexes that are made when first used: arrays have thousands."""

    def __init__(self, drafts: list[Draft]) -> None:
        # where an element has no key, what is among the others says nothing
        self.drafts = drafts if all(draft.ready for draft in drafts) else []
        self.keys = {draft.key: draft for draft in self.drafts}
        self._by_columns: dict[tuple[str, ...], dict[tuple[str | None, ...], list[Draft]]] = {}

    def choose(self, name: str, which: str | None) -> list[Draft]:
        """The elements that `[which]` means; all of them where nothing sure is known. Raises WrongError."""
        if not self.drafts:
            return []
        if None in self.keys:
            if which is not None:
                raise WrongError(
                    f"job/{name} is not an array. Write ${{job.{name}.outputs.OUTPUT}} without [{which}]."
                )
            return self.drafts
        if which is None:
            raise WrongError(
                f"job/{name} is an array of {len(self.drafts)}. "
                f"Write job.{name}[*] for all of them, [{self.drafts[0].key}] for one, or [FIELD=VALUE]."
            )
        if which == "*":
            return self.drafts
        if which in self.keys:
            return [self.keys[which]]
        if "=" in which:
            return self._matching(name, which)
        raise WrongError(f"job/{name} has no element {which}. {self._known(which)}")

    def element(self, name: str, key: str) -> list[Draft]:
        """The element of that key. Raises WrongError."""
        if self.drafts and key not in self.keys:
            raise WrongError(f"job/{name} has no element {key}. {self._known(key)}")
        return [self.keys[key]] if self.drafts else []

    def _known(self, key: str) -> str:
        keys = [known for known in self.keys if known is not None]
        near = words.nearest(key, keys) if len(keys) > 10 else None
        return f"Did you mean {near}?" if near else words.there_are(keys)

    def _matching(self, name: str, which: str) -> list[Draft]:
        wanted = {
            column.strip(): value.strip()
            for column, _, value in (part.partition("=") for part in which.split(","))
        }
        columns = tuple(wanted)
        item = self.drafts[0].item
        if not isinstance(item, Mapping):
            raise WrongError(
                f"the elements of job/{name} have no fields. Write job.{name}[*], or a key in the brackets."
            )
        for column in columns:
            if not any(column in draft.item for draft in self.drafts):
                raise WrongError(words.unknown(column, item, f"field of the elements of job/{name}"))
        found = self._index(columns).get(tuple(wanted.values()))
        if not found:
            raise WrongError(f"no element of job/{name} has {which}. Write values that its foreach has.")
        return found

    def _index(self, columns: tuple[str, ...]) -> dict[tuple[str | None, ...], list[Draft]]:
        if columns not in self._by_columns:
            index: dict[tuple[str | None, ...], list[Draft]] = {}
            for draft in self.drafts:
                index.setdefault(tuple(_text(draft.item.get(column)) for column in columns), []).append(draft)
            self._by_columns[columns] = index
        return self._by_columns[columns]


def _text(value: Any) -> str | None:
    """A field's value as it is written between brackets."""
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)
