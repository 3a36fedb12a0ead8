"""JSON lines in the Elastic Common Schema, by Elastic's own library."""

import logging

import ecs_logging

from shipper.logs.formats import ECS_NAMES, MAX_LINE, bounded, values
from shipper.logs.log import NAME, NUMBERS, Entry


class EcsFormatter:
    """One JSON object a line."""

    def __init__(self) -> None:
        self._ecs = ecs_logging.StdlibFormatter(
            # Of these each message would have the same.
            exclude_fields=("log.origin", "log.original", "process"),
            ensure_ascii=False,
        )

    def line(self, entry: Entry) -> bytes:
        """One message. Raises nothing."""
        try:
            line = self._line(entry, values(entry))
            if len(line) <= MAX_LINE:
                return line
            return self._line(entry, {"unformatted": f"{len(line)} bytes"})
        except Exception as error:
            # A value whose text cannot be made: the message is logged all the same.
            return self._line(entry, {"unformatted": type(error).__name__})

    def _line(self, entry: Entry, fields: dict[str, object]) -> bytes:
        name = str(fields.pop("logger", NAME))
        message = bounded(entry.message)
        record = logging.LogRecord(name, NUMBERS[entry.level], "", 0, message, (), None)
        record.created, record.msecs = entry.time, entry.time % 1 * 1000
        if entry.event is not None:
            record.__dict__["event.action"] = entry.event.action
        for name, value in fields.items():
            if name == "duration" and isinstance(value, float):
                value = round(value * 1e9)  # ECS has nanoseconds.
            record.__dict__[ECS_NAMES.get(name, f"shipper.{name}")] = value
        return self._ecs.format(record).encode("utf-8", "backslashreplace") + b"\n"
