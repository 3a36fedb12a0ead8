"""The line at the end of a log that waits for its newline. Nobody can ship it yet, so it is no
backlog; and what is written next may complete it, so it is known of one version of the file only.
"""

from msgspec import Struct


class IncompleteLine(Struct, frozen=True):
    """A line at the end of a log that waits for its newline."""

    #: In bytes, without NULs before and after it.
    length: int
    #: Up to where the log was looked at: the line, and NULs that follow it.
    end: int


NO_LINE = IncompleteLine(0, 0)


class LastIncomplete:
    """That of one log, as it was met last."""

    __slots__ = ("_line", "_version")

    def __init__(self) -> None:
        self._line = NO_LINE
        self._version: object = None

    def note(self, line: IncompleteLine, version: object) -> None:
        """That version of the log ends with it."""
        self._line, self._version = line, version

    def after(self, offset: int, version: object) -> IncompleteLine:
        """The one that is not read up to `offset`; NO_LINE if that version is another one, or was
        never met to end with one."""
        return self._line if self._version == version and self._line.end > offset else NO_LINE
