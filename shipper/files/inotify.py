"""inotify(7): what happens to the names in directories, and which files in them are written to.

The calls are made through ctypes. Of the libraries that were looked at, `inotify_simple` looks for
the C library with a subprocess and reads the whole queue at once, and `asyncinotify` makes a `Path`
of each event; what is left without that are these three calls. Names are bytes to the kernel; here
they are text as `os.fsdecode` makes it, which gives any bytes back.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

import msgspec

from shipper.libc import call

MODIFY: Final = 0x00000002
MOVED_FROM: Final = 0x00000040
MOVED_TO: Final = 0x00000080
CREATE: Final = 0x00000100
DELETE: Final = 0x00000200
DELETE_SELF: Final = 0x00000400
MOVE_SELF: Final = 0x00000800
UNMOUNT: Final = 0x00002000
OVERFLOW: Final = 0x00004000
IGNORED: Final = 0x00008000
ONLY_DIRECTORY: Final = 0x01000000

#: What is called here.
CALLS = ("inotify_init1", "inotify_add_watch", "inotify_rm_watch")

#: Of one read, in bytes: about two thousand events with names as Tetragon has them.
_READ_BYTES = 64 * 1024

# `struct inotify_event` without the name: watch descriptor, mask, cookie, length of the name.
_HEAD = struct.Struct("iIII")


class Event(msgspec.Struct, frozen=True, gc=False):
    """What the kernel tells of one watch; of none (-1) that its queue was full."""

    watch: int
    mask: int
    #: In the directory that is watched; empty if it is about that itself.
    name: str


class Inotify:
    """One instance. Every method raises OSError as the system call below it does. `add` may be
    called by any thread."""

    def __init__(self) -> None:
        self._descriptor = call("inotify_init1", ctypes.c_int(os.O_NONBLOCK | os.O_CLOEXEC))
        self._lock = Lock()
        # How many threads add a watch now.
        self._adding = 0
        self._is_closed = False

    def fileno(self) -> int:
        """Is ready to be read when something was told."""
        return self._descriptor

    def add(self, path: str, mask: int) -> int:
        """Watches what stands at that path, which may hang with its mount; returns the descriptor
        of the watch. One inode has one watch in an instance: adding it by another path gives the
        same descriptor."""
        name = os.fsencode(path)
        with self._open():
            return call(
                "inotify_add_watch",
                ctypes.c_int(self._descriptor),
                ctypes.c_char_p(name),
                ctypes.c_uint32(mask),
                path=path,
            )

    def remove(self, watch: int) -> None:
        """Ends a watch. What was told of it before may still be read."""
        call("inotify_rm_watch", ctypes.c_int(self._descriptor), ctypes.c_int(watch))

    def read(self) -> bytes:
        """What was told since the last call, a bounded number of events, for `events_in`; empty if
        nothing was."""
        try:
            return os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Gives the descriptor back, when no thread needs it any more; all watches end."""
        with self._lock:
            self._is_closed = True
            if not self._adding:
                os.close(self._descriptor)

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._is_closed:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._adding += 1
        try:
            yield
        finally:
            self._added()

    def _added(self) -> None:
        with self._lock:
            self._adding -= 1
            if self._is_closed and not self._adding:
                os.close(self._descriptor)


def events_in(data: bytes) -> list[Event]:
    """What was read."""
    events, at = [], 0
    while at + _HEAD.size <= len(data):
        watch, mask, _, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size + length
        name = data[at - length : at].rstrip(b"\0")
        events.append(Event(watch, mask, os.fsdecode(name)))
    return events
