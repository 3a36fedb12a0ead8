"""Patterns of our own (`re`) do work that is linear in the text: much of the text is foreign, and
all of it is matched on the event loop.

Every pattern in the code is found in its source, and is given the texts that it is slowest on: its
own beginnings, over and over, and what it repeats, followed by what it does not want.
"""

from __future__ import annotations

import ast
import importlib
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shipper.documents.filters import _compiled

SOURCE = Path(__file__).parent.parent / "shipper"

#: Patterns that are made while shipper runs. The globs of the configuration are tested below.
MADE = {
    ("shipper/documents/filters.py", "'|'.join(map(fnmatch.translate, globs))"),
    ("shipper/files/opening.py", "'|'.join(expressions)"),
    ("shipper/files/globs.py", "fnmatch.translate(part)"),
}

#: Patterns that are not linear, and how long their texts can be.
BOUNDED = {
    # Values of options: nothing foreign.
    ("shipper/config/document.py", "_REFERENCE"): 1000,
    ("shipper/config/units.py", "_NUMBER_AND_UNIT"): 1000,
    ("shipper/config/filebeat/values.py", "_SIZE"): 1000,
    # Parts of what another pattern has found to be a duration: linear for these.
    ("shipper/config/options.py", "_DURATION_PART"): 100,
    ("shipper/config/filebeat/values.py", "_STEP"): 100,
}

_SEARCHES = frozenset({"search", "sub", "subn", "findall", "finditer", "split"})
_CALLS = _SEARCHES | {"compile", "match", "fullmatch"}


@dataclass(frozen=True)
class Found:
    """A pattern in the code."""

    file: str
    line: int
    name: str
    pattern: str | bytes
    flags: int
    searches: bool

    def __str__(self) -> str:
        return f"{self.file.removeprefix('shipper/')}:{self.line}"


def calls_of_re(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in _CALLS
        ):
            yield node


def patterns() -> tuple[list[Found], set[tuple[str, str]]]:
    """The patterns in the code, and those that are no constants: (file, expression)."""
    found, made = [], set()
    for path in sorted(SOURCE.rglob("*.py")):
        file = str(path.relative_to(SOURCE.parent))
        tree = ast.parse(path.read_text())
        uses: dict[str, set[str]] = {}
        names: dict[ast.AST, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                uses.setdefault(node.value.id, set()).add(node.attr)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                names[node.value] = node.targets[0].id
        module = None
        for call in calls_of_re(tree):
            assert isinstance(call.func, ast.Attribute)
            given, name = call.args[0], names.get(call, "")
            flags = 0
            if isinstance(given, ast.Constant):
                assert isinstance(given.value, str | bytes)
                pattern = given.value
                for argument in (*call.args[1:], *(each.value for each in call.keywords)):
                    written = ast.unparse(argument)
                    if re.fullmatch(r"re\.[A-Z]+(?: \| re\.[A-Z]+)*", written):
                        flags = eval(written, {"re": re})
            elif name:
                module = module or importlib.import_module(file[:-3].replace("/", "."))
                compiled = getattr(module, name)
                pattern, flags = compiled.pattern, compiled.flags
            else:
                made.add((file, ast.unparse(given)))
                continue
            how = uses.get(name, set()) if name else {call.func.attr}
            searches = bool(how & _SEARCHES) or not how & _CALLS
            found.append(Found(file, call.lineno, name, pattern, flags & ~re.UNICODE, searches))
    return found, made


FOUND, MADE_THERE = patterns()


def test_patterns_that_are_made_at_run_time_are_known() -> None:
    assert len(FOUND) > 50
    assert MADE_THERE == MADE
    assert all(
        any(each.file == file and each.name == name for each in FOUND) for file, name in BOUNDED
    )


class Attacker:
    """Texts that a pattern is slow on, if it is slow on any of a few kinds."""

    def __init__(self, pattern: str | bytes, flags: int) -> None:
        parser = importlib.import_module("re._parser")
        self._parsed = parser.parse(pattern, flags)
        self._alphabet = [chr(code) for code in range(32, 127)] + [
            "\n",
            "\0",
            "é",
            "\ue000",
            "\ue001",
        ]
        #: Something that matches an item of the pattern, with what matches all before it.
        self.samples: list[tuple[str, str]] = []
        self._sample(self._parsed, "")

    def texts(self, size: int) -> Iterator[str]:
        """Texts of about that many characters."""
        for before, sample in self.samples:
            for pump in {sample, before + sample, before}:
                if pump:
                    pumped = pump * max(1, size // len(pump))
                    for begin in {"", before}:
                        for end in ("", "\x01", "\n"):
                            yield begin + pumped + end

    def _sample(self, items: Any, before: str) -> str:
        made = ""
        for operation, argument in items:
            sample = self._sample_of(str(operation), argument, before + made)
            if sample:
                self.samples.append((before + made, sample))
            made += sample
        return made

    def _sample_of(self, operation: str, argument: Any, before: str) -> str:
        match operation:
            case "LITERAL":
                return chr(argument)
            case "NOT_LITERAL":
                return "b" if argument == ord("a") else "a"
            case "ANY":
                return "a"
            case "IN":
                return next((each for each in self._alphabet if self._is_in(argument, each)), "")
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, _, inner = argument
                return self._sample(inner, before) * max(1, int(least))
            case "SUBPATTERN":
                return self._sample(argument[-1], before)
            case "ATOMIC_GROUP":
                return self._sample(argument, before)
            case "BRANCH":
                return [self._sample(each, before) for each in argument[1]][-1]
        return ""  # What matches no character.

    def _is_in(self, items: Sequence[tuple[Any, Any]], character: str) -> bool:
        code, negated, found = ord(character), False, False
        for operation, argument in items:
            match str(operation):
                case "NEGATE":
                    negated = True
                case "LITERAL":
                    found |= code == argument
                case "RANGE":
                    found |= argument[0] <= code <= argument[1]
                case "CATEGORY":
                    kind = str(argument).removeprefix("CATEGORY_")
                    letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}[kind.removeprefix("NOT_")]
                    letter = letter.upper() if kind.startswith("NOT_") else letter
                    found |= re.match(f"\\{letter}", character) is not None
        return found is not negated


def seconds(work: Callable[[str], object], text: str) -> float:
    """Of the processor, the best of three."""
    best = float("inf")
    for _ in range(3):
        begin = time.thread_time()
        work(text)
        best = min(best, time.thread_time() - begin)
        if best < 0.002 or best > 0.2:
            break  # Fast or slow enough, whatever disturbed it.
    return best


def assert_linear(
    work: Callable[[str], object], texts: Callable[[int], Iterator[str]], most: int = 16_000
) -> None:
    """Fails if four times the text is much more than four times the work."""
    # What is exponential shows at 24 characters, what is cubic at 1000, and would not end at more.
    for few in (each for each in (24, 250, 1000) if each < most):
        for text in texts(few):
            assert seconds(work, text) < 0.05, f"more than linear: {text[:60]!r}"
    for smaller, larger in zip(texts(most // 4), texts(most), strict=True):
        spent = seconds(work, larger)
        if spent > 0.003:
            before = seconds(work, smaller)
            assert spent < 10 * before, f"more than linear: {larger[:60]!r}…"


@pytest.mark.parametrize("found", FOUND, ids=str)
def test_a_pattern_of_our_own_does_linear_work(found: Found) -> None:
    compiled = re.compile(found.pattern, found.flags)
    method = compiled.search if found.searches else compiled.fullmatch
    is_text = isinstance(found.pattern, str)

    def work(text: str) -> object:
        given: Any = text if is_text else text.encode()
        # `sub`, `findall`: to the end of the text, whatever is found on the way.
        return sum(1 for _ in compiled.finditer(given)) if found.searches else method(given)

    most = BOUNDED.get((found.file, found.name), 16_000)
    attacker = Attacker(found.pattern, found.flags)
    assert attacker.samples
    assert_linear(work, attacker.texts, most)


@pytest.mark.parametrize(
    "pattern",
    [
        '"arguments": "(/?[a-z0-9]+)+ --quiet"',
        r"unrecognized parameters?: .*\[require_data_stream\]",
        "(a+)+$",
        r"\(([^)]+)\)",
        r"\s+$",
    ],
)
def test_this_test_finds_what_is_not_linear(pattern: str) -> None:
    compiled = re.compile(pattern)
    with pytest.raises(AssertionError, match="more than linear"):
        assert_linear(compiled.search, Attacker(pattern, 0).texts, 16_000)


GLOBS = ("*a*a*a*a*b", "/usr/*/bin/*", "*[a-z]*[a-z]*x", "?*?*?*?", "*", "a*", "*.log", "*a?a?a?b")


@pytest.mark.parametrize("glob", GLOBS)
def test_globs_of_the_configuration_do_linear_work(glob: str) -> None:
    expression = _compiled([glob, "never"])
    assert expression is not None
    draw = random.Random(1)

    def texts(size: int) -> Iterator[str]:
        for piece in ("a", "ab", "/usr/", "/usr/a/bin/", "z", "a\n"):
            yield piece * (size // len(piece))
        yield "".join(draw.choices("ab/", k=size))

    assert_linear(expression.match, texts)
