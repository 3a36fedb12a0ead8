"""Reads the files with dead letters, oldest first, line by line, while a daemon may be running.

dead-letter.replay-*.ndjson   moved aside by a replay that is running or was killed
dead-letter.ndjson.1          full
dead-letter.ndjson            the daemon writes to it
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shipper.errors import DeadLetterError, reason_of
from shipper.option_names import option
from shipper.output.appending import is_of_disk, locked, sync_directory
from shipper.output.dead_letter import DeadLetter, read_dead_letter
from shipper.output.dead_letter_file import lock_of, predecessor

_ASIDE = re.compile(r"dead-letter\.replay-(\d+)\.ndjson")

#: Reports a line that is skipped.
Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OpenFile:
    """One of the files, open; `size`: bytes that are read of it."""

    path: Path
    file: BinaryIO
    size: int


@dataclass(frozen=True, slots=True)
class DeadLetterLine:
    """One line of a file."""

    #: With its newline.
    line: bytes
    #: None if the line is damaged.
    dead_letter: DeadLetter | None


@contextlib.contextmanager
def all_dead_letters(path: Path, warn: Warn) -> Iterator[Iterator[DeadLetterLine]]:
    """Every line of the file at `path` and of the files beside it, as a snapshot.

    Later writes and renames do not change the result. Raises DeadLetterError.
    """
    with contextlib.ExitStack() as files:
        try:
            with _write_lock(path):
                opened = [files.enter_context(_open(each)) for each in _files(path)]
        except OSError as error:
            raise unusable(path.parent, error) from error
        yield (found for each in opened for found in _read(each, warn))


@contextlib.contextmanager
def dead_letters_of(path: Path, warn: Warn) -> Iterator[Iterator[DeadLetterLine]]:
    """The lines of one file that is not written to any more. Raises OSError."""
    with _open(path) as opened:
        yield _read(opened, warn)


def move_aside(path: Path) -> list[Path]:
    """Renames the files so that no daemon changes them; returns all files aside, oldest first.

    Raises OSError; files that were renamed by then stay aside for the next replay.
    """
    aside = _aside(path.parent)
    with locked(lock_of(path)):
        for each in (predecessor(path), path):
            number = _number(aside[-1]) + 1 if aside else 1
            target = path.with_name(f"dead-letter.replay-{number:04}.ndjson")
            with contextlib.suppress(FileNotFoundError):
                aside.append(each.rename(target))
    sync_directory(path.parent)
    return aside


def owner_of(path: Path) -> int | None:
    """The user id of the files' owner; None without files. Raises DeadLetterError."""
    try:
        return next((each.stat().st_uid for each in reversed(_files(path))), None)
    except OSError as error:
        raise unusable(path.parent, error) from error


def unusable(directory: Path, error: OSError, what: str = "read") -> DeadLetterError:
    """The error if the dead letters cannot be read, or `what` else."""
    if is_of_disk(error):
        return DeadLetterError(
            f"the dead letters cannot be {what}: {reason_of(error)}",
            where=f"the disk of {directory}",
            what_to_do=f"free space on the disk of {option('data_dir')}, or mount it writable",
        )
    return DeadLetterError(
        f"the dead letters cannot be {what}: {reason_of(error)}",
        where=str(error.filename or directory),
        what_to_do=f"be the user that shipper runs as, and check {option('data_dir')}",
    )


def _files(path: Path) -> list[Path]:
    ours = [each for each in (predecessor(path), path) if each.exists()]
    return _aside(path.parent) + ours


def _aside(directory: Path) -> list[Path]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    found = [directory / name for name in names if _ASIDE.fullmatch(name)]
    return sorted(found, key=_number)


def _number(path: Path) -> int:
    found = _ASIDE.fullmatch(path.name)
    return int(found[1]) if found else 0


@contextlib.contextmanager
def _write_lock(path: Path) -> Iterator[None]:
    """Prevents writes and renames. Creates no file, so that read permission is sufficient."""
    try:
        lock = os.open(lock_of(path), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        # No dead letter was ever written.
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[OpenFile]:
    with path.open("rb") as file:
        yield OpenFile(path, file, os.fstat(file.fileno()).st_size)


def _read(opened: OpenFile, warn: Warn) -> Iterator[DeadLetterLine]:
    for number, line in enumerate(_lines(opened), 1):
        dead_letter = read_dead_letter(line)
        if dead_letter is not None:
            yield DeadLetterLine(line if line.endswith(b"\n") else line + b"\n", dead_letter)
        elif not line.endswith(b"\n"):
            # Its event does not count as processed: the daemon sends it again.
            warn(f"{opened.path}, line {number}: an incomplete dead letter; skipped")
        elif line.strip():
            warn(f"{opened.path}, line {number}: not a dead letter; skipped")
            yield DeadLetterLine(line, None)


def _lines(opened: OpenFile) -> Iterable[bytes]:
    left = opened.size
    while left > 0 and (line := opened.file.readline(left)):
        left -= len(line)
        yield line
