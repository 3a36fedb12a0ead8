"""Work in steps, between which others may have their turn."""

from collections.abc import Generator
from typing import TypeVar

_T = TypeVar("_T")

#: Each step is a millisecond or two, and has the problems that it met; the result comes last.
Steps = Generator[list[OSError], None, _T]
