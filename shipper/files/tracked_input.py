"""One input as the daemon follows it: its globs, its files, and when it is looked at again. Whether
a path is one of a gzip or of a plain file is told by its name.
"""

from collections.abc import Sequence
from functools import cached_property

from msgspec import Struct

from shipper.files.catalog import Catalog
from shipper.files.compressed import CompressedLogs
from shipper.files.globs import Globs
from shipper.files.lines import NoLine
from shipper.files.placement import Start
from shipper.files.records import SUFFIX, FileRecords
from shipper.files.retention import Retention
from shipper.files.schedule import WalkSchedule
from shipper.files.tail import Tail
from shipper.files.watch import WakeUp


class TrackedInput(Struct, frozen=True, dict=True):
    """The files of one input."""

    input_id: str
    patterns: Sequence[str]
    catalog: Catalog
    wake_up: WakeUp
    schedule: WalkSchedule
    #: Globs of what is left out although `patterns` match it.
    exclude: Sequence[str] = ()
    #: Whether symbolic links to files are followed.
    symlinks: bool = False
    #: Whether it is trouble if no file matches.
    require_files: bool = False
    #: None: nothing is kept by links.
    retention: Retention | None = None
    #: None: gzips are not looked at.
    compressed: CompressedLogs | None = None

    @cached_property
    def _globs(self) -> Globs:
        return Globs(self.patterns, self.exclude)

    @property
    def records(self) -> FileRecords:
        """What is remembered of its files."""
        return self.catalog.records

    def matches(self, path: str) -> bool:
        """Whether a file at that path is the input's, if there is one."""
        if path.endswith(SUFFIX):
            return self.compressed is not None and self.compressed.matches(path)
        return path in self._globs

    def appear(self, path: str) -> Tail | None:
        """Follows what stands at a path that is new, as `Catalog.appear` and
        `CompressedLogs.appear`."""
        if path.endswith(SUFFIX):
            return None if self.compressed is None else self.compressed.appear(path)
        return self.catalog.appear(path)

    async def place(self, tail: Tail, *, at_once: bool = False) -> Start | NoLine | None:
        """Decides where a waiting file begins, as `Catalog.place` and `CompressedLogs.place`."""
        if tail.compressed and self.compressed is not None:
            return await self.compressed.place(tail, at_once=at_once)
        return await self.catalog.place(tail)
