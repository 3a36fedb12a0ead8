"""Calls that may hang in the kernel (a mount whose server is away), with a bound."""

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

_T = TypeVar("_T")


def within(seconds: float, call: Callable[[], _T]) -> _T:
    """What `call` returns, or raises; TimeoutError if it takes longer than `seconds`.

    It runs in a thread of its own, which does not keep the process from ending.
    """
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # Whatever it is: it is raised where it is waited for.
            errors.append(error)

    thread = Thread(target=run, name="time-limit", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0]
