"""A mount that hangs when it is told to, as one of NFS whose server is gone:
``python -m tests.support.hanging_mount BACKING MOUNTPOINT PROGRAM ARGS…`` mounts a FUSE file
system, and becomes the program. It shows the files of the directory BACKING, read-only.

While a file ``BACKING/.hang-read`` exists, reads are not answered; while ``.hang`` exists, nothing
is. They are when the file is gone. Needs a mount namespace and a user namespace of its own
(`UNSHARE`), and ends with the program.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import stat
import struct
import subprocess
import sys
from enum import IntEnum
from pathlib import Path

UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")

READS, ALL = ".hang-read", ".hang"


class _Opcode(IntEnum):
    """Those of linux/fuse.h that are answered, or are no question."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    RELEASE = 18
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    INTERRUPT = 36
    BATCH_FORGET = 42


_IN, _OUT = "=IIQQIIII", "=IiQ"
_ATTR, _READ_IN, _DIRENT = "=6Q10I", "=QQII", "=QQII"
_FOPEN_DIRECT_IO = 1
_MINOR = 31
_ROOT = 1
_LONGEST = 1 << 20

_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4
_PR_SET_PDEATHSIG = 1


def command(backing: Path, mountpoint: Path) -> tuple[str, ...]:
    """What executes a program that is to see the mount (`DaemonProcess.executed_by`)."""
    return (*UNSHARE, sys.executable, "-m", __name__, str(backing), str(mountpoint))


def why_not() -> str:
    """Why there can be none on this machine; empty if there can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    command = [*UNSHARE, sys.executable, "-m", __name__, "/proc", "/sys", "true"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unshare (util-linux) is not installed"
    return found.stderr.strip()


class _Server:
    """Answers the kernel."""

    def __init__(self, device: int, backing: Path) -> None:
        self._device = device
        self._backing = backing
        self._nodes: dict[int, str] = {_ROOT: "."}
        self._numbers = {".": _ROOT}
        self._held: dict[int, bytes] = {}

    def serve(self) -> None:
        """Until the file system is not mounted any more."""
        while True:
            if select.select([self._device], [], [], 0.05)[0]:
                try:
                    request = os.read(self._device, _LONGEST)
                except OSError as error:
                    if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                        continue
                    return  # ENODEV
                self._take(request)
            held, self._held = self._held, {}
            for request in held.values():
                self._take(request)

    def _take(self, request: bytes) -> None:
        _, opcode, unique, node, *_ = struct.unpack_from(_IN, request)
        data = request[struct.calcsize(_IN) :]
        match opcode:
            case _Opcode.FORGET | _Opcode.BATCH_FORGET:
                return
            case _Opcode.INTERRUPT:
                self._interrupt(struct.unpack_from("=Q", data)[0])
                return
            case _Opcode.INIT:
                pass
            case _ if self._hangs(opcode):
                self._held[unique] = request
                return
        error, answer = 0, b""
        try:
            answer = self._answer(opcode, node, data)
        except OSError as failed:
            error = failed.errno or errno.EIO
        self._reply(unique, error, answer)

    def _hangs(self, opcode: int) -> bool:
        if (self._backing / ALL).exists():
            return True
        return opcode == _Opcode.READ and (self._backing / READS).exists()

    def _interrupt(self, unique: int) -> None:
        """Who waits for an answer was killed."""
        if self._held.pop(unique, None) is not None:
            self._reply(unique, errno.EINTR)

    def _reply(self, unique: int, error: int, answer: bytes = b"") -> None:
        try:
            header = struct.pack(_OUT, struct.calcsize(_OUT) + len(answer), -error, unique)
            os.write(self._device, header + answer)
        except OSError:
            pass  # Who asked was killed.

    def _answer(self, opcode: int, node: int, data: bytes) -> bytes:
        match opcode:
            case _Opcode.INIT:
                limits = 12, 9, 4096, 1, 0, 0
                return struct.pack("=IIIIHHIIHHII6I", 7, _MINOR, 0, 0, *limits, *[0] * 8)
            case _Opcode.LOOKUP:
                name = data.rstrip(b"\0").decode()
                attributes = self._attributes(name)
                return struct.pack("=QQQQII", self._number(name), 0, 0, 0, 0, 0) + attributes
            case _Opcode.GETATTR:
                return struct.pack("=QII", 0, 0, 0) + self._attributes(self._nodes[node])
            case _Opcode.OPEN | _Opcode.OPENDIR:
                return struct.pack("=QIi", 0, _FOPEN_DIRECT_IO, 0)
            case _Opcode.READ:
                _, offset, size, _ = struct.unpack_from(_READ_IN, data)
                with (self._backing / self._nodes[node]).open("rb") as file:
                    return os.pread(file.fileno(), size, offset)
            case _Opcode.READDIR:
                _, offset, size, _ = struct.unpack_from(_READ_IN, data)
                return self._entries(offset, size)
            case _Opcode.RELEASE | _Opcode.RELEASEDIR:
                return b""
        raise OSError(errno.ENOSYS, "")

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self._numbers) + 1)
        self._nodes[number] = name
        return number

    def _attributes(self, name: str) -> bytes:
        if name.startswith(".") and name != ".":
            raise OSError(errno.ENOENT, "")
        found = (self._backing / name).lstat()
        seconds = int(found.st_mtime)
        return struct.pack(
            _ATTR,
            self._number(name),
            found.st_size,
            found.st_blocks,
            *[seconds] * 3,
            *[found.st_mtime_ns % 10**9] * 3,
            found.st_mode,
            found.st_nlink,
            0,
            0,
            0,
            4096,
            0,
        )

    def _entries(self, offset: int, size: int) -> bytes:
        names = sorted(each.name for each in self._backing.iterdir() if each.name[0] != ".")
        found = b""
        for number, name in list(enumerate(names, 1))[offset:]:
            encoded = name.encode()
            entry = struct.pack(
                _DIRENT, self._number(name), number, len(encoded), stat.S_IFREG >> 12
            )
            entry += encoded + bytes(-(len(encoded)) % 8)
            if len(found) + len(entry) > size:
                break
            found += entry
        return found


def mount(backing: str, mountpoint: str) -> None:
    """Mounts it, and has another process serve it."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV
    if libc.mount(b"test", mountpoint.encode(), b"fuse", flags, options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), mountpoint)
    program = os.getpid()
    if os.fork():
        return
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        if os.getppid() == program:  # It may have ended before that.
            _Server(device, Path(backing)).serve()
    finally:
        os._exit(0)


if __name__ == "__main__":
    try:
        mount(sys.argv[1], sys.argv[2])
    except OSError as failure:
        sys.exit(f"no FUSE file system can be mounted: {failure}")
    os.execvp(sys.argv[3], sys.argv[3:])
