"""Imports Filebeat's registry: once, before files are read, while shipper's registry is empty.

The records and the note that they were imported are one commit. If it fails, the next start imports
again; Filebeat's files are not changed.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from shipper.clock import Clock
from shipper.config.model import Config
from shipper.errors import RegistryError
from shipper.filebeat_registry.disk_files import Fingerprint
from shipper.filebeat_registry.plan import Decision, Plan, make_plan
from shipper.filebeat_registry.report import log_plan
from shipper.filebeat_registry.store import find_store, read_store
from shipper.files.filesystem import FileSystem
from shipper.files.identity import NO_MARK
from shipper.files.registry import FileRecord, Registry, read_records
from shipper.logs import Log
from shipper.logs.events import FILEBEAT_REGISTRY_MISSING
from shipper.option_names import option

LOCK_NAME = "filebeat.lock"


def plan_import(config: Config, place: Path | None, filesystem: FileSystem) -> Plan:
    """The plan for each file.

    Raises:
        RegistryError: there is no registry of Filebeat at `place`, or it cannot be read.
    """
    plan = None if place is None else _plan(config, place, filesystem)
    if plan is None:
        raise RegistryError(
            "no registry of Filebeat's found",
            where="" if place is None else str(place),
            what_to_do="name Filebeat's data directory (its path.data) with --from DIR, or in "
            f"{option('registry.import_from')}",
        )
    return plan


def import_at_start(
    registry: Registry, config: Config, filesystem: FileSystem, clock: Clock, log: Log
) -> None:
    """At the first start: imports Filebeat's offsets, and logs them.

    Raises:
        RegistryError: Filebeat's registry cannot be read, or Filebeat is still running: every line
            would be sent twice. Nothing is imported; the next start tries again.
    """
    place = config.import_directory
    if place is None or not registry.is_new:
        return
    plan = _plan(config, place, filesystem)
    if plan is None:
        if config.registry.import_from != "auto":
            log.emit(FILEBEAT_REGISTRY_MISSING, path=str(place))
        return
    _refuse_if_running(plan.store.directory)
    _save(plan, registry, clock)
    log_plan(plan, log)


def import_now(
    config: Config, place: Path | None, filesystem: FileSystem, clock: Clock
) -> tuple[Plan, str | None]:
    """The same without a daemon. Also returns the path to which a damaged registry of shipper was
    moved, or None.

    Raises:
        RegistryError: also if shipper's registry has files already, or a daemon is running.
    """
    plan = plan_import(config, place, filesystem)
    _refuse_if_running(plan.store.directory)
    registry, aside = Registry.open(Path(config.data_dir))
    try:
        if not registry.is_new:
            raise _not_new(config, registry.origin)
        _save(plan, registry, clock)
    finally:
        registry.close()
    return plan, aside


def obstacles(config: Config, plan: Plan) -> Iterator[str]:
    """Reasons why `import_now` would fail, as text."""
    directory = Path(config.data_dir)
    if (directory / "registry.db").exists() and read_records(directory):
        yield str(_not_new(config, None))
    if is_running(plan.store.directory):
        yield "Filebeat is still running with this registry: its offsets will change"


def _plan(config: Config, place: Path, filesystem: FileSystem) -> Plan | None:
    directory = find_store(place)
    if directory is None:
        return None
    settings = config.registry
    fingerprint = Fingerprint(
        settings.import_fingerprint_offset, settings.import_fingerprint_length
    )
    return make_plan(read_store(directory), config.inputs, fingerprint, filesystem)


def _save(plan: Plan, registry: Registry, clock: Clock) -> None:
    """Writes the decisions to the new registry."""
    now = clock.now()
    when = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    records = list(_records(plan.decisions, registry, now))
    registry.save(records, origin=f"{plan.store.directory} at {when}")


def _not_new(config: Config, origin: str | None) -> RegistryError:
    return RegistryError(
        f"nothing imported: the registry was imported from {origin}"
        if origin
        else "nothing imported: shipper's registry has files already",
        where=config.data_dir,
        what_to_do="keep it: shipper's offsets are later than Filebeat's; `shipper registry show` "
        "prints them",
    )


def _refuse_if_running(directory: Path) -> None:
    """Raises RegistryError if Filebeat is running with the registry in this directory."""
    if is_running(directory):
        raise RegistryError(
            "Filebeat is still running with this registry, and both would ship the same lines",
            where=str(directory),
            what_to_do=f"stop Filebeat first, or set {option('registry.import_from')} to none",
        )


def is_running(directory: Path) -> bool:
    """Whether Filebeat is running with the registry in this directory.

    It locks a file in its data directory with flock(2), usually two levels up.
    """
    with suppress(OSError):
        path = directory.parent.parent / LOCK_NAME
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            # Releases the lock, too.
            os.close(lock)
    return False


def _records(decisions: Iterable[Decision], registry: Registry, now: float) -> Iterator[FileRecord]:
    """A record for each file that Filebeat knew, even if its offset cannot be used: then the file
    is read from its beginning, regardless of `start_at` and `ignore_older`."""
    for decision in decisions:
        file, result = decision.file, decision.result
        # Without a first line there is no identity, and nothing was read.
        if result is None or file.identity is None:
            continue
        if file.compressed and not result.start:
            continue  # It is decompressed and read like any other.
        yield FileRecord(
            row=registry.new_row(),
            input_id=decision.input_id,
            path=file.path,
            identity=file.identity,
            inode=None if file.compressed else file.inode,
            born=None if file.compressed else file.born,
            offset=result.start,
            seen=result.start if file.compressed else max(result.start, file.size),
            mark=result.mark if result.start else NO_MARK,
            updated=now,
            removed=None,
        )
