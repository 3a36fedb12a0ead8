"""An event while processors have it: its time, the fields of its document, and the line.

Fields are found as Filebeat finds them (elastic-agent-libs, mapstr): `a.b.c` is the key with that
very name, or what is at `b.c` in the object at `a`. Whatever is done here has no say in the id,
which is made of the line and where it stands.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

import orjson

from shipper.golang.time import format_utc

#: An object of a document.
Fields = dict[str, object]

TIMESTAMP: Final = "@timestamp"


class ProcessorError(Exception):
    """A processor could not do what it is to do; the event goes on without that."""


class DroppedError(Exception):
    """No document is made of the event."""


class Missing(Enum):
    """What is in a field that is not there."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Time:
    """A time in a document, as it is written there (RFC 3339)."""

    text: str

    @classmethod
    def of(cls, nanoseconds: int, written: object) -> "Time":
        """The time, in the words it was `written` in if those are RFC 3339 in UTC."""
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
        """`line`: what was read; `now`: when, in Unix seconds."""
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
        """An event whose fields are `message`, if there is one, and those of the JSON object
        `rest`, which is read only if somebody asks for another field than the message."""
        event = cls(timestamp, {}, line, now)
        event._fields, event._message, event._rest = None, message, rest
        return event

    @property
    def is_untouched(self) -> bool:
        """Whether the fields are as they were written, as nobody has asked for them."""
        return self._fields is None

    @property
    def fields(self) -> Fields:
        """The fields, which may be changed."""
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
        """What the line says, if it is a JSON object."""
        if self._decoded is None:
            try:
                found = orjson.loads(self.line)
            except orjson.JSONDecodeError:
                found = {}
            self._decoded = found if isinstance(found, dict) else {}
        return self._decoded

    def get(self, path: str) -> object:
        """What is in a field, or MISSING. Raises ProcessorError if something on the way to it is
        not an object."""
        if path == TIMESTAMP:
            return self.timestamp
        if self._fields is None and path == "message" and self._message is not None:
            return self._message
        return get(self.fields, path)

    def peek(self, path: str) -> object:
        """As `get`, and MISSING in any case in which there is nothing."""
        try:
            return self.get(path)
        except ProcessorError:
            return MISSING

    def put(self, path: str, value: object, undo: "Undo | None" = None) -> None:
        """Raises ProcessorError if something on the way is not an object, or a time is expected
        and it is none."""
        if path != TIMESTAMP:
            put(self.fields, path, value, undo)
        elif isinstance(value, Time):
            self.timestamp = value
        else:
            raise ProcessorError("the value for @timestamp is not a time")


class Undo:
    """What was changed in objects, so that it can be as it was."""

    def __init__(self) -> None:
        self._steps: list[tuple[Fields, str, object]] = []

    def note(self, container: Fields, key: str) -> None:
        """To be called before a key changes."""
        self._steps.append((container, key, container.get(key, MISSING)))

    def undo(self) -> None:
        """All of it, the last first."""
        for container, key, before in reversed(self._steps):
            if before is MISSING:
                container.pop(key, None)
            else:
                container[key] = before
        self._steps.clear()


def get(fields: Fields, path: str) -> object:
    """What is at a path, or MISSING.

    Raises ProcessorError if something on the way to it is not an object.
    """
    found = _find(fields, path)
    return MISSING if found is None else found[0].get(found[1], MISSING)


def put(fields: Fields, path: str, value: object, undo: Undo | None = None) -> None:
    """Objects on the way are made. Raises ProcessorError if something there is not an object."""
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
    """Takes a field out; returns whether it was there.

    Raises ProcessorError if something on the way to it is not an object.
    """
    found = _find(fields, path)
    if found is None or found[1] not in found[0]:
        return False
    if undo:
        undo.note(*found)
    del found[0][found[1]]
    return True


def merge(into: Fields, fields: Fields, *, overwrite: bool) -> None:
    """Puts fields into an object, those of objects one by one. Of the second, nothing is shared
    that could be changed.

    As in Filebeat, an object comes in the place of what is none even without `overwrite`.
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
    """The same, so that a change of the one is none of the other."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def append(fields: Fields, path: str, texts: tuple[str, ...], undo: Undo | None = None) -> None:
    """Adds to the list at a path, which is made if it is not there. Raises ProcessorError if
    something else is."""
    before = get(fields, path)
    if before is not MISSING and not isinstance(before, list):
        raise ProcessorError(f"`{path}` is not a list")
    put(fields, path, [*(before if isinstance(before, list) else ()), *texts], undo)


def flat_keys(fields: Fields, prefix: str = "") -> list[str]:
    """The paths of all fields, those in an object before its own."""
    keys: list[str] = []
    for key, value in fields.items():
        if isinstance(value, dict):
            keys += flat_keys(value, f"{prefix}{key}.")
        keys.append(f"{prefix}{key}")
    return keys


def _find(fields: Fields, path: str) -> tuple[Fields, str] | None:
    """Which key of which object a path is; None if there is no such object."""
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
