"""Reads Filebeat's registry on the disk ("memlog"): keys and values. Never writes.

    meta.json       {"version":"1"}
    <number>.json   a checkpoint: a JSON array of objects, each with its key at `_key`
    log.json        later operations, as pairs of lines: {"op":"set","id":8} {"k":"…","v":{…}}
    active.dat, active.dat.new, checkpoint.new    never read, not even by Filebeat

The numbers count operations and checkpoints, and wrap at 2**64. A registry may be truncated or
damaged anywhere: it is read as far as it is valid, and `Store` has the problems.
(elastic/beats, libbeat/statestore/backend/memlog)
"""

import functools
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from shipper.errors import RegistryError, reason_of
from shipper.foreign import words
from shipper.option_names import option

_LOG = "log.json"
_META = "meta.json"
_VERSION = "1"
_IDS = 2**64

#: The longest line in bytes. Longer ones are damage, such as zeros after a power failure.
_LONGEST_LINE = 16 * 1024**2

#: How much of a version that is not known is shown, in characters.
_SHOWN = 40


@dataclass(slots=True)
class Store:
    """The content of a registry."""

    directory: Path
    #: Values by key, as decoded JSON.
    values: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    #: The files that were read, as text.
    read: list[str] = field(default_factory=list)
    #: Problems as text; empty for an undamaged registry.
    problems: list[str] = field(default_factory=list)
    #: Last write by Filebeat (nanoseconds since the Unix epoch).
    written: int = 0


def find_store(place: Path) -> Path | None:
    """The directory of the registry's files, if `place` is Filebeat's data directory (`path.data`),
    the registry in it (`filebeat.registry.path`), or that directory itself; None if it is not.

    Raises:
        RegistryError: a directory cannot be read.
    """
    for directory in (place / "registry" / "filebeat", place / "filebeat", place):
        try:
            names = os.listdir(directory)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _unreadable(directory, error) from error
        if any(name == _LOG or _number(name) is not None for name in names):
            return directory
    return None


def read_store(directory: Path) -> Store:
    """Reads the valid part of a registry.

    Raises:
        RegistryError: a file cannot be read (EACCES, EIO). Damage is reported in `Store.problems`.
    """
    store = Store(directory)
    try:
        if _is_of_this_version(store):
            base, damaged = _load_checkpoint(store)
            _replay(store, base, damaged)
    except OSError as error:
        raise _unreadable(directory, error) from error
    return store


def _unreadable(directory: Path, error: OSError) -> RegistryError:
    return RegistryError(
        f"Filebeat's registry cannot be read: {reason_of(error)}",
        where=str(error.filename or directory),
        what_to_do="let this user read it (only their owner can read Filebeat's files), or set "
        f"{option('registry.import_from')} to none to read all files from the beginning",
    )


def _is_of_this_version(store: Store) -> bool:
    """Whether the format is known; True if meta.json is missing or damaged."""
    try:
        with _opened(store, _META) as file:
            meta = orjson.loads(file.read(_LONGEST_LINE))
    except FileNotFoundError:
        store.problems.append(f"{_META} is missing; it is read as version {_VERSION}")
        return True
    except orjson.JSONDecodeError:
        store.problems.append(f"{_META} is damaged; it is read as version {_VERSION}")
        return True
    version = meta.get("version") if isinstance(meta, dict) else None
    if version is None:
        return True
    # Of a list or an object not even the text can be made, if it is deep enough.
    told = words(str(version), _SHOWN) if isinstance(version, str | int | float) else "(no text)"
    if told == _VERSION:
        return True
    store.problems.append(f"{_META} says version {told}, which is not known: nothing is read")
    return False


def _load_checkpoint(store: Store) -> tuple[int | None, frozenset[int]]:
    """Loads the newest valid checkpoint; returns its number, and the numbers of damaged ones."""
    numbers = [
        number for name in os.listdir(store.directory) if (number := _number(name)) is not None
    ]
    numbers.sort(key=functools.cmp_to_key(_compare))
    damaged: set[int] = set()
    for number in reversed(numbers):
        name = f"{number}.json"
        try:
            with _opened(store, name) as file:
                values = _checkpoint(file.read())
        except FileNotFoundError:
            continue  # Replaced by a running Filebeat, or not a regular file.
        if values is not None:
            if damaged:
                store.problems.append(f"{name} before it is older: what came between may be lost")
            store.values = values
            store.read.append(f"{name}: {len(values)} keys")
            return number, frozenset(damaged)
        damaged.add(number)
        store.problems.append(f"{name} is damaged")
    return None, frozenset(damaged)


def _checkpoint(data: bytes) -> dict[str, Mapping[str, Any]] | None:
    entries = _json(data)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    return {
        entry["_key"]: {name: value for name, value in entry.items() if name != "_key"}
        for entry in entries
        if isinstance(entry.get("_key"), str)
    }


@dataclass(frozen=True, slots=True)
class _Operation:
    number: int
    key: str
    #: None if the key is removed.
    value: Mapping[str, Any] | None


def _replay(store: Store, base: int | None, damaged: frozenset[int]) -> None:
    """Applies the log to the checkpoint `base`, up to the first error."""
    count, last = 0, base
    try:
        with _opened(store, _LOG) as file:
            operations = _Operations(file)
            for operation in operations:
                number = operation.number
                # Older than the checkpoint: Filebeat was stopped before it truncated the log.
                if last is not None and not _is_before(last, number):
                    continue
                missing = _missing(last, number, damaged)
                if missing and last is not None and (number - 1) % _IDS not in damaged:
                    operations.problem = f"{missing}; what comes after is not read"
                    break
                if missing:
                    store.problems.append(missing)
                if operation.value is None:
                    store.values.pop(operation.key, None)
                else:
                    store.values[operation.key] = operation.value
                count, last = count + 1, number
    except FileNotFoundError:
        if base is None:
            store.problems.append(f"{_LOG} is missing")
        return
    store.read.append(f"{_LOG}: {count} operations")
    if operations.problem:
        store.problems.append(f"{_LOG}: {operations.problem}")


def _missing(last: int | None, number: int, damaged: frozenset[int]) -> str:
    """The operations that are missing before an operation, as text. Operations after a damaged
    checkpoint are used all the same: each has the complete value of its key."""
    if last is None:
        return "" if number == 1 else f"what was written before operation {number} is lost"
    following = (last + 1) % _IDS
    # A checkpoint has a number, too.
    if number == following or (following in damaged and number == (following + 1) % _IDS):
        return ""
    return f"operation {following} is missing before {number}"


class _Operations:
    """The operations of a log, up to the first invalid line, which `problem` describes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._line = 0
        self.problem = ""

    def __iter__(self) -> Iterator[_Operation]:
        while (action := self._next()) is not None:
            body = self._next()
            if body is None:
                self.problem = self.problem or f"it ends in the middle, after line {self._line}"
                return
            operation = _operation(action, body)
            if operation is None:
                self.problem = f"line {self._line} ends no operation; nothing after is read"
                return
            yield operation

    def _next(self) -> object | None:
        """The JSON of the next line that is not blank; None at the end, and for a damaged line."""
        while line := self._file.readline(_LONGEST_LINE):
            self._line += 1
            if line.strip(b" \t\r\n"):
                found = _json(line)
                if found is None:
                    self.problem = f"line {self._line} is damaged; nothing after it is read"
                return found
        return None


def _operation(action: object, body: object) -> _Operation | None:
    if not isinstance(action, dict) or not isinstance(body, dict):
        return None
    # A comment in Filebeat's source has upper-case names; its files have lower-case ones.
    number, key = whole_number(action.get("id")), body.get("k", body.get("K"))
    value = body.get("v", body.get("V"))
    if number is None or number >= _IDS or not isinstance(key, str):
        return None
    match action.get("op"):
        case "remove":
            return _Operation(number, key, None)
        case "set" if value is None or isinstance(value, dict):
            return _Operation(number, key, value or {})
        case _:
            return None


def whole_number(value: object) -> int | None:
    """A non-negative integer, also in a form such as 1.1e+06; None for other values."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def _json(data: bytes) -> object | None:
    """Decoded JSON; None if it is invalid or null. Go writes paths unchanged, UTF-8 or not."""
    try:
        found: object = orjson.loads(data.decode("utf-8", "replace"))
    except orjson.JSONDecodeError:
        return None
    return found


def _number(name: str) -> int | None:
    """The number of a checkpoint with this file name; None for other names."""
    stem, dot, suffix = name.partition(".")
    if not dot or suffix != "json" or not (stem.isascii() and stem.isdigit()):
        return None
    number = int(stem) if len(stem) <= 20 else _IDS
    # Filebeat writes no leading zeros, and the file is opened by its number.
    return number if number < _IDS and str(number) == stem else None


def _is_before(a: int, b: int) -> bool:
    """Whether operation `a` is older than `b`; numbers wrap at 2**64."""
    return a != b and (a - b) % _IDS >= 2**63


def _compare(a: int, b: int) -> int:
    return -1 if _is_before(a, b) else int(a != b)


def _opened(store: Store, name: str) -> BinaryIO:
    """Opens a regular file of the registry. Raises FileNotFoundError for anything else."""
    path = store.directory / name
    # O_NONBLOCK: opening a FIFO must not block.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(path)
    if name != _META:
        store.written = max(store.written, found.st_mtime_ns)
    return open(descriptor, "rb")
