"""Processes files of dead letters that were moved aside: sends the selected ones, and puts the
others back.

A file is deleted only when every dead letter in it was accepted by Elasticsearch, or is synced to
the dead letter file again.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shipper.dead_letters.files import Warn, dead_letters_of
from shipper.dead_letters.selection import Selection
from shipper.dead_letters.sending import DeadLetterSender, ReplayItem
from shipper.output.appending import sync_directory, write_failure
from shipper.output.dead_letter import (
    DeadLetter,
    bulk_lines,
    encode_dead_letter,
)
from shipper.output.dead_letter_file import DeadLetterFile, DeadLettersFullError

#: Maximum bytes of documents in a request, and of lines to put back: a replay shares the memory of
#: the container with the daemon.
_CHUNK_BYTES = 1024**2


@dataclass(slots=True)
class ReplayResult:
    """Counts of the dead letters by result."""

    replayed: int = 0
    already_there: int = 0
    rejected_again: int = 0
    kept: int = 0
    #: Why selected dead letters were not sent, for messages.
    failure: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether all selected dead letters are in the cluster."""
        return not (self.rejected_again or self.failure)

    def __str__(self) -> str:
        return (
            f"replayed {self.replayed}, already there {self.already_there}, "
            f"rejected again {self.rejected_again}, kept {self.kept}"
        )


class Replayer:
    """Replays files that were moved aside."""

    def __init__(
        self,
        dead_letters: DeadLetterFile,
        sender: DeadLetterSender,
        selection: Selection,
        *,
        limit: int | None,
        max_events: int,
        warn: Warn,
    ) -> None:
        """`limit`: maximum of dead letters to send, or None; `max_events`: maximum in a request."""
        self.result = ReplayResult()
        self._dead_letters = dead_letters
        self._sender = sender
        self._selection = selection
        self._max_events = max_events
        self._warn = warn
        self._left = sys.maxsize if limit is None else limit
        self._sending: list[ReplayItem] = []
        self._sending_bytes = 0
        #: Lines that are kept, and not put back yet.
        self._kept_lines: list[bytes] = []
        self._kept_bytes = 0
        #: After a timeout: nothing is sent, all dead letters are put back.
        self._given_up = False
        #: Dead letters cannot be put back: nothing is deleted.
        self._cannot_put_back = False

    async def replay_all(self, source: Path) -> None:
        """Replays a file and deletes it; after a failure it stays for the next replay."""
        try:
            with dead_letters_of(source, self._warn) as found:
                for each in found:
                    if each.dead_letter is None:
                        await self._keep([each.line])
                    elif (item := self._item_for(each.dead_letter)) is None:
                        self.result.kept += 1
                        await self._keep([each.line])
                    else:
                        await self._add(item, len(each.line))
                await self._send()
                await self._put_back()
            if not self._cannot_put_back:
                _delete(source)
        except OSError as error:
            self._stop_deleting(f"dead letters cannot be replayed: {write_failure(source, error)}")

    def _item_for(self, dead_letter: DeadLetter) -> ReplayItem | None:
        if self._given_up or self._cannot_put_back or not self._left:
            return None
        if not self._selection.matches(dead_letter):
            return None
        lines = bulk_lines(dead_letter)
        if lines is None:
            self.result.failure = self.result.failure or (
                "dead letters of an older shipper have no document, and cannot be sent again; "
                "they are kept"
            )
            return None
        self._left -= 1
        return ReplayItem(dead_letter, lines)

    async def _add(self, item: ReplayItem, size: int) -> None:
        self._sending.append(item)
        self._sending_bytes += size
        if self._sending_bytes >= _CHUNK_BYTES or len(self._sending) >= self._max_events:
            await self._send()

    async def _send(self) -> None:
        if not self._sending:
            return
        sent = await self._sender.send(self._sending)
        self._sending, self._sending_bytes = [], 0
        self.result.replayed += sent.delivered
        self.result.already_there += sent.already_there
        self.result.rejected_again += len(sent.rejected)
        self.result.kept += len(sent.unanswered)
        if sent.unanswered:
            self._given_up = True
            self.result.failure = f"gave up, and kept the dead letters: {sent.reason}"
        await self._keep(
            [encode_dead_letter(dead_letter) for dead_letter in (*sent.rejected, *sent.unanswered)]
        )

    async def _keep(self, lines: Sequence[bytes]) -> None:
        self._kept_lines += lines
        self._kept_bytes += sum(map(len, lines))
        if self._kept_bytes >= _CHUNK_BYTES:
            await self._put_back()

    async def _put_back(self) -> None:
        lines, self._kept_lines, self._kept_bytes = self._kept_lines, [], 0
        if not lines or self._cannot_put_back:
            return
        try:
            await self._dead_letters.put_back(lines)
        except (OSError, DeadLettersFullError) as error:
            where = self._dead_letters.path
            why = write_failure(where, error) if isinstance(error, OSError) else f"{where}: {error}"
            self._stop_deleting(f"dead letters could not be put back: {why}")

    def _stop_deleting(self, message: str) -> None:
        self._cannot_put_back = True
        self.result.failure = (
            f"{message}; nothing is deleted, and the next replay continues with "
            f"{self._dead_letters.path.parent}/dead-letter.replay-*.ndjson"
        )


def _delete(path: Path) -> None:
    path.unlink()
    sync_directory(path.parent)
