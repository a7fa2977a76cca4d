"""The rules are functions of values: nothing in `domain/` waits, asks the clock or chance, rounds in binary, or changes."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import domain

FILES = sorted(Path(next(iter(domain.__path__))).glob("**/*.py"))
TREES = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

CLOCKS = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns", "fromtimestamp", "utcfromtimestamp"}
CHANCE = {"uuid1", "uuid4", "getnode", "urandom", "token_bytes", "token_hex", "randbits"}
IMPURE = {
    *("asyncio", "concurrent", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "socket"),
    *("subprocess", "sys", "tempfile", "threading", "time"),
}
ALLOWED = {
    *("calendar", "collections", "dataclasses", "datetime", "domain", "enum", "functools", "hashlib", "re"),
    *("typing", "uuid"),
}

every_file = pytest.mark.parametrize("name", TREES)


def walk(name: str) -> Iterator[ast.AST]:
    return ast.walk(TREES[name])


def at(name: str, node: ast.AST) -> str:
    return f"domain/{name}:{getattr(node, 'lineno', 0)}"


def test_there_is_something_to_look_at() -> None:
    assert {"money.py", "ledger.py", "reservations.py", "settlements.py", "budgets.py"} <= set(TREES)


@every_file
def test_nothing_waits(name: str) -> None:
    waits = ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await
    assert [at(name, node) for node in walk(name) if isinstance(node, waits)] == []


@every_file
def test_nothing_asks_the_clock_or_chance(name: str) -> None:
    asked = CLOCKS | CHANCE
    found = [
        at(name, node)
        for node in walk(name)
        if (isinstance(node, ast.Attribute) and node.attr in asked)
        or (isinstance(node, ast.alias) and node.name.rpartition(".")[2] in asked)
    ]
    assert found == []


@every_file
def test_only_the_standard_librarys_pure_part_is_imported(name: str) -> None:
    modules = {
        imported.split(".")[0]
        for node in walk(name)
        for imported in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert modules <= ALLOWED
    assert not modules & IMPURE


@every_file
def test_no_number_is_a_float(name: str) -> None:
    found = [
        at(name, node)
        for node in walk(name)
        if (isinstance(node, ast.Constant) and isinstance(node.value, float | complex))
        or (isinstance(node, ast.Name) and node.id in {"float", "complex", "round"})
        or (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
        or (isinstance(node, ast.Attribute) and node.attr in {"timestamp", "total_seconds"})
    ]
    assert found == []


@every_file
def test_nothing_is_printed_opened_or_run(name: str) -> None:
    reaching_out = {"print", "open", "input", "eval", "exec", "__import__"}
    found = [
        at(name, node)
        for node in walk(name)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in reaching_out
    ]
    assert found == []


@every_file
def test_no_function_keeps_something_outside_itself(name: str) -> None:
    assert [at(name, node) for node in walk(name) if isinstance(node, ast.Global | ast.Nonlocal)] == []


@every_file
def test_dataclasses_are_frozen_and_have_slots(name: str) -> None:
    wrong = []
    for node in walk(name):
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if ast.unparse(called).rpartition(".")[2] != "dataclass":
                continue
            options = decorator.keywords if isinstance(decorator, ast.Call) else []
            on = {option.arg for option in options if ast.unparse(option.value) == "True"}
            if not {"frozen", "slots"} <= on:
                wrong.append(at(name, node))
    assert wrong == []


@every_file
def test_a_module_says_what_it_decides(name: str) -> None:
    docstring = ast.get_docstring(TREES[name])
    assert docstring
    assert docstring.split("\n")[0].endswith((".", ":", ",")) or len(docstring.split("\n")) > 1


@every_file
def test_public_functions_and_classes_say_what_they_do(name: str) -> None:
    silent = [
        at(name, node)
        for node in TREES[name].body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("source", "check"),
    [
        ("async def f(): ...", test_nothing_waits),
        ("from datetime import datetime\ndatetime.now()", test_nothing_asks_the_clock_or_chance),
        ("from uuid import uuid4", test_nothing_asks_the_clock_or_chance),
        ("import os.path", test_only_the_standard_librarys_pure_part_is_imported),
        ("from random import Random", test_only_the_standard_librarys_pure_part_is_imported),
        ("x = 0.5", test_no_number_is_a_float),
        ("def f(x: float): ...", test_no_number_is_a_float),
        ("x = 1 / 2", test_no_number_is_a_float),
        ("print(1)", test_nothing_is_printed_opened_or_run),
        ("def f():\n    global x", test_no_function_keeps_something_outside_itself),
        ("@dataclass(frozen=True)\nclass A: ...", test_dataclasses_are_frozen_and_have_slots),
        ("@dataclasses.dataclass\nclass A: ...", test_dataclasses_are_frozen_and_have_slots),
        ("x = 1", test_a_module_says_what_it_decides),
        ("def f(): ...", test_public_functions_and_classes_say_what_they_do),
    ],
)
def test_each_of_these_checks_finds_what_it_looks_for(
    source: str, check: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TREES, "wrong.py", ast.parse(source))
    with pytest.raises(AssertionError):
        check("wrong.py")
