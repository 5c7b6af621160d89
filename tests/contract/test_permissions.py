"""The table of permissions against the calls in the code, read with ast: neither may have what the other lacks."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.permissions import roles, table

PACKAGE = Path(__file__).parents[2] / "reconciler"
COMMANDS_OF = {"bootstrap.py": "bootstrap", "verify/read.py": "verify"}
"""Modules whose calls only one command makes; all others belong to plan and apply."""

Operation = tuple[str, str]


def calls_in(tree: ast.Module) -> Iterator[tuple[ast.Call, Operation | None]]:
    """Every call of `.call` and `.pages` with a service; None where its operation cannot be read."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        parameters = [argument.arg for argument in function.args.args]
        for node in ast.walk(function):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr not in ("call", "pages") or len(node.args) < 2:
                continue
            service, operation = node.args[:2]
            if not (isinstance(service, ast.Constant) and isinstance(service.value, str)):
                yield node, None
            elif isinstance(operation, ast.Constant):
                yield node, (service.value, str(operation.value))
            elif isinstance(operation, ast.Name) and operation.id in parameters:
                for name in handed_over(tree, function.name, parameters.index(operation.id)):
                    yield node, (service.value, name) if name else None
            else:
                yield node, None


def handed_over(tree: ast.Module, function: str, place: int) -> Iterator[str | None]:
    """What callers of `function` give it at `place`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
            given = node.args[place]
            yield str(given.value) if isinstance(given, ast.Constant) else None


def all_calls() -> dict[Operation, set[str]]:
    """Operation → the modules that call it."""
    found: dict[Operation, set[str]] = defaultdict(set)
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name == "aws.py":  # passes on what it is given, and asks STS who it is
            found["sts", "GetCallerIdentity"].add(name)
            continue
        for node, operation in calls_in(ast.parse(path.read_text())):
            assert operation, f"{name}:{node.lineno}: which operation is called cannot be read from the code"
            found[operation].add(name)
    return found


CALLS = all_calls()


def test_every_operation_that_the_code_calls_is_in_the_table() -> None:
    assert sorted(CALLS.keys() - table.OPERATIONS.keys()) == []


def test_the_table_has_no_operation_that_no_code_calls() -> None:
    assert sorted(table.OPERATIONS.keys() - CALLS.keys()) == []


@pytest.mark.parametrize("operation", sorted(CALLS), ids=":".join)
def test_each_operation_is_allowed_to_the_commands_whose_modules_call_it(operation: Operation) -> None:
    by = set(table.OPERATIONS[operation].by)
    for module in CALLS[operation] - {"aws.py"}:
        if command := COMMANDS_OF.get(module):
            assert command in by, module
        else:
            assert by & {"plan", "apply"}, module
    own = {COMMANDS_OF[module] for module in CALLS[operation] if module in COMMANDS_OF}
    assert not (by & {"bootstrap"} - own) or operation[0] == "sts"


def test_the_task_role_may_all_that_the_shim_calls_and_no_more() -> None:
    called: set[str] = set()
    for path in (PACKAGE.parent / "shim" / "init").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="obstore"), attr=name)):
                    called.add(name)
    assert called == set(roles.SHIM)
