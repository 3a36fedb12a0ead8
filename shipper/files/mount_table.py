"""The lines of the mount table: proc_pid_mountinfo(5). Total: whatever a line has, none raises."""

import os
import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

TABLE = "/proc/self/mountinfo"

_ESCAPED = re.compile(r"\\([0-3][0-7]{2})")

#: Numbers of devices have 12 and 20 bits; of more digits than this none is one.
_MOST_DIGITS = 9


class Mounted(NamedTuple):
    """What is mounted somewhere."""

    #: As in the table: `8:1`.
    device: str
    path: str
    #: The type of the file system, as `fuse.sshfs`.
    kind: str

    @property
    def number(self) -> int | None:
        """The device as stat(2) has it; None if it is no number."""
        major, _, minor = self.device.partition(":")
        if not all(each.isdecimal() and len(each) <= _MOST_DIGITS for each in (major, minor)):
            return None
        return os.makedev(int(major), int(minor))


def mounted(line: str) -> Mounted | None:
    """The mount in a line; None if there is none."""
    before, _, after = line.rstrip("\n").partition(" - ")
    fields, kind = before.split(" "), after.split(" ")[0]
    if len(fields) < 5 or not kind:
        return None
    path = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
    return Mounted(fields[2], path, kind)


def type_in_mounts(table: Iterable[str], device: str) -> str:
    """The type of the file system of a device (`8:1`) in the lines of such a table; empty if it is
    not listed. What a line has that is no mount is passed over."""
    found = (mounted(line) for line in table)
    return next((each.kind for each in found if each and each.device == device), "")


@cache
def file_system_of(device: int) -> str:
    """The type of the file system of that device number (proc_pid_mountinfo(5)); empty if it is not
    listed."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        # A carriage return in the name of a mount point ends no line.
        with open(TABLE, encoding="utf-8", errors="replace", newline="\n") as table:
            return type_in_mounts(table, wanted)
    except OSError:
        return ""
