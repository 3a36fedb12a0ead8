"""Whether files stay as they are: which of its versions each was last seen in, and since when."""

from collections.abc import Callable

from shipper.clock import Clock
from shipper.files.archive import Ending
from shipper.files.content import Version
from shipper.files.tail import Tail

#: How long nothing may have been written before a gzip counts as quiet, in seconds: then what is
#: wrong with its end is not going to change.
QUIET_AFTER = 5.0

#: The same for a file that no path leads to, where it is not known whether somebody has it open.
CLOSE_REMOVED_AFTER = 60.0


class SeenVersions:
    """The versions of the files of one input."""

    def __init__(
        self,
        clock: Clock,
        has_writer: Callable[[Tail], bool | None],
        close_removed_after: float = CLOSE_REMOVED_AFTER,
    ) -> None:
        """`has_writer`: as in `Writers`; `close_removed_after`: as in `Catalog`."""
        self._clock = clock
        self._has_writer = has_writer
        self._close_removed_after = close_removed_after
        # Since when: monotonic seconds.
        self._seen: dict[Tail, tuple[Version, float]] = {}

    def observe(self, tail: Tail) -> None:
        """Takes notice of what was written, and when."""
        tail.look()
        seen = self._seen.get(tail)
        version = tail.version
        if seen is None or seen[0] != version:
            self._seen[tail] = version, self._clock.monotonic()

    def observe_unless(self, tail: Tail, version: Version | None) -> None:
        """The same, if that is not the version which it was seen in last."""
        seen = self._seen.get(tail)
        if version is None or seen is None or seen[0] != version:
            self.observe(tail)

    def forget(self, tail: Tail) -> None:
        """The file is closed; or the time begins anew."""
        self._seen.pop(tail, None)

    def is_quiet(self, tail: Tail, seconds: float) -> bool:
        """Whether a file was seen in the version that it has for so long."""
        seen = self._seen.get(tail)
        return seen is not None and self._clock.monotonic() - seen[1] >= seconds

    def is_final(self, tail: Tail) -> bool:
        """Whether a file will not grow any more: no path leads to it, and nobody has it open to
        write, or, where that is not known, it stayed as it was; of a gzip, whether it is what it is
        going to be.

        What a gzip is made from is removed when the gzip is whole (lumberjack, logrotate, gzip);
        what was left of an interrupted attempt is written anew from it. The time alone says
        nothing, since gzip sets it to the log's.
        """
        if tail.compressed:
            self.observe(tail)
            if not tail.content.at_end or tail.content.ending is Ending.COMPLETE:
                return tail.content.at_end
            is_last = tail.content.ending is not None and tail.content.ending.is_last
            return (is_last or self.is_quiet(tail, QUIET_AFTER)) and not tail.original_exists
        if tail.gone is None:
            return False
        if tail.descriptor < 0:
            return True
        # Who has the file open is asked before it is looked at for the last time.
        writer = self._has_writer(tail)
        self.observe(tail)
        if writer is None:
            return self.is_quiet(tail, self._close_removed_after)
        return not writer
