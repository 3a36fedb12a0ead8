"""A daemon in which awaited calls raise: ``python -m tests.support.injection PLAN -- ARGS``.

Every ``await`` in the modules of the stages is a place, found in their syntax trees when they are
imported. A place raises, instead of what is awaited, as often as the plan says, from when it is
first reached, once a place that begins with `armed_by` was reached. What has raised is written to
the plan's report.

    {"times": 1, "only": null, "skip": [], "armed_by": "shipper.pipeline.", "error": "usual",
     "report": "/tmp/…/r"}
"""

from __future__ import annotations

import ast
import asyncio
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent.parent

STAGES = (
    "shipper.pipeline",
    "shipper.files",
    "shipper.output",
    "shipper.admin",
    "shipper.trimming",
)
"""The packages and modules whose awaits are places."""

_HOOK = "_injected"

_NET = ("kept(", "self._errors.")
"""Waiting for the net itself, which has no awaited call but a pause that raises nothing."""


class InjectedError(Exception):
    """What a place raises: nothing that any code expects."""


class SpeechlessError(Exception):
    """One that has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


ERRORS: dict[str, type[BaseException]] = {
    "usual": InjectedError,
    "memory": MemoryError,
    "recursion": RecursionError,
    "cancelled": asyncio.CancelledError,
    "speechless": SpeechlessError,
}
"""By the names that plans have for them."""


class Places(ast.NodeTransformer):
    """Turns ``await X`` into ``await _injected(place, lambda: X)``.

    Left alone are those whose expression has an await or a yield of
    its own: a lambda may have none.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._function: list[str] = []
        self.found: list[str] = []

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self._function.append(node.name)
        self.generic_visit(node)
        self._function.pop()
        return node

    def visit_Await(self, node: ast.Await) -> ast.AST:
        if ast.unparse(node.value).startswith(_NET):
            return node
        has_await = any(isinstance(inner, ast.Await) for inner in ast.walk(node.value))
        self.generic_visit(node)
        if has_await:
            return node
        place = f"{self._module}:{'.'.join(self._function)}:{ast.unparse(node.value)[:60]}"
        number = sum(each.split("#")[0] == place for each in self.found)
        place = f"{place}#{number}"
        self.found.append(place)
        for inner in ast.walk(node.value):
            if isinstance(inner, ast.Call) and ast.unparse(inner) == "super()":
                # It takes its arguments from the function that it is in.
                inner.args = [ast.Name(name, ast.Load()) for name in ("__class__", "self")]
        later = ast.Lambda(
            ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]),
            node.value,
        )
        call = ast.Call(ast.Name(_HOOK, ast.Load()), [ast.Constant(place), later], [])
        return ast.copy_location(ast.Await(call), node)


def places_in(source: str, module: str) -> tuple[ast.Module, list[str]]:
    """The module's tree with the places in it, and their names."""
    places = Places(module)
    tree = places.visit(ast.parse(source))
    return ast.fix_missing_locations(tree), places.found


def all_places() -> list[str]:
    """Every place of the stages."""
    found: list[str] = []
    for stage in STAGES:
        path = ROOT.joinpath(*stage.split("."))
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        for file in files:
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            found += places_in(file.read_text(), module.removesuffix(".__init__"))[1]
    return found


class Injector:
    """Decides which place raises."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._times = plan["times"]
        self._only = plan.get("only")
        self._error = ERRORS[plan.get("error", "usual")]
        self._skip = tuple(plan.get("skip", ()))
        self._armed = False
        self._armed_by = plan.get("armed_by", "shipper.pipeline.")
        self._raised: Counter[str] = Counter()
        self._report = Path(plan["report"]).open("a", buffering=1)  # noqa: SIM115

    def __call__(self, place: str, call: Callable[[], Awaitable[object]]) -> Awaitable[object]:
        # What is done before the stages run may end the process: it says why.
        self._armed = self._armed or place.startswith(self._armed_by)
        if (
            self._armed
            and (self._only is None or place == self._only)
            and not place.startswith(self._skip)
            and self._raised[place] < self._times
        ):
            self._raised[place] += 1
            self._report.write(f"{place}\n")
            raise self._error(place)
        return call()


class Importer(importlib.abc.MetaPathFinder):
    """Imports the modules of the stages with their places."""

    def __init__(self, injector: Injector) -> None:
        self._injector = injector

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not any(name == stage or name.startswith(f"{stage}.") for stage in STAGES):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.origin is None:
            return spec
        loader = _Loader(name, spec.origin, self._injector)
        return importlib.util.spec_from_file_location(
            name,
            spec.origin,
            loader=loader,
            submodule_search_locations=spec.submodule_search_locations,
        )


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, injector: Injector) -> None:
        super().__init__(name, path)
        self._injector = injector

    def get_code(self, fullname: str) -> CodeType:
        tree, _ = places_in(Path(self.path).read_text(), fullname)
        code: CodeType = compile(tree, self.path, "exec")
        return code

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__[_HOOK] = self._injector
        super().exec_module(module)


def main() -> int:
    plan, arguments = sys.argv[1], sys.argv[2:]
    # What stands before it is the program that would be run: python -m shipper.
    arguments = arguments[arguments.index("shipper") + 1 :]
    sys.meta_path.insert(0, Importer(Injector(json.loads(Path(plan).read_text()))))
    from shipper.cli.shipper import main as shipper

    return shipper(arguments)


if __name__ == "__main__":
    sys.exit(main())
