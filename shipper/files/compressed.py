"""Rotated logs that were compressed: which gzips have to be read, and when.

Tetragon's `exportFileCompress` makes `NAME.gz` of a rotated file and then deletes that. Mostly the
file was done before, or is kept by its link. But what was rotated and compressed while nobody
looked is in the gzip alone: it is followed like any file, recognised by its content, and carried on
at the offset that is acknowledged.

A gzip waits only for what may hold the same lines: the file that it is made from, a plain file that
nobody has tried to identify yet, one that is followed and has the same content up to its offset.
"""

import errno
import stat
from collections.abc import Iterable, Iterator, Sequence

from shipper.files.archive import Ending
from shipper.files.catalog import Catalog
from shipper.files.content import Version
from shipper.files.discovery import Scan, is_hidden, scan
from shipper.files.facts import Inode, inode_in
from shipper.files.filesystem import FileSystem
from shipper.files.found import Found
from shipper.files.globs import Globs
from shipper.files.gzip_ends import Gzip, GzipEnds, finished_as
from shipper.files.identification import UNREADABLE
from shipper.files.identity import Identity
from shipper.files.lines import NoLine
from shipper.files.opening import LogOpener, NotFollowedError
from shipper.files.placement import Start
from shipper.files.records import SUFFIX
from shipper.files.registry import FileRecord
from shipper.files.tail import State, Tail
from shipper.logs import Log
from shipper.metrics import Metrics

#: How many gzips of an input are inflated at a time: each costs up to 100 KB, and a line's length.
_AT_A_TIME = 8

#: So many gzips of a scan are opened in one step.
_STEP = 100


def gzips_of(patterns: Sequence[str]) -> list[str]:
    """The globs of the gzips of the files that these globs match."""
    return [pattern.removesuffix(SUFFIX) + SUFFIX for pattern in patterns]


def excluded_gzips(exclude: Iterable[str]) -> list[str]:
    """The globs of gzips that are left out: what is not to be read is not to be read when it is
    compressed, either."""
    exclude = tuple(exclude)
    return [*exclude, *(glob + SUFFIX for glob in exclude)]


class CompressedLogs:
    """The gzips of one input's files."""

    def __init__(
        self,
        patterns: Sequence[str],
        catalog: Catalog,
        *,
        exclude: Sequence[str],
        symlinks: bool,
        filesystem: FileSystem,
        metrics: Metrics,
        log: Log,
    ) -> None:
        """`patterns` and `exclude`: the globs of the files that become gzips. `symlinks`: whether
        gzips are followed through symbolic links."""
        self._patterns = gzips_of(patterns)
        self._exclude = excluded_gzips(exclude)
        self._symlinks = symlinks
        self._opener = LogOpener(filesystem, exclude=self._exclude, symlinks=symlinks)
        self._globs = Globs(self._patterns, self._exclude)
        self._plain = Globs(patterns, exclude)
        self._catalog = catalog
        self._filesystem = filesystem
        self._ends = GzipEnds(catalog, metrics=metrics, log=log)
        self._gzips: dict[Inode, Gzip] = {}
        # Those that are inflated at the moment, and some that were.
        self._active: list[Gzip] = []
        # What the last look could not see: these paths, and whether there may be more.
        self._hidden: set[str] = set()
        self._out_of_sight = False
        self._looked = False
        catalog.remember_while(self._is_there)

    def matches(self, path: str) -> bool:
        """Whether the gzip at that path is one of them, if there is one."""
        return path in self._globs

    @property
    def tails(self) -> list[Tail]:
        """The gzips that are known, those among them that are read and closed."""
        return [gzip.tail for gzip in self._gzips.values()]

    def at(self, path: str) -> Tail | None:
        """The gzip that stands at that path, if it is known, as in `tails`."""
        try:
            gzip = self._gzips.get(inode_in(self._filesystem.status(path)))
        except OSError:
            return None
        return None if gzip is None else gzip.tail

    def scan(self) -> Scan:
        """Which gzips are there now. Blocks on the disk."""
        return scan(self._filesystem, self._patterns, self._exclude, symlinks=self._symlinks)

    def looking(self, found: Scan) -> Iterator[list[OSError]]:
        """Follows gzips that are new to what a scan found, in steps as those of
        `Catalog.applying`; for each of them what kept some from being opened."""
        problems: list[OSError] = []
        hidden, full = set(found.unreadable), False
        untried = frozenset(self._catalog.untried())
        for number, (inode, file) in enumerate(found.found.items()):
            if number % _STEP == _STEP - 1:
                yield problems
                problems = []
            try:
                if not full or inode in self._gzips:
                    self._consider(inode, file, untried)
            except (FileNotFoundError, NotFollowedError):
                continue  # Rotated away since the scan, or something else is there.
            except OSError as error:
                error.filename = error.filename or file.path
                problems.append(error)
                hidden.add(file.path)
                full = error.errno in (errno.EMFILE, errno.ENFILE)
        for inode, gzip in list(self._gzips.items()):
            self._ends.report(gzip)
            self._ends.settle(gzip)
            if inode in found.found:
                continue
            if gzip.tail.descriptor >= 0:
                if self._catalog.miss(gzip.tail, found):
                    gzip.tail.original_exists = False
            elif not is_hidden(gzip.tail.path, found.unreadable):
                del self._gzips[inode]
        self._looked, self._hidden = True, hidden
        self._out_of_sight = full or bool(found.left_out)
        self._catalog.gzips_found()
        yield problems

    def wait_for(self, inodes: Iterable[Inode]) -> None:
        """Gzips that were not tried yet wait for these files, too, which were kept and are followed
        again: what is in a gzip may be what was made of one of them."""
        inodes = frozenset(inodes)
        for gzip in self._gzips.values():
            if not gzip.tried:
                gzip.waits_for |= inodes

    def appear(self, path: str) -> Tail | None:
        """Follows the gzip at a path that is new, without a scan; None if there is none to follow.
        Raises OSError if it cannot be opened; a later scan does."""
        try:
            if self._filesystem.is_link(path) and not self._symlinks:
                return None
            found = self._filesystem.status(path)
            file = Found(path, found.st_size, found.st_mtime_ns)
            untried = frozenset(self._catalog.untried())
            return self._consider(inode_in(found), file, untried, appeared=True)
        except (FileNotFoundError, NotFollowedError):
            return None

    async def place(self, tail: Tail, *, at_once: bool = False) -> Start | NoLine | None:
        """Decides where a gzip begins to be read; None while it has to wait, or if it need not be
        read; MORE: call again. `at_once`: also if enough others are being read."""
        gzip = self._gzips.get(tail.inode)
        if gzip is None or gzip.tail is not tail:
            gzip = self._gzips[tail.inode] = Gzip(tail, frozenset())
        gzip.tried = True
        if gzip.waits_for:
            gzip.waits_for = frozenset(filter(self._catalog.is_untried, gzip.waits_for))
        if gzip.waits_for or not (at_once or gzip.active or self._has_room()):
            return None
        if not gzip.active:
            gzip.active = True
            self._active.append(gzip)
        start = await self._place(gzip)
        if isinstance(start, Start):
            gzip.start = start
            if start.settled:
                tail.settle()
        elif start is None:
            gzip.active = False
            tail.content.rest()
        return start

    async def _place(self, gzip: Gzip) -> Start | NoLine | None:
        tail = gzip.tail
        tail.look()
        if tail.content.is_replaced:
            gzip.forget_content()
        if gzip.identity is None:
            gzip.identity = await tail.identify(final=self._catalog.is_final(tail))
        if (
            gzip.identity is None
            and not tail.identification.head.searching
            and self._catalog.is_final(tail)
        ):
            gzip.identity = await tail.identify(final=True)  # Its end was met meanwhile.
        self._note_original(gzip, in_turn=True)
        holds_nothing = tail.identification.is_empty and tail.content.ending not in UNREADABLE
        if holds_nothing and self._catalog.is_final(tail):
            self._drop(gzip)
            return None
        if gzip.identity is None:
            return NoLine.MORE if tail.identification.head.searching else None
        same = await self._is_followed(gzip, gzip.identity)
        if same is None:
            return NoLine.MORE
        if not same and tail.original_exists:
            unrelated = await self._is_unrelated(gzip)
            if unrelated is None:
                return NoLine.MORE
            same = not unrelated
        tail.is_covered = same
        if same and not gzip.is_contained:
            return None
        done = finished_as(self._catalog.records, gzip, gzip.identity)
        if gzip.is_contained or done is not None:
            tail.done_as = gzip.made_of if done is None else done
            self._drop(gzip)
            return None
        return await self._catalog.place(tail)

    def _consider(
        self, inode: Inode, file: Found, untried: frozenset[Inode], *, appeared: bool = False
    ) -> Tail | None:
        gzip, path = self._gzips.get(inode), file.path
        if gzip is not None and gzip.over is None and gzip.tail.is_finished:
            gzip.over = gzip.tail.version
        if gzip is not None and gzip.over == Version(file.size, file.modified):
            gzip.tail.path = path
            if gzip.identity is not None:
                self._catalog.records.found_again(gzip.identity, path)
            return None
        tail = self._catalog.follow_gzip(inode, path, self._opener, appeared=appeared)
        if tail is None:
            return None
        if gzip is None or gzip.tail is not tail:
            gzip = self._gzips[tail.inode] = Gzip(tail, untried)
        self._note_original(gzip)
        tail.is_covered |= tail.original_exists and tail.state is State.WAITING
        return tail

    def _note_original(self, gzip: Gzip, *, in_turn: bool = False) -> None:
        """Notes whether the file that a gzip is made from may be there: it is read in its place,
        and the gzip may still be written. `in_turn`: whether one that is parked is opened, to be
        compared, unless it is known to be the one."""
        tail = gzip.tail
        path = tail.path.removesuffix(SUFFIX)
        tail.original_exists = False
        if tail.gone is not None or path not in self._plain or not self._is_regular(path):
            return
        other = self._catalog.at(path)
        if other is None and in_turn:
            known = gzip.made_of
            if known is not None and self._catalog.row_at(path) == known:
                tail.original_exists = True
                return
            other = self._catalog.open_original(path)
        # One that is not followed (yet) cannot be read, or is too new.
        tail.original_exists = other is None or self._may_be_original(gzip, other)
        if other is not None and tail.original_exists:
            gzip.made_of = self._catalog.records.row_of(other) or gzip.made_of

    def _may_be_original(self, gzip: Gzip, other: Tail) -> bool:
        tail = gzip.tail
        if gzip.unrelated is other:
            return False
        if gzip.identity is not None and other.state is not State.WAITING:
            return gzip.identity == other.identity
        # What a gzip is made from is all there until the gzip is.
        inflated = tail.content.inflated
        return other.size >= inflated and (
            not inflated or tail.identification.is_like(other.identification)
        )

    async def _is_unrelated(self, gzip: Gzip) -> bool | None:
        """Whether the file under the name without `.gz`, which begins with the same line, goes on
        in another way. None: the gzip has to be read on for that."""
        tail = gzip.tail
        other = self._catalog.at(tail.path.removesuffix(SUFFIX))
        if other is None or other.state is State.WAITING:
            return False
        if gzip.is_the_same(other) is not False:
            return False
        if tail.content.inflated < other.acks.offset:
            # It is shorter: an earlier state of the same file, or still written, or cut.
            if not tail.content.at_end or tail.content.ending is not Ending.COMPLETE:
                return False
            last = await tail.last_line_end()
            if last is None:
                return None
            if await other.has_mark(*last):
                gzip.contained = tail.version
                return False
        gzip.unrelated, tail.original_exists = other, False
        return True

    def _is_regular(self, path: str) -> bool:
        """Whether something stands at a path that may be followed, or may do so."""
        try:
            if self._filesystem.is_link(path) and not self._symlinks:
                return False
            return stat.S_ISREG(self._filesystem.status(path).st_mode)
        except FileNotFoundError:
            return False
        except OSError:
            return True

    async def _is_followed(self, gzip: Gzip, identity: Identity) -> bool | None:
        """Whether another file that is followed has the same content up to its offset.

        None: the gzip has to be read on for that.
        """
        for other in self._catalog.records.followed(identity):
            same = gzip.is_the_same(other)
            if other is gzip.tail or same is False:
                continue
            if same is None and not other.acks.offset:
                if not gzip.tail.identification.is_like(other.identification):
                    gzip.same[other] = False, None
                    continue
            elif same is None:
                same = await gzip.tail.has_mark(other.acks.offset, other.acks.mark)
                if same is None:
                    return None
                shorter = gzip.tail.content.inflated < other.acks.offset
                gzip.same[other] = same, gzip.tail.version if shorter else None
                if not same:
                    continue
            return True
        # One that is parked with something unread has it, too.
        return self._catalog.records.waits_parked(identity)

    def _has_room(self) -> bool:
        """Whether another one may be inflated now."""
        self._active = [gzip for gzip in self._active if gzip.active and gzip.tail.descriptor >= 0]
        return len(self._active) < _AT_A_TIME

    def _drop(self, gzip: Gzip) -> None:
        """Nothing of it has to be read."""
        gzip.over = gzip.tail.version
        self._catalog.closing.give_up(gzip.tail)
        self._ends.report(gzip)

    def _is_there(self, record: FileRecord) -> bool:
        """Whether a gzip that holds that file may be there: it would be read again."""
        if not self._looked or self._out_of_sight:
            return True
        if any(is_hidden(path, self._hidden) for path in (record.path, record.path + SUFFIX)):
            return True
        return any(
            gzip.over is None
            if gzip.identity is None
            else record.identity in (gzip.identity, gzip.tail.identification.head.legacy)
            for gzip in self._gzips.values()
        )
