"""The action of each document, the line before it in the body: which index it names, where the
path of the request names none, and how far it is the same for all lines of a file.
"""

import contextlib
import functools
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import orjson

from shipper.config.index_name import IndexName
from shipper.files.identity import Identity

#: Actions that are remembered, where the time decides the index: files of several inputs, whose
#: events are of the same few days or hours.
_REMEMBERED = 64


class Actions:
    """The actions of one input's documents.

    Each ends the document before and begins the next action, up to the id's offset; without ids up
    to the document's time.
    """

    def __init__(self, index: IndexName | None, *, content_ids: bool) -> None:
        """`index`: what each action names, None if the path of the request does."""
        self._index = index
        self._span = index.span if index else 0
        self._content_ids = content_ids
        self._action = functools.lru_cache(_REMEMBERED)(self._render)

    def constant(self, identity: Identity) -> bytes:
        """The action of all lines of a file; empty if there is one for each date."""
        return b"" if self._span else self._render(identity, "")

    def at(self, identity: Identity, timestamp: bytes) -> bytes:
        """The action of a line with this time, which is JSON in any zone."""
        return self._action(identity, self._index_time(timestamp))

    def at_all(
        self, identity: Identity, times: Sequence[bytes | memoryview | msgspec.Raw], joined: bytes
    ) -> list[bytes]:
        """The actions of lines whose times, JSON in UTC, are these, and joined by commas that."""
        # The digits decide: a datetime has microseconds, to which the last nanoseconds of a day
        # are rounded up.
        end = 1 + self._span
        first = bytes(times[0])[:end]
        # It begins with a quote, which no time has but around it.
        if joined.count(first) == len(times):
            return [self._action(identity, first[1:].decode())] * len(times)
        return [self._action(identity, bytes(time)[1:end].decode()) for time in times]

    def _render(self, identity: Identity, time: str) -> bytes:
        index = b'"_index":%b' % orjson.dumps(self._index.at(time)) if self._index else b""
        if not self._content_ids:
            return b'}\n{"create":{%b}}\n{"@timestamp":' % index
        comma = b"," if index else b""
        return b'}\n{"create":{%b%b"_id":"%b-' % (index, comma, identity.encode())

    def _index_time(self, timestamp: bytes) -> str:
        """As much of a time as decides the index, in UTC."""
        text = timestamp.decode()[1:-1]
        if not text.endswith("Z"):
            written = datetime.fromisoformat(text[: len("2026-11-24T04:32:37")] + text[-6:])
            # The very first and last hours of the calendar may have no other name in UTC.
            with contextlib.suppress(OverflowError):
                text = written.astimezone(UTC).isoformat()
        return text[: self._span]
