"""`shipper deadletter show`: the dead letters for people, or as they are."""

import heapq
import itertools
from pathlib import Path
from typing import BinaryIO

from shipper.dead_letters.files import Complain, all_dead_letters
from shipper.dead_letters.selection import Selection
from shipper.dead_letters.summary import Summary, dead_letter_in_words

#: How many letters people are shown if they do not say.
SHOWN = 20


def show(
    path: Path, choice: Selection, limit: int | None, out: BinaryIO, complain: Complain
) -> None:
    """Writes the newest `limit` (SHOWN if None) letters, the newest last, and a summary of all
    that are chosen. Raises DeadLetterError."""
    summary = Summary()
    newest: list[tuple[float, int, str]] = []
    order = itertools.count()
    most = SHOWN if limit is None else limit
    there = 0
    with all_dead_letters(path, complain) as found:
        for dead_letter in (each.dead_letter for each in found if each.dead_letter is not None):
            there += 1
            if choice.takes(dead_letter):
                summary.add(dead_letter)
                heapq.heappush(
                    newest, (dead_letter.time, next(order), dead_letter_in_words(dead_letter))
                )
                if len(newest) > most:
                    heapq.heappop(newest)
    if not summary.count:
        none = f"none of the {there} dead letters" if there else "there are no dead letters"
        out.write(f"{none} {'is meant' if there else f'in {path.parent}'}\n".encode())
        return
    for _, _, words in sorted(newest):
        out.write(words.encode())
    if newest:
        out.write(b"\n")
    if len(newest) < summary.count:
        out.write(
            f"these are the newest {len(newest)} of {summary.count}; --limit {summary.count} shows "
            "all of them\n\n".encode()
        )
    out.writelines(f"{line}\n".encode() for line in summary.lines())
    out.write(
        f"\n{summary.count} of {there} dead letters; once the cause is mended, "
        "`shipper deadletter replay` sends them again\n".encode()
    )


def show_json(
    path: Path, choice: Selection, limit: int | None, out: BinaryIO, complain: Complain
) -> None:
    """Writes the letters as they are in the files, or the newest `limit` of them, the newest last.

    Raises DeadLetterError.
    """
    order = itertools.count()
    with all_dead_letters(path, complain) as found:
        chosen = (
            (each.dead_letter.time, next(order), each.line)
            for each in found
            if each.dead_letter is not None and choice.takes(each.dead_letter)
        )
        newest = chosen if limit is None else reversed(heapq.nlargest(limit, chosen))
        out.writelines(line for _, _, line in newest)
