"""What a target is: a function from bytes that raises where a promise is broken."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")
_Error = TypeVar("_Error", bound=Exception)

CORPUS = Path(__file__).parent / "corpus"
"""Inputs that are kept: a folder for each target."""

LONGEST = 16 * 1024
"""No input has more bytes."""


def memory() -> str | None:
    """A directory in memory, if there is one: files are made and read millions of times."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


class TooSlowError(AssertionError):
    """An input took more CPU time than is allowed."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser, or a few that see the same bytes."""

    name: str
    #: What holds for any input, in a sentence.
    promise: str
    #: Raises if it does not hold.
    check: Callable[[bytes], object]
    #: Inputs to begin with: of all forms that are known.
    seeds: tuple[bytes, ...]
    #: What mutations put in, besides the usual.
    tokens: tuple[bytes, ...] = ()
    #: CPU seconds that one input may take.
    seconds: float = 1.0

    def run(self, data: bytes) -> None:
        """Raises if the promise is broken for this input."""
        began = time.thread_time()
        self.check(data)
        took = time.thread_time() - began
        if took > self.seconds:
            raise TooSlowError(f"{took:.2f} s of CPU time")

    def kept(self) -> dict[str, bytes]:
        """The inputs of its corpus, by file name."""
        return {
            path.name: path.read_bytes()
            for path in sorted((CORPUS / self.name).glob("*"))
            if path.is_file()
        }


class Choices:
    """Decisions, made of the first bytes of an input: one byte each."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int = 256) -> int:
        """The next byte as a number below `below`; 0 if there is none."""
        self._at += 1
        return self._data[self._at - 1] % below if self._at <= len(self._data) else 0

    def flag(self) -> bool:
        """Yes or no."""
        return bool(self.number(2))

    def one_of(self, options: Sequence[_T]) -> _T:
        """One of them."""
        return options[self.number(len(options))]

    @property
    def rest(self) -> bytes:
        """What no decision was made of."""
        return self._data[self._at :]


def refusal_of(call: Callable[[], object], declared: type[_Error]) -> _Error | None:
    """The error that a call is allowed to raise; None if it raises none. Any other is raised."""
    try:
        call()
    except declared as error:
        return error
    return None


def is_text(text: str, most: int) -> bool:
    """Whether a text may be shown: one line that can be encoded and printed, and is not long."""
    text.encode()
    return text.isprintable() and len(text) <= most
