"""`shipper check`: would it work? Looks at the files and asks each host, and says in words what is
wrong and what to do. It writes no document, and leaves nothing behind. A path that hangs holds it
up for a bounded time.

What a host does not let us see (an API key that may only write cannot look at templates) is said to
be unknown, which is no failure.
"""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import UNSET

from shipper.check.admin import check_admin
from shipper.check.bounded import bounded, bounded_result
from shipper.check.directories import why_no_file, why_not_ours
from shipper.check.filebeat import check_filebeat
from shipper.check.files import check_files
from shipper.check.findings import Finding, Status
from shipper.check.host import HostCheck
from shipper.check.locks import holder_of
from shipper.check.logrotate import PATHS
from shipper.check.remembered import check_remembered
from shipper.check.secret_files import check_secrets
from shipper.clock import Clock
from shipper.config.model import Config
from shipper.config.outputs import OutputKind
from shipper.config.tls import TlsVerify
from shipper.documents.constants import index_names
from shipper.files import agent_id, database
from shipper.files.database import LOCK_NAME
from shipper.output import dead_letter_file
from shipper.output.elasticsearch.transport import HttpTransport

#: For all questions to one host together, in seconds.
_PATIENCE = 30.0

#: What is in the data directory after a start.
_FILES = (LOCK_NAME, database.FILE_NAME, agent_id.FILE_NAME, dead_letter_file.FILE_NAME)


async def check(
    config: Config, clock: Clock, *, logrotate: Sequence[Path] = PATHS
) -> list[Finding]:
    """Everything that can be looked at without shipping. `logrotate`: the files and directories of
    its configuration.

    Raises ConfigError if the TLS settings cannot be used, or `output.index` gives no name.
    """
    today = datetime.fromtimestamp(clock.now(), UTC).isoformat()
    indices = [config.output.target] if config.output.target else []
    # Each once, in the order of the inputs.
    indices += dict.fromkeys(name.at(today) for name in index_names(config))
    findings, logs = check_files(config, logrotate)
    data_dir = f"{config.option_names('data_dir')} {config.data_dir}"
    findings += bounded(data_dir, "registry", lambda: check_remembered(config))
    findings += bounded(data_dir, "writable", lambda: [_check_data_dir(config)])
    lock = Path(config.data_dir, LOCK_NAME)
    in_use, daemon = bounded_result(data_dir, "in use", lambda: _in_use(data_dir, lock), None)
    findings += in_use
    findings += await check_admin(config, daemon)
    findings += bounded("Filebeat", "registry", lambda: check_filebeat(config, logs))
    if config.output.kind is not OutputKind.ELASTICSEARCH:
        local = bounded("output", "writable", lambda: [_check_local_output(config)])
        return [*findings, *local]
    if unusable := check_secrets(config):
        advice = "mend the files above, and check again"
        not_asked = (
            Finding(host, "reachable", Status.UNKNOWN, "not asked without its secrets", advice)
            for host in config.output.hosts
        )
        return [*findings, *unusable, *not_asked]
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


def _check_data_dir(config: Config) -> Finding:
    path = Path(config.data_dir)
    name = config.option_names("data_dir")
    subject = f"{name} {path}"
    problem = why_no_file(path) or why_not_ours(path, _FILES)
    if problem is None:
        return Finding(subject, "writable", Status.OK)
    advice = f"{problem.advice}, or set {name} to another directory"
    return Finding(subject, "writable", Status.FAILED, problem.detail, advice)


def _in_use(subject: str, lock: Path) -> tuple[list[Finding], int | None]:
    """The process that has the data directory, if one has: the daemon that runs."""
    holder = holder_of(lock)
    if holder is None:
        return [], None
    detail = f"by the shipper that runs (process {holder})"
    return [Finding(subject, "in use", Status.OK, detail)], holder


def _check_local_output(config: Config) -> Finding:
    """What can be said of a file, or standard output, without writing to it; a file beside it is
    written and removed."""
    output = config.output
    if output.file is UNSET:
        return Finding("standard output", "writable", Status.OK)
    path = Path(output.file.path)
    subject = f"output {path}"
    problem = why_no_file(path.parent, may_be_made=False)
    if problem is not None:
        return Finding(subject, "writable", Status.FAILED, problem.detail, problem.advice)
    if path.exists() and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        detail = "it is not a file that this user may read and write"
        advice = f"set {config.option_names('output.file.path')} to another path"
        return Finding(subject, "writable", Status.FAILED, detail, advice)
    return Finding(subject, "writable", Status.OK)
