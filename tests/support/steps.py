"""Work in steps, for tests that do not look between them."""

from typing import TypeVar

from shipper.files.steps import Steps

_T = TypeVar("_T")


def at_once(steps: Steps[_T]) -> _T:
    """Takes all steps; returns the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result
