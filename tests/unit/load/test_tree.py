from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.load import tree
from reconciler.load.fill import fill, verbatim
from reconciler.load.references import unescape
from reconciler.model import Source

TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff\ufffe\uffff")
)
DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def read(text: str) -> list[Any]:
    found: list[str] = []
    nodes = tree.parse(text, "f", lambda source, what: found.append(f"{source}: {what}"))
    assert not found
    return [verbatim(node) for node in nodes]


@given(DATA)
def test_json_is_read_as_what_it_is(data: Any) -> None:
    assert read(json.dumps([data])) == [[data]]


@given(TEXT)
def test_quoted_text_stays_text_whatever_it_looks_like(text: str) -> None:
    assert read("'" + text.replace("'", "''") + "'") == [text]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("True", True),
        ("~", None),
        ("0x1F", 31),
        ("0o17", 15),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("1.2.3", "1.2.3"),
        ("-", "-"),
        (".", "."),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_unquoted_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    found = tree.plain_scalar(text)
    assert (type(found), found) == (type(value), value)


def test_keys_are_the_words_that_are_written() -> None:
    assert read("{on: a, 1: b, null: c, 1.10: d, 'x y': e}") == [
        {"on": "a", "1": "b", "null": "c", "1.10": "d", "x y": "e"}
    ]


def test_a_field_stands_where_its_key_does_and_an_item_where_it_begins() -> None:
    (node,) = tree.parse("a:\n  b: [x,\n      y]\n", "f.yaml", lambda source, what: None)
    assert tree.positions(node) == {
        ("a",): Source("f.yaml", 1, 1),
        ("a", "b"): Source("f.yaml", 2, 3),
        ("a", "b", 0): Source("f.yaml", 2, 7),
        ("a", "b", 1): Source("f.yaml", 3, 7),
    }


def test_raw_covers_everything_below_it() -> None:
    (node,) = tree.parse("a: !raw {b: ['{{ x }}']}\nc: '{{ x }}'\n", "f", lambda source, what: None)
    assert fill(node, {"x": 1}, lambda source, what: None) == {"a": {"b": ["{{ x }}"]}, "c": 1}


@given(TEXT)
def test_a_doubled_dollar_writes_any_text_that_looks_like_a_reference(text: str) -> None:
    plain = text.replace("$${", "")
    assert unescape(plain.replace("${", "$${")) == plain


@given(st.text())
def test_no_text_makes_the_reader_fail_with_anything_but_messages(text: str) -> None:
    tree.parse(text, "f", lambda source, what: None)


def test_deep_nesting_is_a_message() -> None:
    told: list[str] = []
    tree.parse("[" * 5000, "f", lambda source, what: told.append(what))
    assert told == ["nested more than 64 deep. Write it flatter."]


def test_half_of_a_surrogate_pair_is_a_message() -> None:
    told: list[str] = []
    tree.parse('"\\ud83d"', "f", lambda source, what: told.append(what))
    assert told == ["half of a surrogate pair is no character. Write the character itself."]
