"""Renders the action of each document: the line before it in the body, with the id, and the index
if the path of the request has none.
"""

import contextlib
import functools
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import orjson

from shipper.config.index_name import IndexName

#: Cached actions if the index name has a date: several files, with events of the same few days or
#: hours.
_CACHE_SIZE = 64


class Actions:
    """Actions of the documents of one input.

    An action closes the document before it, and ends before the offset in the id; without ids it
    ends before the document's time.
    """

    def __init__(self, index: IndexName | None, *, content_ids: bool) -> None:
        """`index`: the index name in actions; None if the path of the request has it."""
        self._index = index
        #: How much of a time decides the index name, in characters; 0: nothing of it.
        self.span = index.span if index else 0
        self._content_ids = content_ids
        self._action = functools.lru_cache(_CACHE_SIZE)(self._render)

    def constant(self, id_prefix: str) -> bytes:
        """The action of all lines of a file; empty if it depends on the date."""
        return b"" if self.span else self._render(id_prefix, "")

    def at(self, id_prefix: str, timestamp: bytes) -> bytes:
        """The action of a line with this time (JSON, any time zone)."""
        return self._action(id_prefix, self.index_time(timestamp))

    def at_all(
        self, id_prefix: str, times: Sequence[bytes | memoryview | msgspec.Raw]
    ) -> list[bytes]:
        """The actions of lines with these times (JSON, UTC)."""
        # Compares the digits: a datetime has microseconds only, so the last nanoseconds of a day
        # would be rounded up to the next day.
        end = 1 + self.span
        first = bytes(times[0])[:end]
        # `first` begins with a quote, so it matches at the beginning of a time only.
        if b",".join(times).count(first) == len(times):
            return [self._action(id_prefix, first[1:].decode())] * len(times)
        return [self._action(id_prefix, bytes(time)[1:end].decode()) for time in times]

    def _render(self, id_prefix: str, time: str) -> bytes:
        index = b'"_index":%b' % orjson.dumps(self._index.at(time)) if self._index else b""
        if not self._content_ids:
            return b'}\n{"create":{%b}}\n{"@timestamp":' % index
        comma = b"," if index else b""
        return b'}\n{"create":{%b%b"_id":"%b-' % (index, comma, id_prefix.encode())

    def index_time(self, timestamp: bytes) -> str:
        """The part of a time that the index name needs, in UTC."""
        text = timestamp.decode()[1:-1]
        if not text.endswith("Z"):
            written = datetime.fromisoformat(text[: len("2026-11-24T04:32:37")] + text[-6:])
            # The first and last hours of the calendar may not exist in UTC.
            with contextlib.suppress(OverflowError):
                text = written.astimezone(UTC).isoformat()
        return text[: self.span]
