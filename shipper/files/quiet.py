"""Whether files stay as they are: which of its versions each was last seen in, and since when."""

from shipper.clock import Clock
from shipper.files.archive import Ending
from shipper.files.tail import Tail, Version

#: How long nothing may have been written before a file counts as quiet, in seconds: then a last
#: line without a newline is complete, if the file is gone, and a file that is done needs no link.
QUIET_AFTER = 5.0


class SeenVersions:
    """The versions of the files of one input."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
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

    def is_quiet(self, tail: Tail) -> bool:
        """Whether nothing was written for QUIET_AFTER seconds, as of the last scan."""
        if tail.descriptor < 0:
            return True
        seen = self._seen.get(tail)
        return seen is not None and self._clock.monotonic() - seen[1] >= QUIET_AFTER

    def is_final(self, tail: Tail) -> bool:
        """Whether a file will not grow any more: nobody can open it, and it stayed as it was; of a
        gzip, whether it is what it is going to be.

        What a gzip is made from is removed when the gzip is whole (lumberjack, logrotate, gzip);
        what was left of an interrupted attempt is written anew from it. The time alone says
        nothing, since gzip sets it to the log's.
        """
        if tail.compressed:
            self.observe(tail)
            ended = tail.ending is Ending.COMPLETE or (tail.ending and tail.ending.is_last)
            whole = tail.at_end and (bool(ended) or self.is_quiet(tail))
            return whole and not tail.original_exists
        if tail.gone is None:
            return False
        self.observe(tail)
        return self.is_quiet(tail)
