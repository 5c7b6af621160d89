"""The table of permissions against the calls in the code, read with ast: neither may have what the other lacks."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import aws
from reconciler.permissions import roles, table

PACKAGE = Path(__file__).parents[2] / "reconciler"
COMMANDS_OF = {"bootstrap.py": "bootstrap", "verify/read.py": "verify"}
"""Modules whose calls only one command makes; all others belong to plan and apply."""

Operation = tuple[str, str]


def calls_in(module: str, trees: dict[str, ast.Module]) -> Iterator[tuple[ast.Call, Operation | None]]:
    """Every call of `.call` and `.pages` with a service; None where its operation cannot be read."""
    functions = [node for node in ast.walk(trees[module]) if isinstance(node, ast.FunctionDef)]
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
                place = parameters.index(operation.id)
                for name in handed_over(module, function.name, place, trees):
                    yield node, (service.value, name) if name else None
            else:
                yield node, None


def handed_over(module: str, function: str, place: int, trees: dict[str, ast.Module]) -> Iterator[str | None]:
    """What callers of a module's function give it at `place`: `function(…)` there, `module.function(…)` elsewhere."""
    stem = Path(module).stem
    for name, tree in trees.items():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id=called)) if (name, called) == (module, function):
                    given = node.args[place]
                case ast.Call(func=ast.Attribute(value=ast.Name(id=of), attr=called)) if (of, called) == (
                    stem,
                    function,
                ):
                    given = node.args[place]
                case _:
                    continue
            yield str(given.value) if isinstance(given, ast.Constant) else None


def all_calls() -> dict[Operation, set[str]]:
    """Operation → the modules that call it."""
    found: dict[Operation, set[str]] = defaultdict(set)
    trees = {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text())
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    for name in trees:
        if name == "aws.py":  # passes on what it is given, and asks STS who it is
            found["sts", "GetCallerIdentity"].add(name)
            continue
        for node, operation in calls_in(name, trees):
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


@pytest.mark.parametrize("operation", sorted(table.OPERATIONS), ids=":".join)
def test_what_commands_that_only_read_may_call_is_what_a_client_that_only_reads_lets_pass(
    operation: Operation,
) -> None:
    only_reads = {"plan", "verify"} & set(table.OPERATIONS[operation].by)
    assert not only_reads or operation[1].startswith(aws.READING)
