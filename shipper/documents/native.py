"""The native core: a fast way to the same bodies, in Rust (`native/`, docs/native.md).

It is optional. Where it was not built, or `SHIPPER_NATIVE` is 0, `encode` does everything. It takes
ordinary lines only and declines all others: those are encoded in Python, which has the one meaning
of each line. The only module that knows the core.
"""

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from shipper.documents.actions import Actions
from shipper.documents.contributions import Contributions
from shipper.documents.encoded import FileTemplate
from shipper.documents.filters import Run
from shipper.documents.line import decode_event

if TYPE_CHECKING:
    from shipper import _native

#: The environment variable that turns the core off.
VARIABLE = "SHIPPER_NATIVE"

_MODULE = "shipper._native"

_OFF = ("0", "false", "no", "off")


def core(
    environ: Mapping[str, str] = os.environ,
    load: Callable[[str], ModuleType] = importlib.import_module,
) -> tuple[ModuleType | None, str]:
    """The core, and how it is: the instructions that it uses; or None, and why."""
    if (value := environ.get(VARIABLE, "")).strip().lower() in _OFF:
        return None, f"turned off by {VARIABLE}={value}"
    try:
        native = load(_MODULE)
    except ModuleNotFoundError:
        return None, "not installed"
    except ImportError as error:
        # It was built for another machine or Python.
        return None, f"cannot be loaded: {error}"
    return native, native.KERNELS


class OddLine(NamedTuple):
    """A line that is not in the body."""

    #: Where its document belongs in the body.
    position: int
    #: Where it is in its block, with its newline.
    start: int
    end: int


class NativeBody(NamedTuple):
    """The body of a block."""

    body: bytes | memoryview
    events: int
    #: The lines that the core declines, for Python, in their order.
    odd: list[OddLine]


class Native:
    """The native way of one input; off where the core cannot make its documents."""

    def __init__(
        self,
        actions: Actions,
        contributions: Contributions | None,
        *,
        content_ids: bool,
        has_processors: bool,
    ) -> None:
        """`has_processors`: whether processors run for each event."""
        self._actions = actions
        self._encoder: _native.Encoder | None = None
        #: Why it is off; empty if it is not.
        self.reason = ""
        native, state = core()
        rules = contributions.native_rules() if contributions is not None else None
        if native is None:
            self.reason = state
        elif has_processors:
            self.reason = "processors run for each event"
        elif contributions is not None and rules is None:
            self.reason = "configured fields are merged with those of each event"
        else:
            try:
                self._encoder = native.Encoder(with_ids=content_ids, rules=rules)
            except (KeyError, TypeError, ValueError) as error:
                # As of another version, which only a checkout can have.
                self.reason = f"does not know the rules: {error}"

    @property
    def is_on(self) -> bool:
        return self._encoder is not None

    def encode(
        self, template: FileTemplate, start: int, block: bytes, runs: Sequence[Run] | None
    ) -> NativeBody | None:
        """The body of a block; None if the core declines all of it. `runs`: the lines that are
        shipped, None for all.

        Raises RuntimeError if the core is at fault; from then on it is off.
        """
        if self._encoder is None:
            return None
        action, times = template.action, b""
        if not action:
            found = self._action_of_first(template, runs[0].lines[0] if runs else block)
            if found is None:
                return None
            action, times = found
        ranges = None if runs is None else [_range(run, start) for run in runs]
        try:
            made = self._encoder.encode(
                block,
                start,
                action=action,
                constants=template.constants,
                times=times,
                ranges=ranges,
            )
        except RuntimeError as error:
            self._encoder, self.reason = None, str(error)
            raise
        if made is None:
            return None
        body, events, odd = made
        return NativeBody(body, events, [OddLine(*each) for each in odd])

    def _action_of_first(self, template: FileTemplate, lines: bytes) -> tuple[bytes, bytes] | None:
        """The action of the first line, and the beginning of the times that have the same; None if
        it is not ordinary."""
        try:
            time = bytes(decode_event(lines.partition(b"\n")[0]).time)
            # In UTC: of other zones are only unusual times, whose lines the core declines.
            times = self._actions.index_time(time).encode()
            return self._actions.at(template.id_prefix, time), times
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None


def _range(run: Run, start: int) -> tuple[int, int]:
    """The place of lines in their block, which begins at the offset `start`."""
    first = run.offset - start
    return first, first + sum(map(len, run.lines)) + len(run.lines)
