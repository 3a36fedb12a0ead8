"""`decode_json_fields`: decodes JSON in text fields, as in Filebeat (libbeat/processors/actions,
libbeat/common/jsontransform)."""

from datetime import UTC

import orjson

from shipper.config.processor_types import DecodeJsonFields
from shipper.documents.processors.event import (
    MISSING,
    TIMESTAMP,
    Event,
    Fields,
    ProcessorError,
    Time,
    get,
    merge,
    put,
)
from shipper.golang.time import Layout

#: What `@timestamp` may be in a decoded object: RFC 3339, or ISO 8601 with milliseconds.
_TIMES = (Layout("2006-01-02T15:04:05Z07:00"), Layout("2006-01-02T15:04:05.000Z0700"))


class _SkippedError(Exception):
    """The value is a list, and lists are not to be decoded."""


class JsonDecoder:
    """A `decode_json_fields` processor."""

    def __init__(self, config: DecodeJsonFields) -> None:
        self._config = config

    def __call__(self, event: Event) -> None:
        """Decodes all fields. Raises ProcessorError at the end, with all failures."""
        problems = []
        for field in self._config.fields:
            try:
                self._decode(event, field)
            except ProcessorError as error:
                problems.append(str(error))
        if problems:
            raise ProcessorError(", ".join(problems))

    def _decode(self, event: Event, field: str) -> None:
        config = self._config
        text = event.get(field)
        if not isinstance(text, str):
            return  # Missing or not a text: as in Filebeat, not an error.
        try:
            value = _decoded(text, config.max_depth, config.process_array)
        except (orjson.JSONDecodeError, _SkippedError) as error:
            self._flag(event, f"parsing input as JSON: {error}", text, field)
            raise ProcessorError(f"`{field}` is not JSON: {error}") from None
        target = field if config.target is None else config.target
        if target:
            event.put(target, value)
        elif isinstance(value, dict):
            self._to_root(event, value)
        else:
            raise ProcessorError(f"`{field}` is not an object, and only that can go to the root")

    def _to_root(self, event: Event, decoded: Fields) -> None:
        if self._config.expand_keys:
            try:
                decoded = _expanded(decoded)
            except ProcessorError as error:
                self._flag(event, str(error))
                raise
        timestamp = decoded.pop(TIMESTAMP, MISSING)
        decoded.pop("@metadata", None)
        if not self._config.overwrite_keys:
            merge(event.fields, decoded, overwrite=False)
            return
        kind = decoded.pop("type", MISSING)
        merge(event.fields, decoded, overwrite=True)
        problems = []
        if timestamp is not MISSING:
            try:
                event.timestamp = _time_of(timestamp, event.now)
            except ValueError:
                problems.append(f"@timestamp not overwritten (parse error on {timestamp})")
        if isinstance(kind, str) and kind and not kind.startswith("_"):
            event.fields["type"] = kind
        elif kind is not MISSING:
            problems.append(f"type not overwritten (invalid value [{kind}])")
        for problem in problems:
            self._flag(event, problem)
        if problems:
            raise ProcessorError(", ".join(problems))

    def _flag(self, event: Event, message: str, text: str = "", field: str = "") -> None:
        if not self._config.add_error_key:
            return
        error: Fields = {"message": message, "type": "json"}
        if text:
            error["data"] = text
        if field:
            error["field"] = field
        event.fields["error"] = error


def _decoded(text: str, depth: int, lists: bool) -> object:
    """The decoded text; texts in it are decoded too, down to this depth."""
    value: object = orjson.loads(text)
    if depth == 1:
        return value
    if isinstance(value, dict):
        return {key: _deeper(item, depth - 1, lists) for key, item in value.items()}
    if isinstance(value, list):
        if not lists:
            raise _SkippedError("it is a list, and process_array is off")
        return [_deeper(item, depth - 1, lists) for item in value]
    return value


def _deeper(item: object, depth: int, lists: bool) -> object:
    if not isinstance(item, str):
        return item
    text = item.strip()
    if len(text) < 2 or (text[0], text[-1]) not in (("{", "}"), ("[", "]")):
        return item
    try:
        return _decoded(item, depth, lists)
    except (orjson.JSONDecodeError, _SkippedError):
        return item


def _expanded(fields: Fields) -> Fields:
    """Expands keys with dots into objects. Raises ProcessorError if two keys conflict."""
    result: Fields = {}
    for key, value in fields.items():
        item = _expanded(value) if isinstance(value, dict) else value
        try:
            before = get(result, key)
        except ProcessorError as error:
            raise ProcessorError(f"cannot expand `{key}`: {error}") from None
        if before is MISSING:
            put(result, key, item)
        elif isinstance(before, dict) and isinstance(item, dict):
            _join(before, item, key)
        else:
            raise ProcessorError(f"cannot expand `{key}`: there is another value")
    return result


def _join(into: Fields, fields: Fields, where: str) -> None:
    for key, value in fields.items():
        before = into.get(key, MISSING)
        if before is MISSING:
            into[key] = value
        elif isinstance(before, dict) and isinstance(value, dict):
            _join(before, value, f"{where}.{key}")
        else:
            raise ProcessorError(f"cannot expand `{where}`: there are two values of `{key}`")


def _time_of(value: object, now: float) -> Time:
    if not isinstance(value, str):
        raise ValueError("no text")
    problem: ValueError | None = None
    for layout in _TIMES:
        try:
            return Time.of(layout.parse(value, UTC, now=now), value)
        except ValueError as error:
            problem = error
    raise problem or ValueError(value)
