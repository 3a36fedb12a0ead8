"""What `shipper check` says of the inputs: whether they have files, whether these can be read and
kept by hard links, whether two match the same file, and whether logrotate would leave one out.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import combinations
from pathlib import Path

import orjson

from shipper.check.bounded import PATIENCE, bounded, bounded_result
from shipper.check.directories import why_not_linkable
from shipper.check.findings import Finding, Status
from shipper.check.logrotate import files_of, rotated_without_hard_links
from shipper.config.inputs import InputConfig, OnInvalid
from shipper.config.model import Config
from shipper.errors import reason_of
from shipper.files.compressed import excluded_gzips, gzips_of
from shipper.files.discovery import Scan, scan
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.opening import LogOpener, NotFollowedError
from shipper.files.overlaps import shared_file, shared_glob
from shipper.files.records import SUFFIX

#: So many symbolic links that are not followed are named for each glob, and so many directories
#: without hard links for each input.
_NAMED = 20

#: What a gzip begins with (RFC 1952).
_GZIP = b"\x1f\x8b"

#: How much of a file is read to see what it holds, in bytes.
_HEAD = 64 * 1024

_OF_INVALID: Mapping[OnInvalid, str] = {
    OnInvalid.SHIP: "such lines are shipped with an `error.message`",
    OnInvalid.DEAD_LETTER: "such lines become dead letters",
    OnInvalid.DROP: "such lines are dropped",
}


def check_files(
    config: Config, logrotate: Sequence[Path], seconds: float = PATIENCE
) -> tuple[list[Finding], list[str]]:
    """All of it, by input, and the paths of the files.

    `logrotate`: the files and directories of its configuration; `seconds`: for the file system to
    answer, for each input and check.
    """
    filesystem = FileSystem()
    no_files: dict[Inode, str] = {}
    findings: dict[str, list[Finding]] = {}
    found: dict[str, dict[Inode, str]] = {}
    for source in config.inputs:
        findings[source.id], found[source.id] = bounded_result(
            _subject(source),
            "readable",
            partial(_look, config, source, filesystem),
            no_files,
            seconds,
        )
    for source, other in combinations(config.inputs, 2):
        shared = shared_glob(
            source.paths, source.exclude, other.paths, other.exclude
        ) or shared_file(found[source.id], found[other.id])
        if shared is not None:
            findings[source.id].append(_overlap(source, other, shared))
    if config.retention.enabled:
        for source in config.inputs:
            files = found[source.id]
            findings[source.id] += bounded(
                _subject(source),
                "hard links",
                partial(_without_links, config, source, files),
                seconds,
            )
            findings[source.id] += bounded(
                _subject(source),
                "logrotate",
                partial(_rotated, source, files, filesystem, logrotate),
                seconds,
            )
    paths = [path for files in found.values() for path in files.values()]
    return [finding for of_input in findings.values() for finding in of_input], paths


def _look(
    config: Config, source: InputConfig, filesystem: FileSystem
) -> tuple[list[Finding], dict[Inode, str]]:
    """What is said of the files of an input, and the files."""
    subject = _subject(source)
    findings = []
    files: dict[Inode, str] = {}
    exclude = (*source.exclude, f"*{SUFFIX}")
    told: set[str] = set()
    for pattern in source.paths:
        found = scan(filesystem, [pattern], exclude, symlinks=source.symlinks)
        files |= {inode: file.path for inode, file in found.found.items()}
        unreadable = _unreadable(source, found, exclude, filesystem)
        if source.compressed:
            excluded = excluded_gzips(source.exclude)
            gzips = scan(filesystem, gzips_of([pattern]), excluded, symlinks=source.symlinks)
            unreadable = _unreadable(source, gzips, excluded, filesystem) | unreadable
        for path, fault in unreadable.items():
            if path in told:
                continue
            told.add(path)
            detail = f"{path}: {reason_of(fault)}"
            advice = "Tetragon writes its logs as root with mode 600: run as root, or change it"
            findings.append(Finding(subject, "readable", Status.FAILED, detail, advice))
        findings += _not_followed(config, subject, found)
        if found.missing:
            detail = f"{found.missing[0]} does not exist yet; shipper waits for it"
            advice = (
                "Tetragon's charts up to 1.7 export to /var/run/cilium/tetragon, later ones "
                "to /var/log/tetragon"
            )
            findings.append(Finding(subject, "files", Status.WARNING, detail, advice))
        else:
            detail = f"{pattern}: {_count(len(found.found))}"
            findings.append(Finding(subject, "files", Status.OK, detail))
    if not files:
        findings.append(_without_files(config, source))
    findings += _read_one(source, files, exclude, filesystem)
    return findings, files


def _read_one(
    source: InputConfig,
    files: Mapping[Inode, str],
    exclude: Sequence[str],
    filesystem: FileSystem,
) -> Iterator[Finding]:
    """What is in the newest file: whether it is what Tetragon writes."""
    opener = LogOpener(filesystem, exclude=exclude, symlinks=source.symlinks)
    for path in files.values():
        try:
            descriptor = opener.open(path).descriptor
            try:
                head = filesystem.peek(descriptor, _HEAD, 0)
            finally:
                filesystem.close(descriptor)
        except (OSError, NotFollowedError):
            continue  # It was rotated away since, or that it cannot be read is said already.
        if head.startswith(_GZIP):
            continue  # Its lines are not to be seen.
        yield _of_content(source, path, head)
        return


def _of_content(source: InputConfig, path: str, head: bytes) -> Finding:
    # A log that is allocated in advance, or was cut under its writer, begins with NULs.
    line, newline, _ = head.lstrip(b"\0\r\n ").partition(b"\n")
    if not line:
        return Finding(_subject(source), "content", Status.OK, f"{path} has no line yet")
    if not newline:
        return Finding(_subject(source), "content", Status.OK, f"{path} has no whole line yet")
    try:
        is_object = isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if is_object:
        return Finding(_subject(source), "content", Status.OK, f"{path} has JSON objects")
    detail = f"the first line of {path} is not a JSON object: {_OF_INVALID[source.on_invalid]}"
    advice = "check the paths: in Tetragon's export file each line is a JSON object"
    return Finding(_subject(source), "content", Status.WARNING, detail, advice)


def _unreadable(
    source: InputConfig, found: Scan, exclude: Sequence[str], filesystem: FileSystem
) -> dict[str, OSError]:
    """What a scan found and what cannot be listed, opened or read, and why."""
    opener = LogOpener(filesystem, exclude=exclude, symlinks=source.symlinks)
    unreadable = dict(found.unreadable)
    for file in found.found.values():
        try:
            descriptor = opener.open(file.path).descriptor
            try:
                filesystem.peek(descriptor, 1, 0)
            finally:
                filesystem.close(descriptor)
        except (FileNotFoundError, NotFollowedError):
            continue  # Rotated away since.
        except OSError as error:
            unreadable[file.path] = error
    return unreadable


def _without_files(config: Config, source: InputConfig) -> Finding:
    """Said of an input that has no file to read."""
    name = config.option_names("inputs[].require_files")
    detail = "no file matches any of its paths: nothing is read"
    if source.require_files:
        detail += f", and {name} is true"
    status = Status.FAILED if source.require_files else Status.WARNING
    advice = "check the paths, the mounts, and that Tetragon runs here and exports to a file"
    return Finding(_subject(source), "no files", status, detail, advice)


def _not_followed(config: Config, subject: str, found: Scan) -> Iterator[Finding]:
    """The symbolic links that match and are not followed."""
    name = config.option_names("inputs[].symlinks")
    advice = f"set {name} to true if what it leads to is to be shipped"
    for path in found.skipped[:_NAMED]:
        detail = f"{path} is a symbolic link, and {name} is false"
        yield Finding(subject, "not followed", Status.WARNING, detail, advice)
    if found.skipped_count > _NAMED:
        detail = f"{found.skipped_count - _NAMED} more symbolic links"
        yield Finding(subject, "not followed", Status.WARNING, detail)


def _overlap(source: InputConfig, other: InputConfig, shared: str) -> Finding:
    detail = f"{shared} is matched by input {other.id}, too: each of the two reads it"
    advice = "change the globs of one of them, or leave the file out with `exclude`"
    return Finding(_subject(source), "overlap", Status.WARNING, detail, advice)


def _without_links(
    config: Config, source: InputConfig, found: Mapping[Inode, str]
) -> Iterator[Finding]:
    """Directories of logs in which no hard links can be made, the first by name."""
    name = config.option_names("retention.enabled")
    directories = sorted({os.path.dirname(path) for path in found.values()})
    problems = [each for each in map(why_not_linkable, map(Path, directories)) if each]
    for problem in problems[:_NAMED]:
        effect = "a log that is deleted before it is shipped does not survive a restart"
        detail = f"{problem.detail}: {effect}"
        advice = f"{problem.advice}, or set {name} to false"
        yield Finding(_subject(source), "hard links", Status.WARNING, detail, advice)
    if len(problems) > _NAMED:
        detail = f"the same in {len(problems) - _NAMED} more directories"
        yield Finding(_subject(source), "hard links", Status.WARNING, detail)


def _rotated(
    source: InputConfig,
    found: Mapping[Inode, str],
    filesystem: FileSystem,
    logrotate: Sequence[Path],
) -> Iterator[Finding]:
    for rotated in rotated_without_hard_links(logrotate):
        for pattern in rotated.patterns:
            if _matches(pattern, source, found, filesystem):
                detail = f"{rotated.file}, line {rotated.line}: {pattern} without allowhardlink"
                advice = (
                    "add allowhardlink there: logrotate does not rotate a file with a hard link, "
                    "and shipper has one in .shipper of each file that it follows"
                )
                yield Finding(_subject(source), "logrotate", Status.WARNING, detail, advice)
                break


def _matches(
    pattern: str, source: InputConfig, found: Mapping[Inode, str], filesystem: FileSystem
) -> bool:
    """Whether one of logrotate's globs names a file of the input, now or later."""
    if pattern in source.paths or any(_is_named(pattern, glob) for glob in source.paths):
        return not any(fnmatchcase(pattern, glob) for glob in source.exclude)
    for path in files_of(pattern):
        try:
            if filesystem.inode_of(path) in found:
                return True
        except OSError:
            continue
    return False


def _is_named(path: str, glob: str) -> bool:
    """Whether a glob matches that path, of which only `**` matches a slash."""
    return fnmatchcase(path, glob) and ("**" in glob or path.count("/") == glob.count("/"))


def _subject(source: InputConfig) -> str:
    return f"input {source.id}"


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"
