"""Debug messages about what a scan found, and what became of files since the scan before."""

from collections.abc import Iterable

from msgspec import Struct

from shipper.files.tail import State, Tail
from shipper.logs import Log
from shipper.logs.events import (
    FILE_DISCOVERED,
    FILE_REMOVED,
    FILE_RENAMED,
    FILE_STATE_CHANGED,
    SCAN_FINISHED,
)


class _Seen(Struct, frozen=True):
    path: str
    state: State
    is_gone: bool


class ScanLog:
    """The scans of one input."""

    def __init__(self, log: Log, input_id: str) -> None:
        self._log = log
        self._input_id = input_id
        self._seen: dict[Tail, _Seen] = {}

    def scanned(self, tails: Iterable[Tail]) -> None:
        """Logs what differs from the last call. `tails`: all files of the input now."""
        before, emit = self._seen, self._log.emit
        self._seen = {tail: _Seen(tail.path, tail.state, tail.gone is not None) for tail in tails}
        for tail, now in self._seen.items():
            was = before.get(tail)
            if was is None:
                emit(FILE_DISCOVERED, path=now.path, size=tail.size)
                continue
            if was.path != now.path:
                emit(FILE_RENAMED, path=now.path, previous=was.path)
            if now.is_gone and not was.is_gone:
                emit(FILE_REMOVED, path=now.path, unread_bytes=tail.unread)
            if was.state is not now.state:
                emit(
                    FILE_STATE_CHANGED,
                    path=now.path,
                    state=now.state.value,
                    previous=was.state.value,
                    offset=tail.offset,
                )
        emit(
            SCAN_FINISHED,
            input=self._input_id,
            files=len(self._seen),
            new=len(self._seen.keys() - before.keys()),
            deleted=sum(now.is_gone for now in self._seen.values()),
            closed=len(before.keys() - self._seen.keys()),
        )
