from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import template

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@given(VALUE)
def test_one_expression_alone_keeps_its_value_and_type(value: object) -> None:
    found = template.fill("{{ x }}", {"x": value})
    assert (type(found), found) == (type(value), value)


@given(TEXT, TEXT.filter(bool))
def test_text_made_by_a_template_stays_text_and_is_never_read_again(value: str, around: str) -> None:
    around = around.replace("{", "(")
    assert template.fill(around + "{{ x }}", {"x": value}) == around + value


@given(TEXT.filter(lambda text: "{{" not in text))
def test_text_without_a_template_is_left_as_it_is(text: str) -> None:
    assert template.fill(text, {}) is text


@pytest.mark.parametrize(
    ("text", "names", "value"),
    [
        ("{{ x }}", {"x": "2E01"}, "2E01"),
        ("{{ x }}{{ y }}", {"x": "0", "y": "0"}, "00"),
        ("{{ x }}", {"x": 4}, 4),
        (" {{ x }}", {"x": 4}, " 4"),
        ("{{ x | upper }}", {"x": "a"}, "A"),
        ("{{ [1, 2] | map('string') }}", {}, ["1", "2"]),
        ("{{ (1, 2) }}", {}, [1, 2]),
        ("{{ {'a': {'b': 1}} }}", {}, {"a": {"b": 1}}),
        ("{{ '}}' }}", {}, "}}"),
        ("{{ item.items }}", {"item": {"items": "a column"}}, "a column"),
        ("{{ item['a b'] }}", {"item": {"a b": "c"}}, "c"),
        ("{% if x %}{# y #}", {}, "{% if x %}{# y #}"),
        ("{{ x }}{% y %}{# z #}", {"x": 1}, "1{% y %}{# z #}"),
        ("# {{ x }}\n", {"x": 1}, "# 1\n"),
        ("{{ x | e }}", {"x": "<"}, "&lt;"),
    ],
)
def test_expressions(text: str, names: dict[str, object], value: object) -> None:
    found = template.fill(text, names)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "text",
    [
        "{{ nope }}",
        "{{ item.nope }}",
        "{{ [nope] }}",
        "{{ }}",
        "{{ a b }}",
        "{{ open",
        "{{.Names}}",
        "{{- x }}",
        "x{{ [1] }}",
        "{{ 'a' * 9999999999 }}",
        "{{ 9 ** 99999999 }}",
        "{{ range(999999999) }}",
        "{{ ''.__class__ }}",
        "{{ item.update(a=1) }}",
        "{{ item.pop }}",
        "{{ x | random }}",
        "{{ lipsum() }}",
        "{{ x | nofilter }}",
    ],
)
def test_what_cannot_be_filled_is_one_clear_error(text: str) -> None:
    with pytest.raises(template.TemplateError, match=r"\. |\.$"):
        template.fill(text, {"item": {"a": "b"}, "x": [1]})
