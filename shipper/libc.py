"""What the C library has and Python has no function for."""

import ctypes
import os
from collections.abc import Sequence
from functools import cache


def has_calls(names: Sequence[str]) -> bool:
    """Whether the C library knows all of them."""
    library = _library()
    return library is not None and all(hasattr(library, name) for name in names)


def call(name: str, *arguments: object, path: str | None = None) -> int:
    """What the call returns; raises OSError if that is negative. `path`: what it is about."""
    result = int(getattr(_library(), name)(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


@cache
def _library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None, use_errno=True)
    except OSError:
        return None
