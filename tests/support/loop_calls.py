"""A daemon that notes which of its calls on the event loop's thread ask a disk or a mount for
something by name: ``python -m tests.support.loop_calls REPORT -- ARGS``.

Such a call hangs as long as the mount does, and all of the daemon with it. Python tells an audit
hook of most of them; those of which it does not are wrapped. Each is a line of the report, once:

    os.stat shipper.files.filesystem:status < shipper.files.catalog:look
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

EVENTS = frozenset(
    {
        "open",
        "os.chmod",
        "os.chown",
        "os.getxattr",
        "os.link",
        "os.listdir",
        "os.listxattr",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.scandir",
        "os.symlink",
        "os.truncate",
        "os.utime",
        "pathlib.Path.glob",
        "pathlib.Path.rglob",
        "fcntl.flock",
        "fcntl.lockf",
        "shutil.copyfile",
        "shutil.move",
        "shutil.rmtree",
        "sqlite3.connect",
        "tempfile.mkstemp",
        "subprocess.Popen",
        "socket.getaddrinfo",
        "socket.gethostbyname",
    }
)
"""Of Python's table of audit events."""

WRAPPED = ("stat", "lstat", "statvfs", "fstatvfs", "access", "readlink", "fsync", "fdatasync")
"""Functions of `os` that have no event."""


class Notes:
    """What was noted."""

    def __init__(self, report: Path) -> None:
        self._report = report.open("a", buffering=1)
        self._known: set[str] = set()
        self._is_noting = False
        self.is_on = False

    def note(self, event: str) -> None:
        """A call on this thread, if it is the loop's."""
        if not self.is_on or self._is_noting or threading.current_thread() is not _MAIN:
            return
        self._is_noting = True  # What is noted is written to a file.
        try:
            line = f"{event} {_who(sys._getframe(2))}"
            if line not in self._known:
                self._known.add(line)
                self._report.write(f"{line}\n")
        finally:
            self._is_noting = False


_MAIN = threading.main_thread()


def _who(frame: FrameType | None) -> str:
    """The two innermost functions of shipper; the module that is imported, if one is."""
    names: list[str] = []
    while frame is not None and len(names) < 2:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("importlib") and frame.f_code.co_name == "_find_and_load":
            return f"import {frame.f_locals['name']}"
        # What guards a call is not who makes it.
        if module.startswith("shipper.") and module != "shipper.files.guarded":
            names.append(f"{module}:{frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(names) or "nobody"


def watch(notes: Notes) -> None:
    """Has the calls of this process noted."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        # A descriptor is open already: that is no name.
        if event in EVENTS and not (event != "fcntl.flock" and _is_descriptor(arguments)):
            notes.note(event)

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def noted(*arguments: Any, **named: Any) -> Any:
            if name.endswith("sync") or not _is_descriptor(arguments):
                notes.note(f"os.{name}")
            return call(*arguments, **named)

        return noted

    for name in WRAPPED:
        setattr(os, name, wrapped(name, getattr(os, name)))
    sys.addaudithook(hook)


def _is_descriptor(arguments: tuple[Any, ...]) -> bool:
    return bool(arguments) and isinstance(arguments[0], int)


def main() -> int:
    report, arguments = Path(sys.argv[1]), sys.argv[2:]
    # What stands before it is the program that would be run: python -m shipper.
    arguments = arguments[arguments.index("shipper") + 1 :]
    notes = Notes(report)
    watch(notes)
    from shipper import daemon
    from shipper.cli.shipper import main as shipper

    begin = daemon.Daemon._ship

    async def ship(self: daemon.Daemon, *given: Any) -> None:
        # From here on logs are read.
        notes.is_on = True
        try:
            await begin(self, *given)
        finally:
            notes.is_on = False

    setattr(daemon.Daemon, "_ship", ship)  # noqa: B010
    return shipper(arguments)


if __name__ == "__main__":
    sys.exit(main())
