"""Filebeat's registry on disk ("memlog"), read and never written: the keys and what they hold.

    meta.json       {"version":"1"}
    <number>.json   a checkpoint: a JSON array of objects, each with its key at `_key`
    log.json        what came after it, in pairs of lines: {"op":"set","id":8} {"k":"…","v":{…}}
    active.dat, active.dat.new, checkpoint.new    read by nobody, Filebeat included

Numbers are those of operations, a checkpoint takes one too, and they wrap at 2**64. A registry may
be cut or damaged anywhere: it is read as far as it is sound, and `Store` says what was read and
what was not. (elastic/beats, libbeat/statestore/backend/memlog)
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
from shipper.option_names import option

_LOG = "log.json"
_META = "meta.json"
_VERSION = "1"
_IDS = 2**64

#: A longer line is none of Filebeat's, in bytes: a disk that filled the file with zeros, say.
_LONGEST_LINE = 16 * 1024**2


@dataclass(slots=True)
class Store:
    """What was read."""

    directory: Path
    #: What each key holds, as JSON has it.
    values: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    #: What was read, in words.
    read: list[str] = field(default_factory=list)
    #: What was not, and why; empty for a registry that is sound.
    problems: list[str] = field(default_factory=list)
    #: When Filebeat wrote to it last (nanoseconds since the Unix epoch).
    written: int = 0


def find_store(place: Path) -> Path | None:
    """The directory of the registry's files, if `place` is Filebeat's data directory (`path.data`),
    the registry in it (`filebeat.registry.path`), or that directory itself; None if it is not.

    Raises:
        RegistryError: a directory cannot be looked at.
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
    """Reads what is sound.

    Raises:
        RegistryError: a file cannot be read (EACCES, EIO); damage is no reason.
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
    """Whether the format is known. A file that is missing or damaged says nothing against it."""
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
    if version is None or str(version) == _VERSION:
        return True
    store.problems.append(f"{_META} says version {version}, which is not known: nothing is read")
    return False


def _load_checkpoint(store: Store) -> tuple[int | None, frozenset[int]]:
    """Takes the newest checkpoint that is sound; returns its number, and those of damaged ones."""
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
            continue  # A Filebeat that still runs has replaced it; or it is no regular file.
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
    #: None: the key is removed.
    value: Mapping[str, Any] | None


def _replay(store: Store, base: int | None, damaged: frozenset[int]) -> None:
    """Applies the log to the checkpoint of that number, up to the first thing that is wrong."""
    count, last = 0, base
    try:
        with _opened(store, _LOG) as file:
            operations = _Operations(file)
            for operation in operations:
                number = operation.number
                # Left over from before the checkpoint: Filebeat was stopped before it cut the log.
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
    """What is missing before an operation, in words. What comes after a checkpoint that is damaged
    is taken all the same: each operation has the whole of its key."""
    if last is None:
        return "" if number == 1 else f"what was written before operation {number} is lost"
    following = (last + 1) % _IDS
    # A checkpoint takes a number as well.
    if number == following or (following in damaged and number == (following + 1) % _IDS):
        return ""
    return f"operation {following} is missing before {number}"


class _Operations:
    """The operations of a log, to the first line that is not right; then `problem` says which."""

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
        """The JSON of the next line that is not blank; None at the end and where it is damaged."""
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
    # The package's own comment has the names in capitals; its files have them in small letters.
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
    """A number that is whole and not negative, also one that is written as 1.1e+06; else None."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def _json(data: bytes) -> object | None:
    """None if it is no JSON, or null. Go writes paths as they are, UTF-8 or not."""
    try:
        found: object = orjson.loads(data.decode("utf-8", "replace"))
    except orjson.JSONDecodeError:
        return None
    return found


def _number(name: str) -> int | None:
    """The number of a checkpoint of that name; None if it is the name of something else."""
    stem, dot, suffix = name.partition(".")
    if not dot or suffix != "json" or not (stem.isascii() and stem.isdigit()):
        return None
    number = int(stem) if len(stem) <= 20 else _IDS
    # Filebeat writes no leading zeros, and its file is looked for by the number.
    return number if number < _IDS and str(number) == stem else None


def _is_before(a: int, b: int) -> bool:
    """Whether operation `a` was before `b`; numbers wrap at 2**64."""
    return a != b and (a - b) % _IDS >= 2**63


def _compare(a: int, b: int) -> int:
    return -1 if _is_before(a, b) else int(a != b)


def _opened(store: Store, name: str) -> BinaryIO:
    """A regular file of the registry, for reading. Raises FileNotFoundError for anything else."""
    path = store.directory / name
    # A FIFO in its place must not stop us.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(path)
    if name != _META:
        store.written = max(store.written, found.st_mtime_ns)
    return open(descriptor, "rb")
