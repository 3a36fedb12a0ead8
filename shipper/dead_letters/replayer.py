"""Works off files of dead letters that were moved aside: what is chosen is sent, the rest put back.

A file is deleted only once every letter of it was taken by Elasticsearch or is written, and synced,
to the dead letter file again.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shipper.dead_letters.files import Complain, dead_letters_of
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
    refused_again: int = 0
    kept: int = 0
    #: In words, why not all that was chosen went through, besides what was refused again.
    trouble: str = ""

    @property
    def all_went_through(self) -> bool:
        return not (self.refused_again or self.trouble)

    def __str__(self) -> str:
        return (
            f"replayed {self.replayed}, already there {self.already_there}, "
            f"refused again {self.refused_again}, kept {self.kept}"
        )


class Replayer:
    """Works off files that were moved aside."""

    def __init__(
        self,
        dead_letters: DeadLetterFile,
        sender: DeadLetterSender,
        choice: Selection,
        *,
        limit: int | None,
        max_events: int,
        complain: Complain,
    ) -> None:
        """`limit`: how many letters are sent at the most; `max_events`: how many in a request."""
        self.tally = ReplayResult()
        self._dead_letters = dead_letters
        self._sender = sender
        self._choice = choice
        self._max_events = max_events
        self._complain = complain
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
            with dead_letters_of(source, self._complain) as found:
                for each in found:
                    if each.dead_letter is None:
                        await self._stay([each.line])
                    elif (sendable := self._chosen(each.dead_letter)) is None:
                        self.tally.kept += 1
                        await self._stay([each.line])
                    else:
                        await self._take(sendable, len(each.line))
                await self._send()
                await self._put_back()
            if not self._stuck:
                _delete(source)
        except OSError as error:
            self._get_stuck(f"a file of letters cannot be worked off: {error}")

    def _chosen(self, dead_letter: DeadLetter) -> ReplayItem | None:
        if self._given_up or self._stuck or not self._left:
            return None
        if not self._choice.takes(dead_letter):
            return None
        lines = lines_to_send(dead_letter)
        if lines is None:
            self.tally.trouble = self.tally.trouble or (
                "letters of an older shipper do not hold their document, and cannot be sent again; "
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
        self.tally.replayed += sent.delivered
        self.tally.already_there += sent.already_there
        self.tally.refused_again += len(sent.refused)
        self.tally.kept += len(sent.unanswered)
        if sent.unanswered:
            self._given_up = True
            self.tally.trouble = f"given up, the letters are kept: {sent.why}"
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
            self._get_stuck(f"letters could not be put back: {error}")

    def _get_stuck(self, why: str) -> None:
        self._stuck = True
        self.tally.trouble = (
            f"{why}; nothing is deleted, and the next replay goes on with what is in "
            f"{self._dead_letters.path.parent}/dead-letter.replay-*.ndjson"
        )


def _delete(path: Path) -> None:
    path.unlink()
    sync_directory(path.parent)
