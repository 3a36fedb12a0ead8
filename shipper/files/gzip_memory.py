"""What a tail knows of a gzip that was inflated for it: asking again costs nothing then."""

from msgspec import Struct

from shipper.files.identity import Identity, Mark


class GzipMemory(Struct):
    """Of one content."""

    #: Which file it is, once that is known.
    identity: Identity | None = None
    # Whether it has these marks; and in which version those were past its end. None: no mark was
    # looked for, as of all that is no gzip.
    _marks: dict[tuple[int, Mark], bool] | None = None
    _past_end: dict[tuple[int, Mark], object] | None = None
    # An offset, and how much was inflated, if nothing past that is to be recorded as lost.
    _settled: tuple[int, int] | None = None

    def has_mark(self, offset: int, mark: Mark, version: object) -> bool | None:
        """Whether it has a mark; None if that is not known of this version of the file."""
        if self._past_end is not None and self._past_end.get((offset, mark)) == version:
            return False
        return None if self._marks is None else self._marks.get((offset, mark))

    def note_mark(
        self, offset: int, mark: Mark, version: object, *, found: bool, inflated: int
    ) -> None:
        """It was looked for, in a gzip that is inflated so far."""
        if inflated < offset:
            if self._past_end is None:
                self._past_end = {}
            self._past_end[offset, mark] = version
        else:
            if self._marks is None:
                self._marks = {}
            self._marks[offset, mark] = found

    def forget_marks(self) -> None:
        """It is placed: they are not asked for any more."""
        self._marks = self._past_end = None

    def settle(self, offset: int, inflated: int) -> None:
        """All before the offset is read, and nothing of what is inflated is to be recorded."""
        self._settled = offset, max(offset, inflated)

    def is_settled(self, offset: int, inflated: int) -> bool:
        """Whether that is still so."""
        return self._settled is not None and (
            offset == self._settled[0] and inflated <= self._settled[1]
        )
