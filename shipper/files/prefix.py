"""Whether two files have the same bytes up to an offset, compared in pieces."""

from enum import Enum

from shipper.files.content import Content, bytes_at

#: How much of each is compared at a time, in bytes: a fraction of a millisecond.
_PIECE = 256 * 1024


class Prefix(Enum):
    """What is known of two files."""

    #: They are the same so far: go on.
    MORE = "more"
    SAME = "same"
    DIFFERENT = "different"
    #: One ends before the offset: it was cut meanwhile.
    UNKNOWN = "unknown"


class PrefixComparison:
    """That of two files, up to an offset."""

    def __init__(self, first: Content, second: Content, end: int) -> None:
        self._first = first
        self._second = second
        self._end = end
        self._at = 0

    async def go_on(self) -> Prefix:
        """Compares one piece more. Raises OSError if that cannot be read."""
        count = min(_PIECE, self._end - self._at)
        if count <= 0:
            return Prefix.SAME
        first = await bytes_at(self._first, self._at, count)
        second = await bytes_at(self._second, self._at, count)
        if first != second:
            is_short = len(first) < count or len(second) < count
            return Prefix.UNKNOWN if is_short else Prefix.DIFFERENT
        if len(first) < count:
            return Prefix.UNKNOWN
        self._at += count
        return Prefix.SAME if self._at >= self._end else Prefix.MORE
