"""`shipper check`: would it work? Looks at the files and asks each host, and says in words what is
wrong and what to do. It writes no document and changes nothing.

What a host does not let us see (an API key that may only write cannot look at templates) is said to
be unknown, which is no failure.
"""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

from msgspec import UNSET

from shipper.check.findings import Finding, Result
from shipper.check.host import Inquiry
from shipper.clock import Clock
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig, OutputKind
from shipper.config.tls import TlsVerify
from shipper.documents.constants import index_names
from shipper.files.compressed import SUFFIX
from shipper.files.discovery import scan
from shipper.files.filesystem import FileSystem
from shipper.files.opening import LogOpener, NotFollowedError
from shipper.output.elasticsearch.transport import HttpTransport

#: For all questions to one host together, in seconds.
_PATIENCE = 30.0

#: So many symbolic links that are not followed are named for each glob.
_NAMED = 20


async def check(config: Config, clock: Clock) -> list[Finding]:
    """Everything that can be looked at without shipping.

    Raises ConfigError if the TLS settings cannot be used, or `output.index` gives no name.
    """
    today = datetime.fromtimestamp(clock.now(), UTC).isoformat()
    indices = [config.output.target] if config.output.target else []
    # Each once, in the order of the inputs.
    indices += dict.fromkeys(name.at(today) for name in index_names(config))
    findings = [*_check_files(config), _check_data_dir(Path(config.data_dir))]
    if config.output.kind is not OutputKind.ELASTICSEARCH:
        return [*findings, _check_local_output(config.output)]
    async with HttpTransport(config.output, clock) as transport:
        for host in config.output.hosts:
            if host.startswith("https:") and config.output.tls.verify is TlsVerify.NONE:
                findings.append(
                    Finding(host, "certificate", Result.UNKNOWN, "it is not verified (tls.verify)")
                )
            inquiry = Inquiry(config, transport, host, indices)
            try:
                async with asyncio.timeout(_PATIENCE):
                    await inquiry.run()
            except TimeoutError:
                inquiry.wrong("answers", f"not within {_PATIENCE:g} s", "look at its load")
            findings += inquiry.findings
    return findings


def _check_files(config: Config) -> list[Finding]:
    filesystem = FileSystem()
    findings = []
    for source in config.inputs:
        subject = f"input {source.id}"
        exclude = (*source.exclude, f"*{SUFFIX}")
        opener = LogOpener(filesystem, exclude=exclude, symlinks=source.symlinks)
        for pattern in source.paths:
            found = scan(filesystem, [pattern], exclude, symlinks=source.symlinks)
            unreadable = dict(found.unreadable)
            for file in found.found.values():
                try:
                    filesystem.close(opener.open(file.path).descriptor)
                except (FileNotFoundError, NotFollowedError):
                    continue  # Rotated away since.
                except OSError as error:
                    unreadable[file.path] = error
            for path, fault in unreadable.items():
                detail = f"{path}: {fault.strerror}"
                advice = "Tetragon writes its logs as root with mode 600: run as root, or change it"
                findings.append(Finding(subject, "readable", Result.WRONG, detail, advice))
            for path in found.skipped[:_NAMED]:
                detail = f"{path}: it is a symbolic link, and symlinks is false"
                advice = "set symlinks: true if what it leads to is to be shipped"
                findings.append(Finding(subject, "not followed", Result.UNKNOWN, detail, advice))
            if found.skipped_count > _NAMED:
                detail = f"{found.skipped_count - _NAMED} more symbolic links"
                findings.append(Finding(subject, "not followed", Result.UNKNOWN, detail))
            if found.missing:
                detail = f"{found.missing[0]} does not exist yet; it will be waited for"
                advice = (
                    "Tetragon's charts up to 1.7 export to /var/run/cilium/tetragon, later ones "
                    "to /var/log/tetragon"
                )
                findings.append(Finding(subject, "files", Result.UNKNOWN, detail, advice))
            else:
                detail = f"{pattern}: {len(found.found)} now"
                findings.append(Finding(subject, "files", Result.OK, detail))
    return findings


def _check_data_dir(path: Path) -> Finding:
    existing = path
    while not existing.exists():
        existing = existing.parent
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Finding(f"data_dir {path}", "writable", Result.OK)
    detail = f"{existing} is not a directory that this user may write to"
    advice = "give it to this user, or set data_dir to another one"
    return Finding(f"data_dir {path}", "writable", Result.WRONG, detail, advice)


def _check_local_output(output: OutputConfig) -> Finding:
    """What can be said of a file, or standard output, without writing to it."""
    if output.file is UNSET:
        return Finding("output console", "printed", Result.OK)
    path = Path(output.file.path)
    subject = f"output {path}"
    if not path.parent.is_dir():
        detail, advice = f"{path.parent} is no directory", "make it, or mount what belongs there"
        return Finding(subject, "writable", Result.WRONG, detail, advice)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        detail, advice = f"this user may not write to {path.parent}", "give it to this user"
        return Finding(subject, "writable", Result.WRONG, detail, advice)
    if path.exists() and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        detail = "it is not a file that this user may read and write"
        return Finding(subject, "writable", Result.WRONG, detail, "give output.file another path")
    return Finding(subject, "writable", Result.OK)
