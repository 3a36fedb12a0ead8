"""Works off files of dead letters that were moved aside: what is chosen is sent, the rest put back.

A file is deleted only once every letter of it was taken by Elasticsearch or is written, and synced,
to the dead letter file again.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shipper.dead_letters.files import Warn, dead_letters_of
from shipper.dead_letters.selection import Selection
from shipper.dead_letters.sending import DeadLetterSender, ReplayItem
from shipper.output.appending import sync_directory
from shipper.output.dead_letter import (
    DeadLetter,
    DeadLetterFile,
    DeadLettersFullError,
    line_of,
    lines_to_send,
)

#: Of documents in a request, and of lines that wait to be put back, at the most: a replay shares
#: the container's memory with the daemon.
_PIECE_BYTES = 1024**2


@dataclass(slots=True)
class ReplayResult:
    """What became of the letters."""

    replayed: int = 0
    already_there: int = 0
    rejected_again: int = 0
    kept: int = 0
    #: In words, why not all that was selected is delivered, besides what was rejected again.
    failure: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether all that was selected is in the cluster."""
        return not (self.rejected_again or self.failure)

    def __str__(self) -> str:
        return (
            f"replayed {self.replayed}, already there {self.already_there}, "
            f"rejected again {self.rejected_again}, kept {self.kept}"
        )


class Replayer:
    """Works off files that were moved aside."""

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
        """`limit`: how many letters are sent at the most; `max_events`: how many in a request."""
        self.result = ReplayResult()
        self._dead_letters = dead_letters
        self._sender = sender
        self._selection = selection
        self._max_events = max_events
        self._warn = warn
        self._left = sys.maxsize if limit is None else limit
        self._sending: list[ReplayItem] = []
        self._sending_bytes = 0
        #: Lines that stay, and are not put back yet.
        self._staying: list[bytes] = []
        self._staying_bytes = 0
        #: Nothing is sent any more; letters are put back.
        self._given_up = False
        #: Letters cannot be put back: nothing is deleted any more.
        self._stuck = False

    async def replay_all(self, source: Path) -> None:
        """Returns once the file is done and deleted, or is left where it is for the next time."""
        try:
            with dead_letters_of(source, self._warn) as found:
                for each in found:
                    if each.dead_letter is None:
                        await self._stay([each.line])
                    elif (sendable := self._chosen(each.dead_letter)) is None:
                        self.result.kept += 1
                        await self._stay([each.line])
                    else:
                        await self._take(sendable, len(each.line))
                await self._send()
                await self._put_back()
            if not self._stuck:
                _delete(source)
        except OSError as error:
            self._stop_deleting(f"a file of dead letters cannot be replayed: {error}")

    def _chosen(self, dead_letter: DeadLetter) -> ReplayItem | None:
        if self._given_up or self._stuck or not self._left:
            return None
        if not self._selection.takes(dead_letter):
            return None
        lines = lines_to_send(dead_letter)
        if lines is None:
            self.result.failure = self.result.failure or (
                "dead letters of an older shipper have no document, and cannot be sent again; "
                "they are kept"
            )
            return None
        self._left -= 1
        return ReplayItem(dead_letter, lines)

    async def _take(self, sendable: ReplayItem, size: int) -> None:
        self._sending.append(sendable)
        self._sending_bytes += size
        if self._sending_bytes >= _PIECE_BYTES or len(self._sending) >= self._max_events:
            await self._send()

    async def _send(self) -> None:
        if not self._sending:
            return
        sent = await self._sender.send(self._sending)
        self._sending, self._sending_bytes = [], 0
        self.result.replayed += sent.delivered
        self.result.already_there += sent.already_there
        self.result.rejected_again += len(sent.refused)
        self.result.kept += len(sent.unanswered)
        if sent.unanswered:
            self._given_up = True
            self.result.failure = f"gave up, and kept the dead letters: {sent.why}"
        await self._stay(
            [line_of(dead_letter) for dead_letter in (*sent.refused, *sent.unanswered)]
        )

    async def _stay(self, lines: Sequence[bytes]) -> None:
        self._staying += lines
        self._staying_bytes += sum(map(len, lines))
        if self._staying_bytes >= _PIECE_BYTES:
            await self._put_back()

    async def _put_back(self) -> None:
        lines, self._staying, self._staying_bytes = self._staying, [], 0
        if not lines or self._stuck:
            return
        try:
            await self._dead_letters.put_back(lines)
        except (OSError, DeadLettersFullError) as error:
            self._stop_deleting(f"dead letters could not be put back: {error}")

    def _stop_deleting(self, why: str) -> None:
        self._stuck = True
        self.result.failure = (
            f"{why}; nothing is deleted, and the next replay continues with "
            f"{self._dead_letters.path.parent}/dead-letter.replay-*.ndjson"
        )


def _delete(path: Path) -> None:
    path.unlink()
    sync_directory(path.parent)
