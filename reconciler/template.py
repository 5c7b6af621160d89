"""`{{ expr }}` in one string → a value: Jinja2's expressions, sandboxed, strict.

Job: fill one string. Input: a string and the names it may use. Output: the expression's own value where the string
is nothing but one expression, else text. Text is never parsed again. Must not: read statements or comments
(`{% %}` and `{# #}` are plain text), files, clocks or random numbers: the same input gives the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import GeneratorType
from typing import Any

from jinja2 import TemplateSyntaxError, Undefined, UndefinedError
from jinja2.environment import TemplateExpression
from jinja2.exceptions import SecurityError
from jinja2.runtime import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

OPEN, CLOSE = "{{", "}}"
MAX_RESULT = 1_000_000  # characters or elements that `*` may make
MAX_SOURCE = 2_000  # characters of one expression: the compiler goes as deep as its brackets
# What makes text of any length out of a number: a mistyped width would fill the memory.
_PADDING = frozenset(["center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"])
_WIDENING = ("center", "format", "indent", "wordwrap")


class TemplateError(ValueError):
    """A template cannot be filled; `str()` says why and what to write instead."""


class _Undefined(StrictUndefined):
    @property
    def _undefined_message(self) -> str:
        name = str(self._undefined_name)
        if self._undefined_obj is missing:
            return f"there is no {name!r}"
        if isinstance(self._undefined_obj, Mapping):
            return f"there is no {name!r} in it"
        return str(super()._undefined_message)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(["*", "**", "%"])

    def getattr(self, obj: Any, attribute: str) -> Any:
        # a column named `items` or `values` is a column, not the dict's method
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> None:
        """No format at all: without a wrapper it comes to is_safe_attribute, which refuses it."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return super().is_safe_attribute(obj, attr, value) and not (isinstance(obj, str) and attr in _PADDING)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) for side in (left, right) if isinstance(side, (str, list, tuple))]
        numbers = [abs(side) for side in (left, right) if isinstance(side, (int, float))]
        if operator == "%" and isinstance(left, str):
            raise SecurityError("% does not format here; write ~ or join")
        if operator == "**" and numbers and max(numbers) > 1000:
            raise SecurityError("the power is too large")
        if sizes and numbers and sizes[0] * max(numbers) > MAX_RESULT:
            raise SecurityError("the result is too long")
        return super().call_binop(context, operator, left, right)


def _environment() -> _Environment:
    environment = _Environment(undefined=_Undefined, autoescape=False)
    for name in ("random", "pprint", *_WIDENING):
        environment.filters.pop(name, None)
    environment.globals = {name: environment.globals[name] for name in ("range", "dict")}
    return environment


_ENVIRONMENT = _environment()


def fill(text: str, names: Mapping[str, Any]) -> Any:
    """`text` with its `{{ }}` filled from `names`; raises TemplateError."""
    if OPEN not in text:
        return text
    parts = _split(text)
    if len(parts) == 1 and not isinstance(parts[0], str):
        return _value(parts[0], names)
    return "".join(part if isinstance(part, str) else _text(part, names) for part in parts)


class _Expression:
    """One compiled expression and how it was written."""

    __slots__ = ("call", "source")

    def __init__(self, source: str, call: TemplateExpression) -> None:
        self.source = source
        self.call = call


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[str | _Expression, ...]:
    parts: list[str | _Expression] = []
    position = 0
    while (start := text.find(OPEN, position)) >= 0:
        if start > position:
            parts.append(text[position:start])
        expression, position = _expression(text, start)
        parts.append(expression)
    if position < len(text):
        parts.append(text[position:])
    return tuple(parts)


def _expression(text: str, start: int) -> tuple[_Expression, int]:
    """The expression that begins at `start`, up to the first `}}` with which it is one, and where it ends."""
    if text[start + 2 : start + 3] in ("-", "+"):
        raise TemplateError(f"`{text[start : start + 3]}` is not known here. Write `{{{{ ` with a space.")
    problem = "there is no `}}`"
    end = text.find(CLOSE, start + 2)
    while end >= 0:
        source = text[start + 2 : end].strip()
        if len(source) > MAX_SOURCE:
            raise TemplateError(
                f"`{text[start : start + 40]}` is too long for a template. Write something simpler."
            )
        try:
            return _Expression(
                source, _ENVIRONMENT.compile_expression(source, undefined_to_none=False)
            ), end + 2
        except TemplateSyntaxError as error:
            if problem.startswith("there"):
                problem = str(error.message).rstrip(".")
        except (RecursionError, MemoryError):
            raise TemplateError(
                f"`{text[start : start + 40]}` is too deep. Write something simpler."
            ) from None
        end = text.find(CLOSE, end + 1)
    shown = text[start : start + 40]
    raise TemplateError(
        f"`{shown}` is not a template: {problem}. Mend it, or write !raw before the value if text is meant."
    )


def _value(expression: _Expression, names: Mapping[str, Any]) -> Any:
    try:
        value = expression.call(names)
        if isinstance(value, Undefined):
            str(value)  # a strict Undefined raises what it has to say
        return _plain(value)
    except UndefinedError as error:
        raise TemplateError(f"in `{{{{ {expression.source} }}}}`: {error.message}. {_known(names)}") from None
    except SecurityError as error:
        raise TemplateError(
            f"`{{{{ {expression.source} }}}}` is not allowed: {str(error).rstrip('.')}. Write something simpler."
        ) from None
    except TemplateError:
        raise
    except RecursionError:
        raise TemplateError(f"`{{{{ {expression.source} }}}}` never ends. Write something simpler.") from None
    except Exception as error:  # noqa: BLE001 - whatever a filter or an operator raises is the manifest's mistake
        raise TemplateError(
            f"`{{{{ {expression.source} }}}}` failed: {error}. Mend the expression."
        ) from None


def _known(names: Mapping[str, Any]) -> str:
    item = names.get("item")
    columns = [f"item.{name}" for name in item] if isinstance(item, Mapping) else []
    known = columns + sorted(name for name in names if name != "item" or not columns)
    if not known:
        return "There are no vars: write it in Settings.vars, or give -e NAME=VALUE."
    how = "Write one of them" if columns else "Write it in Settings.vars, or give -e NAME=VALUE"
    return f"There {'is only' if len(known) == 1 else 'are'} {', '.join(known[:20])}{', …' if len(known) > 20 else ''}. {how}."


def _text(expression: _Expression, names: Mapping[str, Any]) -> str:
    value = _value(expression, names)
    if isinstance(value, (list, dict)):
        kind = "list" if isinstance(value, list) else "mapping"
        raise TemplateError(
            f"`{{{{ {expression.source} }}}}` is a {kind} in the middle of text. Write `| join(',')`, or the template alone."
        )
    return str(value)


def _plain(value: Any) -> Any:
    """`value` as plain data: what Jinja makes on the way (Markup, generators, tuples) becomes str and list."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, range, set, frozenset, GeneratorType)):
        return [_plain(entry) for entry in value]
    raise TemplateError(
        f"a template cannot give a {type(value).__name__}. Write an expression that gives text, a number, a list or a mapping."
    )
