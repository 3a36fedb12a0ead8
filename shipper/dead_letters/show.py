"""`shipper deadletter show`: prints dead letters as text, or as the JSON of the files."""

import heapq
import itertools
from pathlib import Path
from typing import BinaryIO

from shipper.dead_letters.files import Warn, all_dead_letters
from shipper.dead_letters.selection import Selection
from shipper.dead_letters.summary import Summary, format_dead_letter

#: The default number of dead letters in text output.
SHOWN = 20


def show(path: Path, selection: Selection, limit: int | None, out: BinaryIO, warn: Warn) -> None:
    """Writes the newest `limit` (SHOWN if None) dead letters, the newest last, and a summary of all
    selected ones. Raises DeadLetterError."""
    summary = Summary()
    newest: list[tuple[float, int, str]] = []
    order = itertools.count()
    maximum = SHOWN if limit is None else limit
    total = 0
    with all_dead_letters(path, warn) as found:
        for dead_letter in (each.dead_letter for each in found if each.dead_letter is not None):
            total += 1
            if selection.matches(dead_letter):
                summary.add(dead_letter)
                heapq.heappush(
                    newest, (dead_letter.time, next(order), format_dead_letter(dead_letter))
                )
                if len(newest) > maximum:
                    heapq.heappop(newest)
    if not summary.count:
        none = f"no dead letters in {path.parent}"
        if total:
            none = f"none of the {total} dead letters is selected"
        out.write(f"{none}\n".encode())
        return
    for _, _, text in sorted(newest):
        out.write(text.encode())
    if newest:
        out.write(b"\n")
    if len(newest) < summary.count:
        out.write(
            f"the newest {len(newest)} of {summary.count}; --limit {summary.count} shows "
            "all of them\n\n".encode()
        )
    out.writelines(f"{line}\n".encode() for line in summary.lines())
    out.write(
        f"\n{summary.count} of {total} dead letters; when the cause is fixed, "
        "`shipper deadletter replay` sends them again\n".encode()
    )


def show_json(
    path: Path, selection: Selection, limit: int | None, out: BinaryIO, warn: Warn
) -> None:
    """Writes the lines of the files, or the newest `limit` of them, the newest last.

    Raises DeadLetterError.
    """
    order = itertools.count()
    with all_dead_letters(path, warn) as found:
        chosen = (
            (each.dead_letter.time, next(order), each.line)
            for each in found
            if each.dead_letter is not None and selection.matches(each.dead_letter)
        )
        newest = chosen if limit is None else reversed(heapq.nlargest(limit, chosen))
        out.writelines(line for _, _, line in newest)
