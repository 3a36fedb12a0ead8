"""NUL bytes between lines: what a writer without O_APPEND leaves after a truncation, what is
allocated in advance, what a power cut or a hole leaves. They are no part of any line.

A run of them may be of any length: it is passed in bounded steps, and holes in one (SEEK_DATA).
"""

from shipper.files.content import Content, bytes_at, fill
from shipper.files.identity import HEAD_BYTES, Identity, identity_of
from shipper.files.incomplete import IncompleteLine

_ZEROS = bytes(4096)

#: How many blocks of a run one call reads.
_BLOCKS_A_STEP = 16


def first_data(buffer: bytearray | bytes, start: int, end: int) -> int:
    """The first place from `start` on, and before `end`, that is not NUL; `end` if all are."""
    step = len(_ZEROS)
    while end - start >= step and buffer.startswith(_ZEROS, start, end):
        start += step
    some = bytes(buffer[start : min(end, start + step)])
    return start + len(some) - len(some.lstrip(b"\0"))


class NulRun:
    """Where a run of NULs ends, as far as it was followed."""

    __slots__ = (
        "_block_bytes",
        "at_end",
        "begin",
        "end",
    )

    def __init__(self, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self.begin = self.end = 0
        #: Whether the content ended with it, when it was looked at last.
        self.at_end = False

    def passed(self, begin: int, end: int) -> None:
        """All from `begin` to `end` are NULs, and something else follows: this was seen."""
        self.begin, self.end = begin, end

    async def follow(self, content: Content, begin: int) -> int | None:
        """The offset of the first byte that is not NUL from `begin` on, where a NUL is.

        None if the content ends with the run (`at_end`), or if the run goes on: call again. What
        ended with it may have been filled since, anywhere.
        """
        if begin != self.begin or (self.at_end and not content.compressed):
            self.begin = self.end = begin
        self.at_end = False
        if self.end > begin:
            # What is there may be known already.
            few = await bytes_at(content, self.end, 1)
            if few.strip(b"\0"):
                return self.end
        buffer = bytearray(self._block_bytes)
        for _ in range(_BLOCKS_A_STEP):
            self.end = await content.next_data(self.end)
            if content.compressed:
                content.release(self.end)
            with memoryview(buffer) as view:
                count = await fill(content, view, self.end)
            if not count:
                self.at_end = True
                return None
            data = first_data(buffer, 0, count)
            self.end += data
            if data < count:
                return self.end
        return None


class Head:
    """The beginning of a log, by which it is identified: its first line that is not blank, without
    the NULs before it."""

    __slots__ = (
        "_blank",
        "_looked_to",
        "_position",
        "_raw",
        "_run",
        "data",
        "legacy",
        "searching",
        "start",
    )

    def __init__(self, run: NulRun) -> None:
        """`run`: what is found out of NULs at the beginning is kept there."""
        self._run = run
        self._position = 0
        self._raw = self._blank = b""
        #: Where `data` begins, and the bytes there: they stay what they are while the log is this.
        self.start = 0
        self.data = b""
        #: What versions that took NULs for a part of the line made of it, if they are there.
        self.legacy: Identity | None = None
        #: Whether it goes on after many NULs: call again.
        self.searching = False
        # Up to where the log was looked at.
        self._looked_to = 0

    async def identify(self, content: Content, *, final: bool) -> Identity | None:
        """The identity; None as long as there is no complete first line, unless that is `final`."""
        if not self.searching:
            self._position, self._blank = 0, b""
        self.searching = False
        complete = await self._find(content)
        if complete is None:
            return None
        line = self._blank + self.data
        identity = identity_of(line + b"\n" if complete else line, final=final)
        self.legacy = identity_of(self._raw, final=final) if b"\0" in self._raw else None
        return identity

    @property
    def end(self) -> int:
        """Where `data` ends."""
        return self.start + len(self.data)

    @property
    def is_empty(self) -> bool:
        """Whether nothing but NULs was found."""
        return not (self._blank or self.data)

    @property
    def only_nuls_before(self) -> int:
        """Up to where there is nothing but NULs; 0 if something else was found."""
        return self._run.end if self._run.at_end and not self._blank + self.data else 0

    @property
    def incomplete(self) -> IncompleteLine:
        """What was found, if that is no complete line; of blank lines before it, nothing."""
        line = (self._blank + self.data).rpartition(b"\n")[2]
        return IncompleteLine(len(line), self._looked_to)

    async def _find(self, content: Content) -> bool | None:
        """Whether NULs end the line that was found; None if more has to be searched."""
        while True:
            wanted = HEAD_BYTES - len(self._blank)
            found = await bytes_at(content, self._position, wanted) if wanted else b""
            self.start = self._position
            if not self.start:
                self._raw = found
            self._looked_to = self._position + len(found)
            self.data, nul, _ = found.partition(b"\0")
            if not nul:
                return False
            nul_at = self._position + len(self.data)
            begun = (self._blank + self.data).lstrip(b"\r\n")
            if b"\n" in begun:
                return False
            if begun and content.compressed:
                return True
            after = await self._run.follow(content, nul_at)
            if after is None:
                self._looked_to = self._run.end
                self.searching = not self._run.at_end
                return None if self.searching else False
            if begun:
                return True
            self._blank += self.data
            self._position = after
