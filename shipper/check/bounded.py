"""Checks of paths that may hang: a mount whose server is away answers no call."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from shipper.check.findings import Finding, Status
from shipper.offload import within

_T = TypeVar("_T")

#: For the calls of one check, in seconds.
PATIENCE = 20.0


def bounded(
    subject: str, check: str, call: Callable[[], Iterable[Finding]], seconds: float = PATIENCE
) -> list[Finding]:
    """What `call` finds; a failure if it takes too long."""
    # What is yielded is looked for here, and not where it is read.
    return bounded_result(subject, check, lambda: (list(call()), None), None, seconds)[0]


def bounded_result(
    subject: str,
    check: str,
    call: Callable[[], tuple[list[Finding], _T]],
    default: _T,
    seconds: float = PATIENCE,
) -> tuple[list[Finding], _T]:
    """The same with a result besides, which is `default` if it takes too long."""
    try:
        return within(seconds, call)
    except TimeoutError:
        detail = f"the file system does not answer within {seconds:g} s"
        advice = "check the mounts: the server of a network file system may be away"
        return [Finding(subject, check, Status.FAILED, detail, advice)], default
