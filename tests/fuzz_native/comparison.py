"""Both ways of the encoder beside each other: the same bytes, and the same counts."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from shipper.config.index_name import IndexPattern
from shipper.config.inputs import EventsConfig, ExcludeRule, OnInvalid
from shipper.documents.ecs import EcsDocuments
from shipper.documents.encode import DocumentEncoder
from shipper.documents.encoded import Encoded
from shipper.documents.filters import filter_of
from shipper.documents.native import VARIABLE
from shipper.files.facts import Inode
from shipper.files.identity import Identity
from tests.fuzz_native.mutations import line

CONSTANTS: dict[str, object] = {
    "input": {"type": "filestream"},
    "ecs": {"version": "8.11.0"},
    "host": {"name": "shipper-1", "os": {"type": "linux"}},
    "event": {"dataset": "cilium_tetragon.log", "module": "cilium_tetragon"},
    "fields": {"team": "röd 100%"},
    "tags": ["a", 'quote " in it'],
}
NOW = 1_764_000_000.25

_RULES = EventsConfig(
    exclude=(ExcludeRule(type=("process_exit",)), ExcludeRule(binary=("/usr/bin/*",)))
)


@dataclass(frozen=True, slots=True)
class Setup:
    """A configuration of an encoder."""

    ecs: bool = False
    content_ids: bool = True
    index: str = ""
    filtered: bool = False
    on_invalid: OnInvalid = OnInvalid.SHIP
    constants: bool = True

    def encoder(self) -> DocumentEncoder:
        constants = CONSTANTS if self.constants else {}
        return DocumentEncoder(
            constants,
            content_ids=self.content_ids,
            on_invalid=self.on_invalid,
            contributions=EcsDocuments(constants) if self.ecs else None,
            events=filter_of(_RULES) if self.filtered else None,
            index=IndexPattern.parse(self.index).fill({}) if self.index else None,
        )


SETUPS = tuple(
    replace(setup, ecs=ecs)
    for ecs in (False, True)
    for setup in (
        Setup(),
        Setup(content_ids=False, on_invalid=OnInvalid.DROP),
        Setup(index="t-%{+yyyy.MM.dd}", on_invalid=OnInvalid.DEAD_LETTER),
        Setup(index="constant", filtered=True),
        Setup(index="t-%{+yyyy.MM.dd.HH}", content_ids=False, constants=False),
    )
)


class DifferenceError(AssertionError):
    """The two ways do not agree about a block."""


@dataclass(slots=True)
class Count:
    """What was compared."""

    blocks: int = 0
    lines: int = 0
    #: Lines whose documents the core made.
    native: int = 0
    #: Blocks that the core declined as a whole.
    declined: int = 0


class Pair:
    """One configuration, both ways."""

    def __init__(self, setup: Setup, set_variable: Callable[[str, str], None]) -> None:
        """`set_variable`: sets a variable of the environment.

        Raises RuntimeError if the core is not there.
        """
        self._setup = setup
        set_variable(VARIABLE, "1")
        self._native = setup.encoder()
        set_variable(VARIABLE, "0")
        self._python = setup.encoder()
        if self._native.native.reason:
            raise RuntimeError(f"no native core: {self._native.native.reason}")
        identity, inode = Identity("0123456789abcdef"), Inode(1, 2)
        self._template = self._native.template(identity, "/logs/tetragon %d.log", inode)

    def compare(self, block: bytes, start: int, count: Count) -> None:
        """Raises DifferenceError if they do not agree."""
        expected = self._python.encode(self._template, start, block, NOW)
        found = self._native.encode(self._template, start, block, NOW)
        if _values(found) != _values(expected):
            both = zip(_values(found), _values(expected), strict=True)
            first = next(_difference(left, right) for left, right in both if left != right)
            raise DifferenceError(f"{self._setup} at {start}: {block!r}\n{first}")
        count.blocks += 1
        count.lines += expected.lines
        made = self._native.native.encode(self._template, start, block, None)
        if made is None:
            count.declined += 1
        else:
            count.native += made.events


def _values(encoded: Encoded) -> tuple[object, ...]:
    return (
        bytes(encoded.body),
        encoded.events,
        encoded.blank,
        encoded.dropped,
        dict(encoded.filtered),
        encoded.refused,
        dict(encoded.flagged),
        encoded.failures,
    )


def _difference(left: object, right: object) -> str:
    """The first lines that differ, of bodies; or both."""
    if isinstance(left, bytes) and isinstance(right, bytes):
        lines = itertools.zip_longest(left.split(b"\n"), right.split(b"\n"))
        left, right = next((a, b) for a, b in lines if a != b)
    return f"native: {left!r}\nPython: {right!r}"


def block(rng: random.Random) -> bytes:
    """Some lines: few of them changed, or all, or a single one."""
    share = rng.choice((0.05, 0.2, 0.95))
    return b"".join(line(rng, share) + b"\n" for _ in range(rng.choice((1, 1, 4, 12, 30))))
