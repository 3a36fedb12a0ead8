"""Who holds a lock of flock(2), without taking it: as the kernel lists the locks in /proc/locks."""

import os
from pathlib import Path

PROC = Path("/proc")


def holder_of(path: Path, proc: Path = PROC) -> int | None:
    """The id of a process that has the file locked; None if no process that can be seen has (one of
    another container cannot), or the file is not there."""
    try:
        found = os.stat(path)
        lines = (proc / "locks").read_text().splitlines()
    except OSError:
        return None
    number = str(found.st_ino)
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    others = []
    for line in lines:
        # 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
        fields = line.split()
        if len(fields) < 8 or fields[1] != "FLOCK" or not fields[4].isdecimal():
            continue
        major_minor, _, inode = fields[5].rpartition(":")
        if inode != number:
            continue
        if major_minor == device:
            return int(fields[4])
        others.append(int(fields[4]))
    # btrfs and overlayfs tell stat(2) of another device than the kernel has for the inode.
    return next((process for process in others if _has_open(process, path, proc)), None)


def _has_open(process: int, path: Path, proc: Path) -> bool:
    """Whether the process has the file open, as far as that can be seen."""
    directory = proc / str(process) / "fd"
    try:
        wanted = os.path.realpath(path)
        return any(os.readlink(directory / name) == wanted for name in os.listdir(directory))
    except OSError:
        return False
