"""The edge to the file system: every look at a watched log goes through a `FileSystem`.

It exists so that a test can put a fault (EIO, EMFILE, EACCES) behind any of its calls, and so that
there is one answer to "may this read block the event loop": a page that is in the cache is read at
once (RWF_NOWAIT), anything else is read by a worker thread.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Generator, Iterator
from itertools import islice

from msgspec.structs import replace

from shipper.files.facts import (
    Appended,
    DirectoryFacts,
    FileFacts,
    Inode,
    directory_facts,
    file_facts,
    inode_in,
)
from shipper.files.mount_table import file_system_of
from shipper.libc import call, has_calls
from shipper.offload import ThreadPool

#: File systems that live in memory: reading them never waits for a device, and they know no
#: RWF_NOWAIT. /var/run, where Tetragon's older charts export to, is one.
_MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})

#: File systems of several machines, which hang when another one is gone. Who writes on another one
#: is not known here, and a lease is refused for other reasons than a writer, too.
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "gfs2", "ocfs2", "lustre", "virtiofs"}
)

#: Of a file on Linux, in bytes.
_LARGEST_OFFSET = 2**63 - 1

#: So many reads of one device, and so many gzips on one, are in threads at the same time.
_READS_OF_A_DEVICE, _GZIPS_OF_A_DEVICE = 4, 4

# statx(2), which Python has no call for; the numbers are those of linux/stat.h.
_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
_STATX_BYTES = 256
_BORN_SECONDS = 80

# `struct flock` (fcntl(2)): kind, whence, start, length, process, and the padding at its end.
_LOCK = "hhqqi4x"


class FileSystem:
    """The real one. Every method raises OSError as the system call below it does."""

    def __init__(self) -> None:
        self._read_flags: dict[int, int] = {}
        #: The threads of reads that wait for a device, and of gzips that are inflated. A lane is
        #: the number of a device.
        self.reading = ThreadPool("read", each=_READS_OF_A_DEVICE)
        self.inflating = ThreadPool("inflate", each=_GZIPS_OF_A_DEVICE)

    @property
    def hanging(self) -> int:
        """How many calls other than reads have not returned yet, and nobody waits for them."""
        return 0

    def list_directory(self, path: str) -> Iterator[os.DirEntry[str]]:
        """The entries of a directory, one at a time, in no order; `.` and `..` are none.

        Their `inode()` is not to be used: on FUSE, overlayfs and at mount points it is not that of
        `stat`.
        """
        with os.scandir(path) as entries:
            yield from entries

    def names(self, directory: str | int) -> Generator[str, None, None]:
        """The names in a directory, at a path or open, one at a time, in no order: somebody may
        have put a million there. Close it if you do not go to its end."""
        with os.scandir(directory) as entries:
            for entry in entries:
                yield entry.name

    def first_names(self, directory: str | int, most: int) -> list[str] | None:
        """The same together; None if there are more than `most`."""
        with contextlib.closing(self.names(directory)) as names:
            found = list(islice(names, most + 1))
        return found if len(found) <= most else None

    def status(self, path: str) -> os.stat_result:
        """What stat(2) says of what stands at that path, symbolic links followed."""
        return os.stat(path)

    def inode_of(self, path: str) -> Inode | None:
        """Which file stands at that path, links followed; None if it is not a regular file."""
        found = self.status(path)
        return inode_in(found) if stat.S_ISREG(found.st_mode) else None

    def is_link(self, path: str) -> bool:
        """Whether a symbolic link stands at that path itself."""
        return os.path.islink(path)

    def open(self, path: str, *, symlinks: bool = True) -> int:
        """A descriptor to read from. Never blocks on a FIFO, is not inherited by children.

        Without `symlinks` a symbolic link as the last component is ELOOP. Of a log that an input
        watches it is `opening.LogOpener` that calls this.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        return os.open(path, flags if symlinks else flags | os.O_NOFOLLOW)

    def facts(self, descriptor: int) -> FileFacts:
        found = os.fstat(descriptor)
        return file_facts(found)

    def has_writer(self, descriptor: int, device: int) -> bool | None:
        """Whether any process has the file open to write; None where the kernel does not say.

        Asks for a read lease (fcntl(2), F_SETLEASE), which is refused while there is a writer, and
        gives it back at once. Who opens the file to write in between waits for that, and SIGIO is
        sent to us: ignore that signal, and ask only of files that have no name.
        """
        if file_system_of(device) in NETWORK_FILE_SYSTEMS:
            return None
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        except OSError:
            return None  # Neither the owner nor CAP_LEASE; a file system that has no leases.
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False

    def born(self, descriptor: int) -> int | None:
        """When the file came into being (nanoseconds since the Unix epoch), whatever was written
        since; None where the file system or the C library does not tell."""
        if not has_calls(["statx"]):
            return None
        found = ctypes.create_string_buffer(_STATX_BYTES)
        here, wanted = ctypes.c_int(_AT_EMPTY_PATH), ctypes.c_uint(_STATX_BTIME)
        try:
            call("statx", ctypes.c_int(descriptor), b"", here, wanted, found)
        except OSError:
            return None
        (mask,) = struct.unpack_from("=I", found)
        if not mask & _STATX_BTIME:
            return None
        seconds, nanoseconds = struct.unpack_from("=qI", found, _BORN_SECONDS)
        return int(seconds) * 1_000_000_000 + int(nanoseconds)

    def open_private(self, path: str, *, create: bool) -> int:
        """A descriptor of a directory that belongs to us; no symbolic link is followed.

        Raises PermissionError, in words, for one of another user.
        """
        if create:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if os.fstat(descriptor).st_uid == os.geteuid():
            return descriptor
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "it belongs to another user", path)

    def directory_facts(self, path: str) -> DirectoryFacts:
        """What stands at that path itself."""
        return directory_facts(os.lstat(path))

    def facts_of_directory(self, directory: int) -> DirectoryFacts:
        """The same, of an open directory."""
        return directory_facts(os.fstat(directory))

    def make_private(self, directory: int, *, marked: bool) -> None:
        """Closes an open directory to everybody but its owner.

        `marked`: sets its sticky bit, which means nothing else in a directory that one user alone
        can enter. It stays when we end, and nobody else can take it away.
        """
        os.fchmod(directory, 0o1700 if marked else 0o700)

    def lock_shared(self, directory: int) -> None:
        """Says that we use an open directory, until it is closed. Never waits."""
        fcntl.flock(directory, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def is_locked_by_us_alone(self, directory: int) -> bool:
        """Whether nobody else has said so of that directory."""
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            # What is refused takes the lock that was held, too (flock(2)).
            with contextlib.suppress(BlockingIOError):
                self.lock_shared(directory)
        return True

    def lock_number(self, directory: int, number: int) -> None:
        """Says in an open directory, until it is closed, that whoever has this number runs: a lock
        on one byte of it (F_OFD_SETLK), beside that of `lock_shared`. Below 2^62. Never waits."""
        self._lock(directory, fcntl.F_OFD_SETLK, fcntl.F_RDLCK, number)

    def is_number_locked(self, directory: int, number: int) -> bool:
        """Whether anybody else has said so of that number; takes no lock itself."""
        found = self._lock(directory, fcntl.F_OFD_GETLK, fcntl.F_WRLCK, number)
        return found != fcntl.F_UNLCK

    def _lock(self, directory: int, command: int, kind: int, number: int) -> int:
        lock = struct.pack(_LOCK, kind, os.SEEK_SET, number, 1, 0)
        return int(struct.unpack(_LOCK, fcntl.fcntl(directory, command, lock))[0])

    def remove_directory(self, path: str) -> None:
        """Removes a directory if it is empty, and nothing is mounted there."""
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.EBUSY):
                raise

    def facts_in(self, directory: int, name: str) -> FileFacts:
        """What stat(2) says of a name in an open directory itself. What is on another file system
        than the directory counts as no regular file."""
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        facts = file_facts(found)
        is_here = found.st_dev == os.fstat(directory).st_dev
        return facts if is_here else replace(facts, is_regular=False)

    def open_in(self, directory: int, name: str) -> int:
        """As `open`, of a file in an open directory; no symbolic link is followed."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        return os.open(name, flags, dir_fd=directory)

    def link(self, descriptor: int, directory: int, name: str) -> None:
        """Gives an open file another name; whatever stands at its old name by now."""
        os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=directory, follow_symlinks=True)

    def rename_in(self, directory: int, name: str, new_name: str) -> None:
        """Gives a file in an open directory another name there."""
        os.rename(name, new_name, src_dir_fd=directory, dst_dir_fd=directory)

    def inode_in(self, directory: int, name: str) -> Inode:
        """Which file has that name in an open directory."""
        return inode_in(os.stat(name, dir_fd=directory, follow_symlinks=False))

    def size_in(self, directory: int, name: str) -> int:
        """How large that file is, in bytes."""
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_size

    def unlink(self, directory: int, name: str) -> None:
        os.unlink(name, dir_fd=directory)

    def peek(self, descriptor: int, count: int, offset: int) -> bytes:
        """A few bytes that were read a while ago, and so do not block."""
        return os.pread(descriptor, count, offset)

    def next_data(self, descriptor: int, offset: int) -> int:
        """Where, from `offset` on, a file has something else than a hole (lseek(2), SEEK_DATA): the
        size if it has nothing. `offset` itself where the file system does not tell."""
        try:
            return os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return max(offset, os.fstat(descriptor).st_size)
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                return offset
            raise

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    async def read(
        self, descriptor: int, device: int, buffer: bytearray | memoryview, offset: int
    ) -> int:
        """Reads into `buffer` from `offset` on; returns how many bytes, 0 at the end of the file.

        Fewer bytes than asked for do not mean the end.
        """
        buffer = _within_largest(buffer, offset)
        if self._flags(device) == 0:
            return os.preadv(descriptor, [buffer], offset)
        try:
            return os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
        return await self._read_in_thread(descriptor, device, buffer, offset)

    async def _read_in_thread(
        self, descriptor: int, device: int, buffer: bytearray | memoryview, offset: int
    ) -> int:
        buffer = _within_largest(buffer, offset)
        # Into memory of its own: who waits may be gone before the thread is.
        count = len(buffer)
        data = await self.reading(lambda: os.pread(descriptor, count, offset), device)
        buffer[: len(data)] = data
        return len(data)

    def appended(
        self,
        descriptor: int,
        device: int,
        buffer: bytearray,
        offset: int,
        head_start: int,
        head_bytes: int,
    ) -> Appended | None:
        """Reads all that is in a file from `offset` on, if there is something, it fits into
        `buffer`, and it is in the cache; otherwise None. With `head_bytes` from `head_start` on,
        which were read a while ago, and so do not block."""
        found = os.fstat(descriptor)
        count = found.st_size - offset
        if not 0 < count <= len(buffer):
            return None
        with memoryview(buffer)[:count] as view:
            if os.preadv(descriptor, [view], offset, self._flags(device)) != count:
                return None
        head = os.pread(descriptor, head_bytes, head_start)
        allocated = min(found.st_size, 512 * found.st_blocks)
        return Appended(head, found.st_size, found.st_mtime_ns, allocated)

    def _flags(self, device: int) -> int:
        """Those of a read that does not wait for a device."""
        flags = self._read_flags.get(device)
        if flags is None:
            in_memory = file_system_of(device) in _MEMORY_FILE_SYSTEMS
            flags = self._read_flags[device] = 0 if in_memory else os.RWF_NOWAIT
        return flags


def _within_largest(buffer: bytearray | memoryview, offset: int) -> bytearray | memoryview:
    """As much of it as can be read from `offset` on: preadv(2) refuses a range beyond the largest
    offset, and a file of holes may be as large."""
    if offset <= _LARGEST_OFFSET - len(buffer):
        return buffer
    return memoryview(buffer)[: max(0, _LARGEST_OFFSET - offset)]
