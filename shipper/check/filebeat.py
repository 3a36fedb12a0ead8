"""What `shipper check` says of Filebeat: one that still runs here would ship the same lines, and
the first start imports its registry."""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from shipper.check.findings import Finding, Status
from shipper.check.locks import PROC, holder_of
from shipper.config.model import Config
from shipper.errors import RegistryError
from shipper.filebeat_registry.importing import LOCK_NAME, plan_import
from shipper.filebeat_registry.plan import Plan
from shipper.filebeat_registry.report import describe
from shipper.filebeat_registry.store import find_store
from shipper.files.database import FILE_NAME
from shipper.files.filesystem import FileSystem
from shipper.option_names import option

#: Where Filebeat's packages and its image have its data.
PLACES = (Path("/var/lib/filebeat"), Path("/usr/share/filebeat/data"))

_SUBJECT = "Filebeat"


def check_filebeat(
    config: Config,
    logs: Collection[str],
    *,
    proc: Path = PROC,
    places: Sequence[Path] = PLACES,
) -> list[Finding]:
    """All of it. `logs`: the paths of the files of all inputs; `places`: where a registry is looked
    for that would not be imported."""
    findings = list(_running(logs, proc))
    if not (Path(config.data_dir) / FILE_NAME).exists():
        findings += _registry(config, proc, places)
    return findings


def _running(logs: Collection[str], proc: Path) -> Iterator[Finding]:
    for process in _processes(proc):
        read = _open_files(process, proc) & set(logs)
        what = f"it runs (process {process})"
        if read:
            more = f" and {len(read) - 1} more files" if len(read) > 1 else ""
            detail = f"{what}, and reads {min(read)}{more}, too: lines are shipped twice"
            advice = "stop it before shipper is started"
        else:
            detail = f"{what}; which files it reads could not be seen, or they are others"
            advice = "stop it if it ships the same logs: each line would be shipped twice"
        yield Finding(_SUBJECT, "running", Status.WARNING, detail, advice)


def _processes(proc: Path) -> Iterator[int]:
    """Those that are Filebeat, of those that can be seen. shipper's own command of that name is a
    script, whose first argument is Python."""
    try:
        names = os.listdir(proc)
    except OSError:
        return
    for process in sorted(int(name) for name in names if name.isdecimal()):
        try:
            arguments = (proc / str(process) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # It has ended.
        if os.path.basename(arguments[0]) == b"filebeat":
            yield process


def _open_files(process: int, proc: Path) -> set[str]:
    """The files that a process has open, as far as they can be seen."""
    directory = proc / str(process) / "fd"
    found = set()
    try:
        for name in os.listdir(directory):
            found.add(os.readlink(directory / name))
    except OSError:
        return found
    return found


def _registry(config: Config, proc: Path, places: Sequence[Path]) -> Iterator[Finding]:
    """What is imported at the first start, and what is not."""
    place = config.import_directory
    names = config.option_names
    try:
        if place is not None and find_store(place) is not None:
            yield from _imported(config, plan_import(config, place, FileSystem()), proc)
            return
    except RegistryError as error:
        what = error.in_words_of(names)
        yield Finding(_SUBJECT, "registry", Status.FAILED, str(what), what.what_to_do)
        return
    if config.registry.import_from == "none":
        return
    if place is not None and config.registry.import_from != "auto":
        detail = f"no registry of Filebeat in {place}: nothing is imported"
        advice = f"mount Filebeat's path.data there, or set {names('registry.import_from')} to none"
        yield Finding(_SUBJECT, "registry", Status.WARNING, detail, advice)
    for other in places:
        if _has_store(other):
            detail = f"there is a registry in {other}, which is not imported"
            advice = names.fill(
                f"set {option('registry.import_from')} to {other} so that files go on where "
                "Filebeat stopped, or to none"
            )
            yield Finding(_SUBJECT, "registry", Status.WARNING, detail, advice)


def _imported(config: Config, plan: Plan, proc: Path) -> Iterator[Finding]:
    directory = plan.store.directory
    holder = holder_of(directory.parent.parent / LOCK_NAME, proc)
    if holder is not None:
        detail = f"Filebeat still runs with the registry in {directory} (process {holder})"
        advice = "stop it first: the first start imports its offsets, and refuses while it runs"
        yield Finding(_SUBJECT, "registry", Status.FAILED, detail, advice)
    goes_on = sum(describe(each).startswith("continues") for each in plan.decisions)
    count = "1 file" if goes_on == 1 else f"{goes_on} files"
    detail = (
        f"the first start imports the registry in {directory}: {count} of {len(plan.decisions)} "
        "go on where Filebeat stopped (`shipper registry import --dry-run` lists them)"
    )
    yield Finding(_SUBJECT, "registry", Status.OK, detail)
    for problem in plan.store.problems:
        yield Finding(_SUBJECT, "registry", Status.WARNING, f"{directory}: {problem}")


def _has_store(place: Path) -> bool:
    try:
        return find_store(place) is not None
    except RegistryError:
        return False
