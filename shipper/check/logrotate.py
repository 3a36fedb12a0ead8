"""Which logs logrotate rotates without `allowhardlink`: it leaves out a file with two names, and
shipper gives a file a second one, in `.shipper`, as long as it follows the file.

Reads logrotate's configuration as far as that needs: globs of logs, `include`, and whether the
option is on; not scripts.
"""

import glob
import itertools
import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

#: Where distributions have it.
PATHS = (Path("/etc/logrotate.conf"), Path("/etc/logrotate.d"))

#: How much of one file is read, in bytes, and of how many files.
_MAX_BYTES = 1024**2
_MAX_FILES = 1000

#: How many of the files that a glob matches are looked at.
_MAX_MATCHES = 10_000

#: Names in a directory that logrotate leaves out, as far as packages and editors make them.
_LEFT_OUT = (",v", "~", ".bak", ".cfsaved", ".disabled", ".rpmnew", ".rpmorig", ".rpmsave", ".swp")

_SCRIPTS = frozenset({"prerotate", "postrotate", "firstaction", "lastaction", "preremove"})


class Rotated(Struct, frozen=True):
    """Logs that are rotated without `allowhardlink`."""

    #: The configuration file, and the line of the block, from 1.
    file: str
    line: int
    patterns: tuple[str, ...]


def rotated_without_hard_links(paths: Sequence[Path] = PATHS) -> list[Rotated]:
    """What the configuration in these files and directories says. What cannot be read is left out:
    it never raises OSError."""
    return list(_Reader().read(paths))


def files_of(pattern: str) -> Iterator[str]:
    """The files that one of logrotate's globs matches now."""
    return itertools.islice(glob.iglob(pattern), _MAX_MATCHES)


class _Reader:
    """Reads files in the order in which logrotate does: an option outside of a block holds for all
    blocks after it."""

    def __init__(self) -> None:
        self._allowed = False
        self._seen: set[str] = set()

    def read(self, paths: Sequence[Path]) -> Iterator[Rotated]:
        for path in paths:
            for file in _files(path):
                real = os.path.realpath(file)
                if real not in self._seen and len(self._seen) < _MAX_FILES:
                    self._seen.add(real)
                    yield from self._read_file(file)

    def _read_file(self, file: Path) -> Iterator[Rotated]:
        block: Rotated | None = None  # The block that the line is in.
        allowed = False
        in_script = False
        words: list[str] = []  # The logs of a block that has not begun.
        for number, text in enumerate(_lines(file), 1):
            line = text.strip()
            first = line.split(maxsplit=1)[0] if line else ""
            if in_script:
                in_script = first != "endscript"
            elif not line or line.startswith("#"):
                continue
            elif block is not None:
                if line.startswith("}"):
                    if not allowed:
                        yield block
                    block = None
                elif first in _SCRIPTS:
                    in_script = True
                elif first in ("allowhardlink", "noallowhardlink"):
                    allowed = first == "allowhardlink"
            elif words or line[0] in "/\"'{":
                names, brace, rest = line.partition("{")
                words += _words(names)
                if brace:
                    block, words = Rotated(str(file), number, tuple(words)), []
                    allowed = self._allowed or "allowhardlink" in rest.split()
                    if rest.rstrip().endswith("}"):
                        if not allowed:
                            yield block
                        block = None
            elif first in _SCRIPTS:
                in_script = True
            elif first in ("allowhardlink", "noallowhardlink"):
                self._allowed = first == "allowhardlink"
            elif first == "include" and (included := _words(line)[1:]):
                yield from self.read([Path(included[0])])


def _files(path: Path) -> list[Path]:
    """The file, or those in the directory, by name."""
    try:
        if not path.is_dir():
            return [path]
        return sorted(each for each in path.iterdir() if not _is_left_out(each.name))
    except OSError:
        return []


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name.endswith(_LEFT_OUT) or ".dpkg-" in name or ".ucf-" in name


def _lines(file: Path) -> list[str]:
    """The lines of a regular file, or none. A FIFO does not block."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return []
        return os.fsdecode(os.pread(descriptor, _MAX_BYTES, 0)).splitlines()
    except OSError:
        return []
    finally:
        os.close(descriptor)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
