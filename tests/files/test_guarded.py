"""Mounts that may hang: which they are, and that no call on one is made without the guard."""

from __future__ import annotations

import errno
import inspect
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipper.files.filesystem import FileSystem
from shipper.files.guarded import GuardedFileSystem, MountTable
from tests.support.faults import PATIENCE

LOCAL = "29 1 8:1 / / rw - ext4 /dev/sda1 rw"


def table(tmp_path: Path, *lines: str) -> MountTable:
    """That of a file."""
    path = tmp_path / "mountinfo"
    path.write_text("".join(f"{line}\n" for line in (LOCAL, *lines)))
    mounts = MountTable.__new__(MountTable)
    mounts._lock, mounts._mounts = threading.Lock(), ()
    mounts._table = os.open(path, os.O_RDONLY)
    mounts._read()
    os.close(mounts._table)
    mounts._table = -1
    return mounts


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("40 29 0:50 / /mnt rw shared:1 - nfs4 server:/ rw", "/mnt"),
        ("40 29 0:50 / /mnt\\040x rw - nfs server:/ rw", "/mnt x"),
        ("40 29 0:50 / /mnt rw - cifs //server/x rw", "/mnt"),
        ("40 29 0:50 / /mnt rw - ceph x rw", "/mnt"),
        ("40 29 0:50 / /mnt rw - virtiofs x rw", "/mnt"),
        ("40 29 0:50 / /mnt rw - fuse x rw", "/mnt"),
        ("40 29 0:50 / /mnt rw master:2 - fuse.sshfs x rw", "/mnt"),
        ("40 29 0:50 / /mnt rw - tmpfs x rw", None),
        ("40 29 0:50 / /mnt rw - fusectl x rw", None),
        ("40 29 0:50 / / rw - fuse.overlay x rw", None),
        ("40 29 x:y / /mnt rw - nfs x rw", None),
        ("40 29", None),
        ("", None),
        ("\udcff - nfs", None),
    ],
)
def test_which_mounts_may_hang(line: str, path: str | None, tmp_path: Path) -> None:
    line = line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    found = table(tmp_path, line).now()
    assert [mount.path for mount in found] == ([] if path is None else [path])


def test_the_table_of_this_machine_can_be_read() -> None:
    mounts = MountTable()
    assert all(mount.path.startswith("/") for mount in mounts.now())
    mounts.close()
    assert MountTable(lambda: os.open("/nowhere", os.O_RDONLY)).now() == ()


def test_no_method_of_the_file_system_is_left_out() -> None:
    own = {
        name
        for name, _ in inspect.getmembers(FileSystem, inspect.isfunction)
        if not name.startswith("_")
    }
    # Those that call others of these.
    composed = {"first_names", "inode_of"}
    guarded = set(vars(GuardedFileSystem))
    assert own - composed <= guarded
    assert not composed & guarded


@pytest.fixture
def mounted(tmp_path: Path) -> GuardedFileSystem:
    """A directory counts as a mount that may hang."""
    device = os.stat(tmp_path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    place = tmp_path / "mount"
    place.mkdir()
    (place / "a.log").write_bytes(b"line\n")
    mounts = table(tmp_path, f"40 29 {number} / {place} rw - nfs4 server:/ rw")
    return GuardedFileSystem(mounts, seconds=0.05)


def hung(files: GuardedFileSystem, device: int) -> Callable[[], None]:
    """Has a call hang; returns what ends that."""
    answered = threading.Event()
    with pytest.raises(TimeoutError):
        files._of(device, lambda: answered.wait(PATIENCE))
    return answered.set


def test_each_call_on_a_mount_that_hangs_fails_at_once(
    mounted: GuardedFileSystem, tmp_path: Path
) -> None:
    path = str(tmp_path / "mount" / "a.log")
    descriptor = mounted.open(path)
    directory = mounted.open_private(str(tmp_path / "mount" / "private"), create=True)
    device = mounted._devices[descriptor]
    answer = hung(mounted, device)
    calls: dict[str, Callable[[], Any]] = {
        "list_directory": lambda: list(mounted.list_directory(str(tmp_path / "mount"))),
        "names": lambda: list(mounted.names(directory)),
        "first_names": lambda: mounted.first_names(str(tmp_path / "mount"), 5),
        "status": lambda: mounted.status(path),
        "inode_of": lambda: mounted.inode_of(path),
        "is_link": lambda: mounted.is_link(path),
        "open": lambda: mounted.open(path),
        "open_private": lambda: mounted.open_private(path, create=True),
        "directory_facts": lambda: mounted.directory_facts(path),
        "remove_directory": lambda: mounted.remove_directory(path),
        "facts": lambda: mounted.facts(descriptor),
        "has_writer": lambda: mounted.has_writer(descriptor, device),
        "born": lambda: mounted.born(descriptor),
        "peek": lambda: mounted.peek(descriptor, 4, 0),
        "next_data": lambda: mounted.next_data(descriptor, 0),
        "facts_of_directory": lambda: mounted.facts_of_directory(directory),
        "make_private": lambda: mounted.make_private(directory, marked=False),
        "lock_shared": lambda: mounted.lock_shared(directory),
        "is_locked_by_us_alone": lambda: mounted.is_locked_by_us_alone(directory),
        "lock_number": lambda: mounted.lock_number(directory, 1),
        "is_number_locked": lambda: mounted.is_number_locked(directory, 1),
        "facts_in": lambda: mounted.facts_in(directory, "x"),
        "open_in": lambda: mounted.open_in(directory, "x"),
        "link": lambda: mounted.link(descriptor, directory, "x"),
        "rename_in": lambda: mounted.rename_in(directory, "x", "y"),
        "inode_in": lambda: mounted.inode_in(directory, "x"),
        "size_in": lambda: mounted.size_in(directory, "x"),
        "unlink": lambda: mounted.unlink(directory, "x"),
    }
    for name, call in calls.items():
        with pytest.raises(TimeoutError) as raised:
            call()
        assert raised.value.errno == errno.ETIMEDOUT, name
        assert raised.value.strerror == "no answer within 0.05 s: its mount hangs", name
    assert mounted.appended(descriptor, device, bytearray(100), 0, 0, 4) is None
    assert set(calls) | {"appended", "close", "read"} == {
        name
        for name, _ in inspect.getmembers(FileSystem, inspect.isfunction)
        if not name.startswith("_")
    }
    # Elsewhere nothing hangs.
    other = tmp_path / "other.log"
    other.write_bytes(b"x\n")
    assert mounted.inode_of(str(other)) is not None
    # What is closed is closed when the mount answers.
    mounted.close(descriptor)
    os.fstat(descriptor)
    answer()
    wait_until_closed(descriptor)
    mounted.close(directory)
    assert mounted.hanging == 0


def wait_until_closed(descriptor: int) -> None:
    for _ in range(1000):
        try:
            os.fstat(descriptor)
        except OSError:
            return
        threading.Event().wait(0.01)
    raise AssertionError("it is still open")


def test_a_descriptor_that_comes_too_late_is_closed(
    mounted: GuardedFileSystem, tmp_path: Path
) -> None:
    path, answered, late = str(tmp_path / "mount" / "a.log"), threading.Event(), list[int]()

    def slow() -> int:
        answered.wait(PATIENCE)
        late.append(os.open(path, os.O_RDONLY))
        return late[0]

    device = os.stat(path).st_dev
    with pytest.raises(TimeoutError):
        mounted._open(path, device, slow)
    answered.set()
    while not late:
        threading.Event().wait(0.001)
    wait_until_closed(late[0])


def test_a_symbolic_link_that_leads_to_a_mount_is_learned(
    mounted: GuardedFileSystem, tmp_path: Path
) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "a.log"
    link.symlink_to(tmp_path / "mount" / "a.log")
    # All of this test's files are on the device of the mount.
    descriptor = mounted.open(str(link))
    device = mounted._devices[descriptor]
    answer = hung(mounted, device)
    with pytest.raises(TimeoutError):
        mounted.open(str(link))
    answer()
    mounted.close(descriptor)
