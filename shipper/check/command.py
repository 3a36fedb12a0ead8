"""`shipper check`: would it work? Looks at the files and asks each host, and says in words what is
wrong and what to do. It writes no document and changes nothing.

What a host does not let us see (an API key that may only write cannot look at templates) is said to
be unknown, which is no failure.
"""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import UNSET

from shipper.check.findings import Finding, Status
from shipper.check.host import HostCheck
from shipper.clock import Clock
from shipper.config.model import Config
from shipper.config.outputs import OutputKind
from shipper.config.tls import TlsVerify
from shipper.documents.constants import index_names
from shipper.errors import reason_of
from shipper.files.discovery import Scan, scan
from shipper.files.filesystem import FileSystem
from shipper.files.opening import LogOpener, NotFollowedError
from shipper.files.records import SUFFIX
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
    findings = [*_check_files(config), _check_data_dir(config)]
    if config.output.kind is not OutputKind.ELASTICSEARCH:
        return [*findings, _check_local_output(config)]
    async with HttpTransport(config.output, clock, names=config.option_names) as transport:
        for host in config.output.hosts:
            if host.startswith("https:") and config.output.tls.verify is TlsVerify.NONE:
                verify = config.option_names("output.tls.verify")
                detail = f"the certificate is not verified ({verify}: none)"
                advice = f"set {verify} to full"
                findings.append(Finding(host, "certificate", Status.WARNING, detail, advice))
            host_check = HostCheck(config, transport, host, indices)
            try:
                async with asyncio.timeout(_PATIENCE):
                    await host_check.run()
            except TimeoutError:
                host_check.failed(
                    "reachable", f"no answers within {_PATIENCE:g} s", "check the load of the host"
                )
            findings += host_check.findings
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
    return findings


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


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"


def _check_data_dir(config: Config) -> Finding:
    existing = path = Path(config.data_dir)
    subject = f"{config.option_names('data_dir')} {path}"
    while not existing.exists():
        existing = existing.parent
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Finding(subject, "writable", Status.OK)
    detail = f"{existing} is not a directory that this user may write to"
    advice = f"change its owner, or set {config.option_names('data_dir')} to another directory"
    return Finding(subject, "writable", Status.FAILED, detail, advice)


def _check_local_output(config: Config) -> Finding:
    """What can be said of a file, or standard output, without writing to it."""
    output = config.output
    if output.file is UNSET:
        return Finding("standard output", "writable", Status.OK)
    path = Path(output.file.path)
    subject = f"output {path}"
    if not path.parent.is_dir():
        detail, advice = f"{path.parent} is not a directory", "create it, or mount the volume"
        return Finding(subject, "writable", Status.FAILED, detail, advice)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        detail, advice = f"this user may not write to {path.parent}", "change its owner"
        return Finding(subject, "writable", Status.FAILED, detail, advice)
    if path.exists() and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        detail = "it is not a file that this user may read and write"
        advice = f"set {config.option_names('output.file.path')} to another path"
        return Finding(subject, "writable", Status.FAILED, detail, advice)
    return Finding(subject, "writable", Status.OK)
