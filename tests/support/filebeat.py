"""Filebeat's registry as Filebeat writes it, for tests: operations, checkpoints, and how it looks
after it was stopped at any moment.

    registry = FilebeatRegistry(tmp_path / "filebeat")      # its path.data
    registry.read(log, 1234)                                # an input acknowledged 1234 bytes
    registry.checkpoint()

`state` is what a Filebeat would know after a restart.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

INPUT = "tetragon"
ZERO_TIME = [281470681743360, 18446744011573954816]
"""What Filebeat writes of a file of which nothing was read."""

IDS = 2**64
_HOUR = 60


def moment(nanoseconds: int, zone: int = -1) -> list[int]:
    """A time as Filebeat writes it; `zone`: minutes east, -1: UTC."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return [((zone % 2**16) << 32) + rest, seconds]


def native(path: Path) -> str:
    """The identity of a file by its inode and device."""
    found = path.stat()
    return f"native::{found.st_ino}-{found.st_dev}"


def fingerprint(path: Path, offset: int = 0, length: int = 1024) -> str:
    """The identity of a file by its first bytes."""
    head = path.read_bytes()[offset : offset + length]
    assert len(head) == length
    return f"fingerprint::{hashlib.sha256(head).hexdigest()}"


def by_path(path: Path) -> str:
    """The identity of a file by its path."""
    return f"path::{path}"


def value(
    source: Path | str,
    offset: float | None,
    *,
    updated: int | None = None,
    identifier: str = "native",
    ttl: int = -1,
    **cursor: object,
) -> dict[str, Any]:
    """What a `filestream` input writes of a file. `updated`: nanoseconds; None: never."""
    return {
        "ttl": ttl,
        "updated": ZERO_TIME if updated is None else moment(updated),
        "cursor": None if offset is None else {"offset": offset, **cursor},
        "meta": {"source": str(source), "identifier_name": identifier},
    }


def log_value(path: Path, offset: int, *, updated: int, ttl: int = -1) -> dict[str, Any]:
    """What a `log` input writes of a file."""
    found = path.stat()
    return {
        "id": native(path),
        "prev_id": "",
        "timestamp": moment(updated, 8 * _HOUR),
        "ttl": ttl,
        "type": "log",
        "source": str(path),
        "offset": offset,
        "FileStateOS": {"inode": found.st_ino, "device": found.st_dev},
        "identifier_name": "native",
    }


class FilebeatRegistry:
    """One data directory of Filebeat's, and one Filebeat that writes to it."""

    def __init__(self, data: Path, *, number: int = 0) -> None:
        """`number`: of the last operation that was ever written."""
        self.data = data
        self.directory = data / "registry" / "filebeat"
        self.directory.mkdir(parents=True)
        (self.directory / "meta.json").write_text('{"version":"1"}')
        (data / "meta.json").write_text(
            '{"uuid":"4e2dd7b4-7a4f-4b3c-8f0e-4c7c7c6ab1f4","first_start":"2026-11-25T00:00:00Z"}\n'
        )
        self.log = self.directory / "log.json"
        self.log.touch()
        self.state: dict[str, Any] = {}
        self.number = number
        self.checkpoints: list[Path] = []

    def set(self, key: str, held: dict[str, Any]) -> None:
        """Write one operation."""
        self.state[key] = held
        self._append("set", {"k": key, "v": held})

    def remove(self, key: str) -> None:
        """Write that a key is gone."""
        self.state.pop(key, None)
        self._append("remove", {"k": key})

    def read(
        self,
        path: Path,
        offset: float | None,
        *,
        identity: str | None = None,
        input_id: str = INPUT,
        source: Path | None = None,
        updated: int | None = None,
        **held: Any,
    ) -> str:
        """Write that an input acknowledged so many bytes of a file, now; return the key."""
        identity = native(path) if identity is None else identity
        key = f"filestream::{input_id}::{identity}"
        updated = time.time_ns() if updated is None else updated
        name = identity.partition("::")[0]
        self.set(key, value(source or path, offset, updated=updated, identifier=name, **held))
        return key

    def checkpoint(self, *, cut_log: bool = True, delete_old: bool = True) -> Path:
        """Write a checkpoint, and do all that comes after it; or be stopped before a step."""
        self.number = (self.number + 1) % IDS
        path = self.directory / f"{self.number}.json"
        entries = [json.dumps({"_key": key, **held}) for key, held in self.state.items()]
        path.write_text("[" + "\n" * bool(entries) + ",\n".join(entries) + "\n]")
        if cut_log:
            self.log.write_bytes(b"")
        (self.directory / "active.dat").write_text(str(path))
        if delete_old:
            for old in self.checkpoints:
                old.unlink()
            self.checkpoints.clear()
        self.checkpoints.append(path)
        return path

    def _append(self, name: str, body: dict[str, Any]) -> None:
        self.number = (self.number + 1) % IDS
        with self.log.open("ab") as file:
            for each in ({"op": name, "id": self.number}, body):
                file.write(json.dumps(each, separators=(",", ":")).encode() + b"\n")


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    """The bytes and the time of modification of every file below a directory."""
    return {
        str(path.relative_to(directory)): (
            path.read_bytes() if path.is_file() else b"",
            path.lstat().st_mtime_ns,
        )
        for path in sorted(directory.rglob("*"))
    }
