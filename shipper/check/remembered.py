"""What `shipper check` says of what an earlier configuration left: files that were not
shipped to their end, of inputs that are not configured any more, or do not match them any more; and
links in `.shipper` that are nobody's.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from shipper.check.findings import Finding, Status
from shipper.config.model import Config
from shipper.errors import RegistryError
from shipper.files.database import FILE_NAME
from shipper.files.filesystem import FileSystem
from shipper.files.identity import Identity
from shipper.files.registry import FileRecord, read_records
from shipper.foreign import path_text
from shipper.pipeline.links import configured_links, matcher_of


def check_remembered(config: Config) -> list[Finding]:
    """All of it; nothing where no daemon has run yet."""
    directory = Path(config.data_dir)
    try:
        if not (directory / FILE_NAME).exists():
            return []
        findings = list(_former_inputs(config, read_records(directory)))
        if config.retention.enabled:
            findings += _foreign_links(config)
    except (RegistryError, OSError) as error:
        names = config.option_names
        words = str(error.in_words_of(names)) if isinstance(error, RegistryError) else str(error)
        return [Finding(f"{names('data_dir')} {directory}", "registry", Status.UNKNOWN, words)]
    return findings


def _former_inputs(config: Config, records: Iterable[FileRecord]) -> Iterator[Finding]:
    matches = {source.id: matcher_of(source) for source in config.inputs}
    # How far files that begin with a line are known to inputs that are configured, or were
    # shipped by others.
    known: dict[Identity, int] = {}
    former: dict[str, list[FileRecord]] = {}
    for record in records:
        if record.input_id in matches and matches[record.input_id](record.path):
            known[record.identity] = max(known.get(record.identity, 0), record.seen)
            continue
        known[record.identity] = max(known.get(record.identity, 0), record.offset)
        if record.seen > record.offset:
            former.setdefault(record.input_id, []).append(record)
    for input_id, unfinished in sorted(former.items()):
        left = [record for record in unfinished if known.get(record.identity, 0) < record.seen]
        if not left:
            continue
        size = sum(record.seen - record.offset for record in left)
        files = "1 file" if len(left) == 1 else f"{len(left)} files"
        is_configured = input_id in matches
        why = "its paths do not match them any more" if is_configured else "it is not configured"
        detail = (
            f"{size} bytes of {files} are not acknowledged, and {why}: "
            f"{_shown(record.path for record in left)}"
        )
        advice = (
            "let an input match these logs until they are shipped; what is not found on the disk "
            "is recorded as lost a minute after the start"
        )
        what = "not matched" if is_configured else "not configured"
        yield Finding(f"input {input_id}", what, Status.WARNING, detail, advice)


def _foreign_links(config: Config) -> list[Finding]:
    listing = configured_links(config, FileSystem()).listing
    unknown = [
        Finding(
            "kept files", "foreign links", Status.UNKNOWN, f"{error.filename}: {error.strerror}"
        )
        for error in listing.problems
    ]
    links = listing.orphaned
    if not links:
        return unknown
    size = sum(link.entry.facts.size for link in links)
    count = "1 link" if len(links) == 1 else f"{len(links)} links"
    detail = f"{count} of nobody with {size} bytes: {_shown(link.entry.path for link in links)}"
    advice = "`shipper registry adopt` lists them with the reason, and adopts them"
    return [Finding("kept files", "foreign links", Status.WARNING, detail, advice), *unknown]


def _shown(paths: Iterable[str]) -> str:
    first, *others = sorted(path_text(path) for path in paths)
    return f"{first} and {len(others)} more" if others else first
