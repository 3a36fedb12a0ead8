"""What `shipper check` says of the inputs: whether their files can be read, whether two match the
same file, and whether logrotate would leave one out.
"""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path

from shipper.check.findings import Finding, Status
from shipper.check.logrotate import files_of, rotated_without_hard_links
from shipper.config.inputs import InputConfig
from shipper.config.model import Config
from shipper.errors import reason_of
from shipper.files.discovery import Scan, scan
from shipper.files.filesystem import FileSystem, Inode
from shipper.files.opening import LogOpener, NotFollowedError
from shipper.files.overlaps import shared_file, shared_glob
from shipper.files.records import SUFFIX

#: So many symbolic links that are not followed are named for each glob.
_NAMED = 20


def check_files(config: Config, logrotate: Sequence[Path]) -> list[Finding]:
    """All of it, by input. `logrotate`: the files and directories of its configuration."""
    filesystem = FileSystem()
    findings: dict[str, list[Finding]] = {}
    found: dict[str, dict[Inode, str]] = {}
    for source in config.inputs:
        findings[source.id], found[source.id] = _look(config, source, filesystem)
    for source, other in combinations(config.inputs, 2):
        shared = shared_glob(
            source.paths, source.exclude, other.paths, other.exclude
        ) or shared_file(found[source.id], found[other.id])
        if shared is not None:
            findings[source.id].append(_overlap(source, other, shared))
    if config.retention.enabled:
        for source in config.inputs:
            findings[source.id] += _rotated(source, found[source.id], filesystem, logrotate)
    return [finding for of_input in findings.values() for finding in of_input]


def _look(
    config: Config, source: InputConfig, filesystem: FileSystem
) -> tuple[list[Finding], dict[Inode, str]]:
    """What is said of the files of an input, and the files."""
    subject = _subject(source)
    findings = []
    files: dict[Inode, str] = {}
    exclude = (*source.exclude, f"*{SUFFIX}")
    opener = LogOpener(filesystem, exclude=exclude, symlinks=source.symlinks)
    for pattern in source.paths:
        found = scan(filesystem, [pattern], exclude, symlinks=source.symlinks)
        files |= {inode: file.path for inode, file in found.found.items()}
        unreadable = dict(found.unreadable)
        for file in found.found.values():
            try:
                filesystem.close(opener.open(file.path).descriptor)
            except (FileNotFoundError, NotFollowedError):
                continue  # Rotated away since.
            except OSError as error:
                unreadable[file.path] = error
        for path, fault in unreadable.items():
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
    return findings, files


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
