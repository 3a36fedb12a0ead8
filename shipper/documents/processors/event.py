"""The event that processors change: its time, the fields of its document, and the line.

Paths are resolved as in Filebeat (elastic-agent-libs, mapstr): `a.b.c` is the key with exactly this
name, or `b.c` in the object at `a`. Changes do not affect the id, which depends on the line and its
offset.
"""

from enum import Enum
from typing import Final

import orjson
from msgspec import Struct

from shipper.golang.time import format_utc

#: An object of a document.
Fields = dict[str, object]

TIMESTAMP: Final = "@timestamp"


class ProcessorError(Exception):
    """A processor failed; the event is shipped without its change."""


class DroppedError(Exception):
    """The event is dropped."""


class Missing(Enum):
    """The value of a field that does not exist."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class Time(Struct, frozen=True):
    """A time in a document, as text (RFC 3339)."""

    text: str

    @classmethod
    def of(cls, nanoseconds: int, written: object) -> "Time":
        """The time; keeps the text `written` if it is RFC 3339 in UTC."""
        text = format_utc(nanoseconds)
        if isinstance(written, str) and written.endswith("Z"):
            shortest = written[:-1].rstrip("0").rstrip(".") if "." in written else written[:-1]
            if len(written) <= 30 and text[:-1].rstrip("0").rstrip(".") == shortest:
                return cls(written)
        return cls(text)


class Event:
    """One event."""

    __slots__ = ("_decoded", "_fields", "_message", "_rest", "line", "now", "timestamp")

    def __init__(self, timestamp: Time, fields: Fields, line: bytes, now: float) -> None:
        """`line`: the line; `now`: when it was read, in Unix seconds."""
        self.timestamp = timestamp
        self.line = line
        self.now = now
        self._fields: Fields | None = fields
        self._decoded: Fields | None = None
        self._message: str | None = None
        self._rest = b""

    @classmethod
    def written(
        cls, timestamp: Time, message: str | None, rest: bytes, line: bytes, now: float
    ) -> "Event":
        """An event with the fields `message`, if there is one, and those of the JSON object `rest`,
        which is decoded only if another field than the message is needed."""
        event = cls(timestamp, {}, line, now)
        event._fields, event._message, event._rest = None, message, rest
        return event

    @property
    def is_unchanged(self) -> bool:
        """Whether the fields are unchanged: they were not decoded."""
        return self._fields is None

    @property
    def fields(self) -> Fields:
        """The fields; may be changed."""
        if self._fields is None:
            self._fields = orjson.loads(self._rest)
            if self._message is not None:
                self._fields["message"] = self._message
        return self._fields

    @fields.setter
    def fields(self, fields: Fields) -> None:
        self._fields = fields

    @property
    def decoded(self) -> Fields:
        """The fields of the line, if it is a JSON object."""
        if self._decoded is None:
            try:
                found = orjson.loads(self.line)
            except orjson.JSONDecodeError:
                found = {}
            self._decoded = found if isinstance(found, dict) else {}
        return self._decoded

    def get(self, path: str) -> object:
        """The value of a field, or MISSING. Raises ProcessorError if a parent is not an object."""
        if path == TIMESTAMP:
            return self.timestamp
        if self._fields is None and path == "message" and self._message is not None:
            return self._message
        return get(self.fields, path)

    def peek(self, path: str) -> object:
        """As `get`, but MISSING instead of an error."""
        try:
            return self.get(path)
        except ProcessorError:
            return MISSING

    def put(self, path: str, value: object, undo: "Undo | None" = None) -> None:
        """Sets a field. Raises ProcessorError if a parent is not an object, or if the field needs a
        time and the value is not one."""
        if path != TIMESTAMP:
            put(self.fields, path, value, undo)
        elif isinstance(value, Time):
            self.timestamp = value
        else:
            raise ProcessorError("the value for @timestamp is not a time")


class Undo:
    """Records changes of objects, to undo them."""

    def __init__(self) -> None:
        self._steps: list[tuple[Fields, str, object]] = []

    def note(self, container: Fields, key: str) -> None:
        """Records the value of a key; to be called before the change."""
        self._steps.append((container, key, container.get(key, MISSING)))

    def undo(self) -> None:
        """Undoes all changes, the last one first."""
        for container, key, before in reversed(self._steps):
            if before is MISSING:
                container.pop(key, None)
            else:
                container[key] = before
        self._steps.clear()


def get(fields: Fields, path: str) -> object:
    """The value at a path, or MISSING.

    Raises ProcessorError if a parent is not an object.
    """
    found = _find(fields, path)
    return MISSING if found is None else found[0].get(found[1], MISSING)


def put(fields: Fields, path: str, value: object, undo: Undo | None = None) -> None:
    """Sets the value at a path; creates parents. Raises ProcessorError if one is not an object."""
    key, container = path, fields
    while key not in container:
        first, dot, rest = key.partition(".")
        if not dot:
            break
        below = container.get(first, MISSING)
        if below is MISSING:
            if undo:
                undo.note(container, first)
            below = container[first] = {}
        if not isinstance(below, dict):
            raise ProcessorError(f"`{first}` of `{path}` is not an object")
        key, container = rest, below
    if undo:
        undo.note(container, key)
    container[key] = value


def delete(fields: Fields, path: str, undo: Undo | None = None) -> bool:
    """Removes a field; returns whether it existed.

    Raises ProcessorError if a parent is not an object.
    """
    found = _find(fields, path)
    if found is None or found[1] not in found[0]:
        return False
    if undo:
        undo.note(*found)
    del found[0][found[1]]
    return True


def merge(into: Fields, fields: Fields, *, overwrite: bool) -> None:
    """Deep merge of copies of fields into an object.

    As in Filebeat, an object replaces a value that is not an object even without `overwrite`.
    """
    for key, value in fields.items():
        if isinstance(value, dict):
            below = into.get(key)
            if isinstance(below, dict):
                merge(below, value, overwrite=overwrite)
            else:
                into[key] = copied(value)
        elif overwrite or key not in into:
            into[key] = value


def copied(value: object) -> object:
    """A deep copy."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def append(fields: Fields, path: str, texts: tuple[str, ...], undo: Undo | None = None) -> None:
    """Appends to the list at a path, or creates it. Raises ProcessorError if there is a value that
    is not a list."""
    before = get(fields, path)
    if before is not MISSING and not isinstance(before, list):
        raise ProcessorError(f"`{path}` is not a list")
    put(fields, path, [*(before if isinstance(before, list) else ()), *texts], undo)


def flat_keys(fields: Fields, prefix: str = "") -> list[str]:
    """The paths of all fields; those in an object before the object itself."""
    keys: list[str] = []
    for key, value in fields.items():
        if isinstance(value, dict):
            keys += flat_keys(value, f"{prefix}{key}.")
        keys.append(f"{prefix}{key}")
    return keys


def _find(fields: Fields, path: str) -> tuple[Fields, str] | None:
    """The object and key that a path leads to; None if there is no such object."""
    key, container = path, fields
    while key not in container:
        first, dot, rest = key.partition(".")
        if not dot:
            break
        below = container.get(first, MISSING)
        if below is MISSING:
            return None
        if not isinstance(below, dict):
            raise ProcessorError(f"`{first}` of `{path}` is not an object")
        key, container = rest, below
    return container, key
